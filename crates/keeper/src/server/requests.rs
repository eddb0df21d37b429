//! Answering clients: one function for each request, by the match in [`Server::answer`].

use std::os::fd::{AsFd, OwnedFd};

use super::launch::{has_output, keeper, wrong_fds};
use super::launcher::Launcher;
use super::slab::Key;
use super::{Server, State, send_reply};
use crate::client::Anchors;
use crate::log::{Driver, LogConfig};
use crate::protocol::frame::{self, Kind};
use crate::protocol::{
    AttachSpec, Event, Failure, Hello, Io, Launch, PROTOCOL, Part, Phase, Reply, Request, Stream,
    TaskId, WindowSize,
};

/// Requests of one client before the others get their turn.
const TURN: usize = 16;

impl<L: Launcher> Server<L> {
    pub(super) fn serve_connection(&mut self, key: Key) {
        for _ in 0..TURN {
            let Some(connection) = self.connections.get_mut(key) else { return };
            let message = match connection.socket.receive() {
                Ok(Some(message)) => message,
                Ok(None) => return,
                Err(_) => return self.drop_connection(key),
            };
            if message.kind != Kind::Request {
                return self.drop_connection(key);
            }
            match frame::decode_body::<Request>(&message.body) {
                Ok(request) => self.answer(key, message.seq, request, message.fds),
                Err(_unknown) => self.refuse(key, message.seq, unsupported()),
            }
        }
    }

    fn refuse(&mut self, key: Key, seq: u32, failure: Failure) {
        self.reply(key, seq, &Reply::Failed(failure), &[]);
    }

    fn answer(&mut self, key: Key, seq: u32, request: Request, fds: Vec<OwnedFd>) {
        let greeted = self.connections.get(key).is_some_and(|connection| connection.greeted);
        if !greeted && !matches!(request, Request::Hello(_)) {
            return self.refuse(key, seq, unsupported());
        }
        let result = match request {
            Request::Hello(_) => {
                if let Some(connection) = self.connections.get_mut(key) {
                    connection.greeted = true;
                }
                return self.reply(key, seq, &Reply::Hello(Hello::of_this_process()), &[]);
            }
            Request::Launch(launch) => match self.answer_launch(key, seq, launch, fds) {
                Ok(()) => return,
                Err(failure) => Err(failure),
            },
            Request::Inventory => return self.answer_inventory(key, seq),
            Request::Attach { id, spec } => match self.answer_attach(&id, spec, fds) {
                Ok(attach) => return self.reply(key, seq, &Reply::Attached { attach }, &[]),
                Err(failure) => Err(failure),
            },
            Request::Detach { id, attach } => self.answer_detach(&id, attach),
            Request::Resize { id, size } => self.answer_resize(&id, size),
            Request::CloseStdin { id } => self.answer_close_stdin(&id),
            Request::Signal { id, signal } => {
                self.find(&id).and_then(|task| self.signal(task, signal))
            }
            Request::Adopt { id, anchors } => match Anchors::from_fds(anchors, fds) {
                Ok(anchors) => self.find(&id).and_then(|task| self.adopt(task, anchors)),
                Err(_misfit) => Err(wrong_fds(0, anchors.count())),
            },
            Request::Forget { id } => self.find(&id).and_then(|task| self.forget(task)),
            Request::SetLog { id, log } => self.answer_set_log(&id, &log),
            Request::WatchLog { id } => self.answer_watch_log(key, &id),
            Request::Subscribe => return self.answer_subscribe(key, seq),
            Request::Shutdown { hand_over } => self.answer_shutdown(hand_over),
        };
        match result {
            Ok(()) => self.reply(key, seq, &Reply::Done, &[]),
            Err(failure) => self.refuse(key, seq, failure),
        }
    }

    fn find(&self, id: &TaskId) -> Result<Key, Failure> {
        self.names.get(id).copied().ok_or_else(|| Failure::NoSuchTask(id.clone()))
    }

    fn lacks(id: &TaskId, what: Part) -> Failure {
        Failure::Lacks { id: id.clone(), what }
    }

    fn answer_launch(
        &mut self,
        key: Key,
        seq: u32,
        launch: Launch,
        fds: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let (task, attaches) = self.launch(launch, fds)?;
        if let Some(task) = self.tasks.get(task) {
            let (anchors, fds) = task.anchors();
            let reply = Reply::Launched { pid: task.pid.cast_unsigned(), anchors, attaches };
            send_reply(&mut self.connections, key, seq, &reply, &fds);
        }
        Ok(())
    }

    fn answer_inventory(&mut self, key: Key, seq: u32) {
        for task in self.tasks.keys() {
            let Some(task) = self.tasks.get(task) else { continue };
            let (anchors, fds) = task.anchors();
            let reply = Reply::Task(task.report(anchors));
            send_reply(&mut self.connections, key, seq, &reply, &fds);
        }
        self.reply(key, seq, &Reply::Done, &[]);
    }

    fn answer_attach(
        &mut self,
        id: &TaskId,
        spec: AttachSpec,
        mut fds: Vec<OwnedFd>,
    ) -> Result<u64, Failure> {
        let key = self.find(id)?;
        let fd = match fds.pop() {
            Some(fd) if fds.is_empty() => fd,
            fd => return Err(wrong_fds(fds.len() + usize::from(fd.is_some()), 1)),
        };
        let Some(task) = self.tasks.get(key) else { return Err(Failure::NoSuchTask(id.clone())) };
        if task.state == State::Ended {
            return Err(Failure::WrongPhase { id: id.clone(), phase: Phase::Ended });
        }
        let shows = [(spec.stdout, Stream::Stdout), (spec.stderr, Stream::Stderr)];
        let wants_output = shows.iter().any(|(wanted, _)| *wanted);
        let has_any = shows.iter().any(|(wanted, stream)| *wanted && has_output(task, *stream));
        if wants_output && !has_any {
            return Err(Self::lacks(id, Part::Output));
        }
        if spec.stdin && !wants_output && task.stdin.is_none() {
            return Err(Self::lacks(id, Part::Stdin));
        }
        self.attach(key, spec, fd)
    }

    fn answer_detach(&mut self, id: &TaskId, number: u64) -> Result<(), Failure> {
        let key = self.find(id)?;
        let Some(task) = self.tasks.get(key) else { return Ok(()) };
        let attach = task
            .attaches
            .iter()
            .copied()
            .find(|key| self.attaches.get(*key).is_some_and(|attach| attach.number == number));
        match attach {
            Some(attach) => {
                self.detach(attach, None);
                Ok(())
            }
            None => Err(Self::lacks(id, Part::Attach)),
        }
    }

    fn answer_resize(&mut self, id: &TaskId, size: WindowSize) -> Result<(), Failure> {
        let key = self.find(id)?;
        let console = self.tasks.get(key).and_then(|task| task.console.as_ref());
        let Some(console) = console else { return Err(Self::lacks(id, Part::Terminal)) };
        sys::tty::set_size(console.master.as_fd(), size.columns, size.rows)
            .map_err(|errno| keeper("set the terminal's size", &errno.into()))
    }

    fn answer_close_stdin(&mut self, id: &TaskId) -> Result<(), Failure> {
        let key = self.find(id)?;
        match self.tasks.get(key) {
            Some(task) if task.stdin.is_some() && !matches!(task.io, Io::Tty { .. }) => {
                self.close_stdin(key);
                Ok(())
            }
            _ => Err(Self::lacks(id, Part::Stdin)),
        }
    }

    fn answer_set_log(&mut self, id: &TaskId, log: &LogConfig) -> Result<(), Failure> {
        let key = self.find(id)?;
        let Some(task) = self.tasks.get_mut(key) else { return Ok(()) };
        let Some(sink) = &mut task.sink else { return Err(Self::lacks(id, Part::Log)) };
        if log.driver == Driver::None {
            return Err(Self::lacks(id, Part::Log));
        }
        sink.writer.reconfigure(log).map_err(|error| keeper("change the log", &error))?;
        sink.commit(&self.journal).map_err(|error| keeper("write the journal", &error))?;
        task.log = log.clone();
        task.dir.write_task(&task.file()).map_err(|error| keeper("write the task file", &error))
    }

    fn answer_watch_log(&mut self, connection: Key, id: &TaskId) -> Result<(), Failure> {
        let key = self.find(id)?;
        let Some(task) = self.tasks.get_mut(key) else { return Ok(()) };
        if task.sink.is_none() {
            return Err(Self::lacks(id, Part::Log));
        }
        if !task.log_watchers.contains(&connection) {
            task.log_watchers.push(connection);
        }
        Ok(())
    }

    fn answer_subscribe(&mut self, key: Key, seq: u32) {
        if let Some(connection) = self.connections.get_mut(key) {
            connection.subscribed = true;
        }
        self.reply(key, seq, &Reply::Done, &[]);
        for task in self.tasks.keys() {
            let exit = self.tasks.get(task).and_then(|task| task.exit.clone());
            if let Some(exit) = exit {
                self.tell(key, &Event::Exited(exit));
            }
        }
    }

    fn answer_shutdown(&mut self, hand_over: bool) -> Result<(), Failure> {
        let running = self.running();
        if running > 0 && !hand_over {
            let tasks = u32::try_from(running).unwrap_or(u32::MAX);
            return Err(Failure::Busy { tasks });
        }
        self.leaving = true;
        Ok(())
    }
}

fn unsupported() -> Failure {
    Failure::Unsupported { protocol: PROTOCOL }
}

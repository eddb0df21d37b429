//! Starting a task.
//!
//! The order matters to a later keeper: directory and streams, then the task file without a pid, then the process, then the task file with its pid.
//! A keeper killed in between leaves a task whose process nobody knows; the daemon, which doesn't get its answer, kills by control group.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::epoll::Interest;

use super::attach::Attach;
use super::launcher::{Launcher, Started};
use super::output::Sink;
use super::slab::Key;
use super::task::{Task, make_console, make_streams};
use super::{Role, Server};
use crate::log::time::Clock;
use crate::log::writer::Writer;
use crate::log::{Driver, LogConfig};
use crate::process;
use crate::protocol::{AttachSpec, Failure, Io, Launch, Stream};
use crate::supervise::State;

impl<L: Launcher> Server<L> {
    /// Starts a task with its attaches; gives the task and the attaches' numbers.
    pub(super) fn launch(
        &mut self,
        launch: Launch,
        mut fds: Vec<OwnedFd>,
    ) -> Result<(Key, Vec<u64>), Failure> {
        let wanted = launch.attaches.len() + if launch.io == Io::Passed { 3 } else { 0 };
        if fds.len() < wanted {
            return Err(wrong_fds(fds.len(), wanted));
        }
        let attach_fds = fds.split_off(fds.len() - launch.attaches.len());
        let dir = self.root.task(&launch.id);
        if self.names.contains_key(&launch.id) {
            return Err(Failure::TaskExists(launch.id));
        }
        // A leftover that isn't in the table has no process: recovery has seen it.
        dir.remove()
            .and_then(|()| dir.create())
            .map_err(|e| keeper("make the task's directory", &e))?;
        let slot = self.journal.take().map_err(|e| keeper("write the journal", &e))?;
        let result = self.launch_in(&launch, slot, &fds);
        let key = match result {
            Ok(key) => key,
            Err(failure) => {
                self.journal.release(slot);
                return match dir.remove() {
                    Ok(()) => Err(failure),
                    Err(error) => Err(keeper("remove the task's directory", &error)),
                };
            }
        };
        let mut numbers = Vec::with_capacity(attach_fds.len());
        for (spec, fd) in launch.attaches.into_iter().zip(attach_fds) {
            // The process runs by now: an attach that fails is one that closed at once.
            numbers.push(self.attach(key, spec, fd).unwrap_or(0));
        }
        self.resume_outputs(key);
        Ok((key, numbers))
    }

    fn launch_in(&mut self, launch: &Launch, slot: u32, fds: &[OwnedFd]) -> Result<Key, Failure> {
        let dir = self.root.task(&launch.id);
        let streams = make_streams(&dir, launch.io).map_err(|e| keeper("make the streams", &e))?;
        let copies = streams.outputs.iter().any(Option::is_some);
        let sink = if copies { self.open_sink(&launch.log, slot)? } else { None };
        let mut task = Task {
            id: launch.id.clone(),
            dir,
            state: State::Running,
            pid: 0,
            start_ticks: 0,
            slot,
            io: launch.io,
            log: launch.log.clone(),
            pidfd: None,
            stdin: streams.stdin,
            outputs: streams.outputs,
            console: None,
            sink,
            attaches: Vec::new(),
            log_watchers: Vec::new(),
            loss_announced: 0,
            exit: None,
        };
        task.dir.write_task(&task.file()).map_err(|e| keeper("write the task file", &e))?;

        let all: Vec<BorrowedFd<'_>> = streams.theirs.iter().chain(fds).map(AsFd::as_fd).collect();
        let started = self.launcher.launch(&launch.plan, &all)?;
        drop(all);
        // The process has its own by now; ours would keep the FIFOs from ending.
        drop(streams.theirs);
        self.register(&mut task, started);
        let key = self.tasks.insert(task);
        self.names.insert(launch.id.clone(), key);
        self.watch_task(key);
        Ok(key)
    }

    /// Notes a process that runs. Nothing here may give up on it any more: failures leave a task with less, not a process without a task.
    fn register(&mut self, task: &mut Task, started: Started) {
        task.pid = started.pid;
        task.start_ticks = process::stat(started.pid).map_or(0, |stat| stat.start_ticks);
        task.pidfd = Some(started.pidfd);
        if let Some(master) = started.console {
            if let Io::Tty { size } = task.io {
                // A terminal without a size is a usable terminal.
                let _ignored = sys::tty::set_size(&master, size.columns, size.rows);
            }
            match make_console(&task.dir, master) {
                Ok((console, stdin)) => (task.console, task.stdin) = (Some(console), Some(stdin)),
                Err(error) => eprintln!("keeper: cannot copy the terminal of {}: {error}", task.id),
            }
        }
        if let Err(error) = task.dir.write_task(&task.file()) {
            eprintln!("keeper: cannot note the process of {}: {error}", task.id);
        }
    }

    /// Watches a task's process, in whatever way its state needs.
    pub(super) fn watch_task(&mut self, key: Key) {
        let Some(task) = self.tasks.get(key) else { return };
        if let Some(pidfd) = &task.pidfd
            && let Err(error) = self.epoll.add(pidfd, Role::Pidfd.token(key), Interest::READ)
        {
            eprintln!("keeper: cannot watch {}: {error}", task.id);
        }
    }

    fn open_sink(&mut self, log: &LogConfig, slot: u32) -> Result<Option<Sink>, Failure> {
        if log.driver == Driver::None {
            return Ok(None);
        }
        let writer = Writer::open(log, None).map_err(|e| keeper("open the log", &e))?;
        let mut sink = Sink {
            writer,
            clock: Clock::default(),
            slot,
            streams: Default::default(),
            lost: 0,
            lost_errno: 0,
            grew: false,
            rotated: false,
        };
        sink.commit(&self.journal).map_err(|e| keeper("write the journal", &e))?;
        Ok(Some(sink))
    }

    /// Serves another fd; gives its number.
    pub(super) fn attach(
        &mut self,
        key: Key,
        spec: AttachSpec,
        fd: OwnedFd,
    ) -> Result<u64, Failure> {
        let number = self.next_attach;
        self.next_attach += 1;
        let input = spec.input.clone();
        let attach = Attach::new(key, number, spec, fd).map_err(|e| keeper("attach", &e))?;
        let attach_key = self.attaches.insert(attach);
        if let Some(task) = self.tasks.get_mut(key) {
            task.attaches.push(attach_key);
        }
        self.watch_new_attach(attach_key);
        if !input.is_empty() {
            self.typed(attach_key, &input);
        }
        Ok(number)
    }
}

pub(super) fn wrong_fds(got: usize, want: usize) -> Failure {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Failure::Fds { got: count(got), want: count(want) }
}

pub(super) fn keeper(action: &str, error: &std::io::Error) -> Failure {
    Failure::Keeper { action: action.to_owned(), errno: error.raw_os_error().unwrap_or(0) }
}

/// Whether a task has an output stream for an attach to show.
pub(super) fn has_output(task: &Task, stream: Stream) -> bool {
    task.outputs[super::output::index(stream)].is_some()
}

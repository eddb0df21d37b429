//! Going on after another keeper: from the task files on the exec-root, and then from what the daemon hands back.

use std::io;
use std::os::fd::OwnedFd;

use sys::fifo::{self, End};

use super::Server;
use super::launcher::Launcher;
use super::output::{Output, Sink, index};
use super::task::{Stdin, Task};
use crate::exec_root::{TaskDir, TaskFile};
use crate::journal::Commit;
use crate::log::Driver;
use crate::log::time::Clock;
use crate::log::writer::Writer;
use crate::process;
use crate::protocol::{Io, Stream};
use crate::supervise::State;

impl<L: Launcher> Server<L> {
    /// Takes over all tasks that are on the exec-root.
    pub(super) fn recover(&mut self) -> io::Result<()> {
        let found = self.root.tasks()?;
        // First all slots, so that none is given away.
        for (_, file) in &found {
            self.journal.retake(file.slot);
        }
        for (dir, file) in found {
            self.recover_task(dir, file);
        }
        Ok(())
    }

    fn recover_task(&mut self, dir: TaskDir, file: TaskFile) {
        let exit = dir.read_exit().unwrap_or_else(|error| {
            // It is asked for again, then: better unknown than no keeper.
            eprintln!("keeper: cannot read the exit of {}: {error}", file.id);
            None
        });
        let (state, pidfd) = match exit {
            Some(_) => (State::Ended, None),
            None => match find_process(&file) {
                Some(pidfd) => (State::Orphaned, Some(pidfd)),
                None => (State::Missing, None),
            },
        };
        let mut task = Task {
            id: file.id,
            state,
            pid: file.pid,
            start_ticks: file.start_ticks,
            slot: file.slot,
            io: file.io,
            log: file.log,
            pidfd,
            stdin: None,
            outputs: [None, None],
            console: None,
            sink: None,
            attaches: Vec::new(),
            log_watchers: Vec::new(),
            loss_announced: 0,
            exit,
            dir,
        };
        if state != State::Ended {
            self.recover_streams(&mut task);
        }
        let id = task.id.clone();
        let key = self.tasks.insert(task);
        self.names.insert(id, key);
        self.watch_task(key);
        self.look_at_log(key);
        self.resume_outputs(key);
    }

    fn recover_streams(&mut self, task: &mut Task) {
        let streams: &[Stream] = match task.io {
            Io::Null | Io::Passed => return,
            Io::Streams { .. } => &[Stream::Stdout, Stream::Stderr],
            Io::Tty { .. } => &[Stream::Stdout],
        };
        for stream in streams {
            match fifo::open(&task.dir.fifo(*stream), End::Read) {
                Ok(fd) => task.outputs[index(*stream)] = Some(Output::new(*stream, fd)),
                Err(error) => eprintln!("keeper: cannot reopen a stream of {}: {error}", task.id),
            }
        }
        // It fails when stdin was closed (no name), when there never was one, and when the process closed its end.
        task.stdin = fifo::open(&task.dir.stdin(), End::Write).ok().map(Stdin::new);
        if task.log.driver != Driver::None
            && let Err(error) = self.recover_log(task)
        {
            eprintln!("keeper: cannot go on with the log of {}: {error}", task.id);
        }
    }

    fn recover_log(&mut self, task: &mut Task) -> io::Result<()> {
        let committed = self.journal.read(task.slot)?;
        let writer = Writer::open(&task.log, committed.map(|commit| commit.log))?;
        let commit = committed.unwrap_or_else(Commit::default);
        let mut sink = Sink {
            writer,
            clock: Clock::after(commit.clock_ns),
            slot: task.slot,
            streams: commit.streams,
            lost: 0,
            lost_errno: 0,
            grew: false,
            // An earlier keeper may have been killed before it had compressed everything.
            rotated: true,
        };
        for output in task.outputs.iter_mut().flatten() {
            output.restore(&task.dir, commit.streams[index(output.stream)])?;
            sink.streams[index(output.stream)] = output.committed();
        }
        sink.commit(&self.journal)?;
        for output in task.outputs.iter_mut().flatten() {
            output.catch_up(&mut sink, &self.journal, &mut self.scratch)?;
        }
        sink.writer.trim()?;
        task.sink = Some(sink);
        Ok(())
    }
}

/// The task's process, if it is still there. A pid alone says nothing: it may have been given to another since.
fn find_process(file: &TaskFile) -> Option<OwnedFd> {
    if file.pid <= 0 {
        return None;
    }
    let is_same =
        || process::stat(file.pid).is_some_and(|stat| stat.start_ticks == file.start_ticks);
    if !is_same() {
        return None;
    }
    let pidfd = sys::pidfd::open(file.pid).ok()?;
    is_same().then_some(pidfd)
}

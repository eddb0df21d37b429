//! A task as the keeper holds it, and making its standard streams.
//!
//! Owns a task's fds and what is known of it. Doesn't move bytes and doesn't decide what happens next.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::fifo::{self, End};

use super::output::{Output, Sink};
use super::slab::Key;
use crate::exec_root::{TaskDir, TaskFile};
use crate::log::LogConfig;
use crate::protocol::{AnchorSet, ExitRecord, Io, Owner, Phase, Stream, TaskId, TaskReport};
use crate::supervise::State;

#[derive(Debug)]
pub(crate) struct Task {
    pub id: TaskId,
    pub dir: TaskDir,
    pub state: State,
    pub pid: i32,
    pub start_ticks: u64,
    pub slot: u32,
    pub io: Io,
    pub log: LogConfig,
    pub pidfd: Option<OwnedFd>,
    pub stdin: Option<Stdin>,
    pub outputs: [Option<Output>; 2],
    pub console: Option<Console>,
    pub sink: Option<Sink>,
    pub attaches: Vec<Key>,
    /// Connections that want to be told when the log grows.
    pub log_watchers: Vec<Key>,
    /// The last failure to log that was announced.
    pub loss_announced: i32,
    pub exit: Option<ExitRecord>,
}

/// The way into a task: a FIFO's write end, or a terminal's master.
#[derive(Debug)]
pub(crate) struct Stdin {
    pub fd: OwnedFd,
    /// What there was no room for.
    pub waiting: Vec<u8>,
    /// Close once nothing waits.
    pub close_then: bool,
}

impl Stdin {
    pub fn new(fd: OwnedFd) -> Stdin {
        Stdin { fd, waiting: Vec::new(), close_then: false }
    }
}

/// A terminal: its bytes take the way of a FIFO behind it, because only what is in a pipe can be moved to a spool in one step.
#[derive(Debug)]
pub(crate) struct Console {
    pub master: OwnedFd,
    /// Write end of the FIFO whose read end is the task's stdout.
    pub stage: OwnedFd,
    pub watched: bool,
}

impl Task {
    pub fn file(&self) -> TaskFile {
        TaskFile {
            id: self.id.clone(),
            pid: self.pid,
            start_ticks: self.start_ticks,
            slot: self.slot,
            io: self.io,
            log: self.log.clone(),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.state {
            State::Running | State::Orphaned => Phase::Running,
            State::Missing => Phase::Missing,
            State::Ended => Phase::Ended,
        }
    }

    /// The fds that a client should keep.
    pub fn anchors(&self) -> (AnchorSet, Vec<BorrowedFd<'_>>) {
        if self.state == State::Ended {
            return (AnchorSet::default(), Vec::new());
        }
        let output =
            |output: &Option<Output>| output.as_ref().map(|output| output.fifo.as_fd()).is_some();
        let has_tty = matches!(self.io, Io::Tty { .. });
        let set = AnchorSet {
            pidfd: self.pidfd.is_some(),
            stdin: self.stdin.is_some() && !has_tty,
            stdout: output(&self.outputs[0]),
            stderr: output(&self.outputs[1]),
            tty: self.console.is_some(),
        };
        let stdin = self.stdin.as_ref().filter(|_| set.stdin).map(|stdin| stdin.fd.as_fd());
        let fds = [
            self.pidfd.as_ref().map(AsFd::as_fd),
            stdin,
            self.outputs[0].as_ref().map(AsFd::as_fd),
            self.outputs[1].as_ref().map(AsFd::as_fd),
            self.console.as_ref().map(|console| console.master.as_fd()),
        ];
        (set, fds.into_iter().flatten().collect())
    }

    pub fn report(&self, anchors: AnchorSet) -> TaskReport {
        TaskReport {
            id: self.id.clone(),
            phase: self.phase(),
            pid: self.pid.cast_unsigned(),
            io: self.io,
            log: self.log.clone(),
            anchors,
            attaches: u32::try_from(self.attaches.len()).unwrap_or(u32::MAX),
            log_bytes_lost: self.sink.as_ref().map_or(0, |sink| sink.lost),
            exit: self.exit.clone(),
        }
    }
}

/// The two sides of a new task's standard streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub stdin: Option<Stdin>,
    pub outputs: [Option<Output>; 2],
    /// What the process gets as 0, 1 and 2; nothing when the caller brings its own.
    pub theirs: Vec<OwnedFd>,
}

/// Makes the streams that `io` asks for.
pub(crate) fn make_streams(dir: &TaskDir, io: Io) -> io::Result<Streams> {
    match io {
        Io::Passed => Ok(Streams::default()),
        Io::Null => {
            let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
            let theirs = vec![null()?.into(), null()?.into(), null()?.into()];
            Ok(Streams { theirs, ..Streams::default() })
        }
        Io::Streams { stdin, owner } => {
            let (their_in, stdin) = if stdin {
                let (theirs, ours) = make_stdin(dir, owner)?;
                (theirs, Some(Stdin::new(ours)))
            } else {
                (std::fs::File::open("/dev/null")?.into(), None)
            };
            let (their_out, out) = make_output(dir, Stream::Stdout, owner)?;
            let (their_err, err) = make_output(dir, Stream::Stderr, owner)?;
            let theirs = vec![their_in, their_out, their_err];
            Ok(Streams { stdin, outputs: [Some(out), Some(err)], theirs })
        }
        Io::Tty { .. } => {
            // The terminal itself is made in the container's devpts by the runtime.
            fifo::make(&dir.fifo(Stream::Stdout), 0o600, 0, 0)?;
            let out =
                Output::new(Stream::Stdout, fifo::open(&dir.fifo(Stream::Stdout), End::Read)?);
            Ok(Streams { outputs: [Some(out), None], ..Streams::default() })
        }
    }
}

fn make_stdin(dir: &TaskDir, owner: Owner) -> io::Result<(OwnedFd, OwnedFd)> {
    let path = dir.stdin();
    fifo::make(&path, 0o600, owner.uid, owner.gid)?;
    // Opening an end blocks or fails while the other isn't open; this one is both for a moment.
    let both = fifo::open(&path, End::Both)?;
    let theirs = fifo::open(&path, End::ReadBlocking)?;
    let ours = fifo::open(&path, End::Write)?;
    drop(both);
    Ok((theirs, ours))
}

fn make_output(dir: &TaskDir, stream: Stream, owner: Owner) -> io::Result<(OwnedFd, Output)> {
    let path = dir.fifo(stream);
    fifo::make(&path, 0o600, owner.uid, owner.gid)?;
    let ours = fifo::open(&path, End::Read)?;
    let theirs = fifo::open(&path, End::Both)?;
    Ok((theirs, Output::new(stream, ours)))
}

/// Connects a terminal's master with the FIFO behind it.
pub(crate) fn make_console(dir: &TaskDir, master: OwnedFd) -> io::Result<(Console, Stdin)> {
    fifo::set_nonblocking(&master, true)?;
    let stage = fifo::open(&dir.fifo(Stream::Stdout), End::Write)?;
    let stdin = Stdin::new(fifo::duplicate(master.as_fd())?);
    Ok((Console { master, stage, watched: false }, stdin))
}

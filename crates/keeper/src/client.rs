//! The daemon's side of the control connection.
//!
//! The core never blocks: [`Client::post`] numbers and sends a request, [`Client::poll`] takes in what has arrived, and the socket
//! can be watched with epoll or tokio's `AsyncFd` ([`AsFd`]). On top of it are blocking calls for tests, tools and start-up.
//! Owns matching replies to requests for the blocking calls; doesn't reconnect and doesn't start keepers (see [`crate::spawn`]).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use model::ErrorKind;
use sys::epoll::{Interest, wait_one};

use crate::log::LogConfig;
use crate::protocol::frame::{self, FrameError, Kind};
use crate::protocol::{
    AnchorSet, AttachSpec, Event, Failure, Hello, Launch, PROTOCOL, Reply, Request, TaskId,
    TaskReport, WindowSize,
};
use crate::socket::{Socket, SocketError};

/// How long a blocking call waits for its reply. A launch may sit in a slow mount; everything else is instant.
const PATIENCE: Duration = Duration::from_secs(60);

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("cannot reach a keeper at {path}")]
    Connect {
        /// The socket's path.
        path: Box<Path>,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("lost the connection to the keeper")]
    Connection {
        /// Why.
        source: SocketError,
    },
    /// The keeper says no.
    #[error("the keeper refused")]
    Refused {
        /// Its reason.
        source: Failure,
    },
    /// The keeper doesn't answer.
    #[error("the keeper didn't answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The answer isn't one to the question.
    #[error("the keeper's answer doesn't fit the request")]
    Misfit,
}

impl ClientError {
    /// For the edges.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ClientError::Connect { .. }
            | ClientError::Connection { .. }
            | ClientError::Silent(_) => ErrorKind::Unavailable,
            ClientError::Refused { source } => source.kind(),
            ClientError::Misfit => ErrorKind::Internal,
        }
    }
}

/// The fds that keep a task whole while no keeper lives; to be stored and handed back by [`Client::adopt`].
#[derive(Debug, Default)]
pub struct Anchors {
    /// Pidfd of the first process; knows the exit status even after somebody reaped it (Linux 6.15).
    pub pidfd: Option<OwnedFd>,
    /// Write end of stdin; to be dropped when stdin is closed.
    pub stdin: Option<OwnedFd>,
    /// Read end of the stdout FIFO (with a terminal: of the FIFO behind it); never to be read.
    pub stdout: Option<OwnedFd>,
    /// Read end of the stderr FIFO; never to be read.
    pub stderr: Option<OwnedFd>,
    /// The terminal's master; its size may be set through it.
    pub tty: Option<OwnedFd>,
}

impl Anchors {
    /// Takes the fds of a message apart.
    ///
    /// # Errors
    /// When their number isn't what `set` says.
    pub fn from_fds(set: AnchorSet, fds: Vec<OwnedFd>) -> Result<Anchors, ClientError> {
        if fds.len() != set.count() {
            return Err(ClientError::Misfit);
        }
        let mut fds = fds.into_iter();
        let mut take = |present: bool| if present { fds.next() } else { None };
        Ok(Anchors {
            pidfd: take(set.pidfd),
            stdin: take(set.stdin),
            stdout: take(set.stdout),
            stderr: take(set.stderr),
            tty: take(set.tty),
        })
    }

    /// Which are there.
    #[must_use]
    pub fn set(&self) -> AnchorSet {
        AnchorSet {
            pidfd: self.pidfd.is_some(),
            stdin: self.stdin.is_some(),
            stdout: self.stdout.is_some(),
            stderr: self.stderr.is_some(),
            tty: self.tty.is_some(),
        }
    }

    /// In the order of [`AnchorSet`].
    #[must_use]
    pub fn as_fds(&self) -> Vec<BorrowedFd<'_>> {
        let all = [&self.pidfd, &self.stdin, &self.stdout, &self.stderr, &self.tty];
        all.into_iter().flatten().map(AsFd::as_fd).collect()
    }
}

/// A started process.
#[derive(Debug)]
pub struct Launched {
    /// Its process id.
    pub pid: u32,
    /// What to keep for a later keeper.
    pub anchors: Anchors,
    /// Numbers of the attaches that were asked for.
    pub attaches: Vec<u64>,
}

/// Something that arrived.
#[derive(Debug)]
pub enum Incoming {
    /// The answer to the request with this number.
    Reply {
        /// As returned by [`Client::post`].
        seq: u32,
        /// The answer.
        reply: Reply,
        /// The fds that came along.
        fds: Vec<OwnedFd>,
    },
    /// Told unasked.
    Event(Event),
}

/// A connection to a keeper.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    seq: u32,
    events: VecDeque<Event>,
    keeper: Hello,
}

impl Client {
    /// Connects to the keeper of `exec_root` and says hello.
    ///
    /// # Errors
    /// [`ClientError::Connect`] when none listens.
    pub fn connect(exec_root: &Path) -> Result<Client, ClientError> {
        let path = exec_root.join(crate::SOCKET);
        let fd = sys::packet::connect(&path)
            .map_err(|source| ClientError::Connect { path: path.into(), source })?;
        let keeper = Hello { protocol: 0, build: String::new(), pid: 0 };
        let mut client =
            Client { socket: Socket::new(fd), seq: 0, events: VecDeque::new(), keeper };
        match client.call(&Request::Hello(Hello::of_this_process()), &[])? {
            (Reply::Hello(keeper), _) => client.keeper = keeper,
            _ => return Err(ClientError::Misfit),
        }
        Ok(client)
    }

    /// Who answers: its protocol version bounds what may be asked.
    #[must_use]
    pub fn keeper(&self) -> &Hello {
        &self.keeper
    }

    /// Whether the keeper is of this very build and protocol.
    #[must_use]
    pub fn keeper_is_current(&self) -> bool {
        self.keeper.protocol == PROTOCOL && self.keeper.build == crate::protocol::BUILD
    }

    /// Sends a request without waiting; the answer comes out of [`Client::poll`] with the returned number.
    ///
    /// # Errors
    /// When the connection is closed or stuck.
    pub fn post(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<u32, ClientError> {
        self.seq = self.seq.wrapping_add(1).max(1);
        self.socket.send(Kind::Request, self.seq, request, fds).map_err(connection)?;
        Ok(self.seq)
    }

    /// Whether something waits for the socket to become writable; then [`Client::flush`].
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.socket.has_waiting()
    }

    /// Sends what the socket had no room for.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        self.socket.flush().map_err(connection)
    }

    /// The next message, without waiting; `None` when there is none now.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn poll(&mut self) -> Result<Option<Incoming>, ClientError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(Incoming::Event(event)));
        }
        self.take_in()
    }

    fn take_in(&mut self) -> Result<Option<Incoming>, ClientError> {
        loop {
            let Some(message) = self.socket.receive().map_err(connection)? else { return Ok(None) };
            match message.kind {
                Kind::Reply => {
                    let reply = frame::decode_body(&message.body).map_err(misread)?;
                    return Ok(Some(Incoming::Reply { seq: message.seq, reply, fds: message.fds }));
                }
                // An event that this build doesn't know comes from a newer keeper; there is nobody to answer.
                Kind::Event => match frame::decode_body(&message.body) {
                    Ok(event) => return Ok(Some(Incoming::Event(event))),
                    Err(_unknown) => {}
                },
                Kind::Request => return Err(ClientError::Misfit),
            }
        }
    }

    /// Asks and waits for the answer. Events that arrive meanwhile are kept.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the keeper's reason; otherwise a broken connection.
    pub fn call(
        &mut self,
        request: &Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        let seq = self.post(request, fds)?;
        self.await_reply(seq)
    }

    fn await_reply(&mut self, seq: u32) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.take_in()? {
                Some(Incoming::Reply { seq: got, reply, fds }) if got == seq => {
                    return match reply {
                        Reply::Failed(source) => Err(ClientError::Refused { source }),
                        reply => Ok((reply, fds)),
                    };
                }
                Some(Incoming::Reply { .. }) => {}
                Some(Incoming::Event(event)) => self.events.push_back(event),
                None => self.wait(deadline)?,
            }
        }
    }

    fn wait(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let interest = Interest { read: true, write: self.wants_write(), edge: false };
        let ready = wait_one(&self.socket, interest, Some(left)).map_err(|source| {
            connection(SocketError::Io { action: "wait for the keeper", source })
        })?;
        if !ready && left.is_zero() {
            return Err(ClientError::Silent(PATIENCE));
        }
        self.flush()
    }

    /// Waits for the next event; `None` when `timeout` is over first.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.poll()? {
                Some(Incoming::Event(event)) => return Ok(Some(event)),
                Some(Incoming::Reply { .. }) => {}
                None => match self.wait(deadline) {
                    Ok(()) => {}
                    Err(ClientError::Silent(_)) => return Ok(None),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    fn done(&mut self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        match self.call(request, fds)? {
            (Reply::Done, _) => Ok(()),
            _ => Err(ClientError::Misfit),
        }
    }

    /// Starts a process. `fds`: the plan's, then one per attach.
    ///
    /// # Errors
    /// [`Failure::TaskExists`], [`Failure::Start`] and others.
    pub fn launch(
        &mut self,
        launch: Launch,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Launched, ClientError> {
        let (reply, fds) = self.call(&Request::Launch(launch), fds)?;
        launched(reply, fds)
    }

    /// Attaches `fd`; gives the attach's number.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::Lacks`].
    pub fn attach(
        &mut self,
        id: &TaskId,
        spec: AttachSpec,
        fd: BorrowedFd<'_>,
    ) -> Result<u64, ClientError> {
        match self.call(&Request::Attach { id: id.clone(), spec }, &[fd])? {
            (Reply::Attached { attach }, _) => Ok(attach),
            _ => Err(ClientError::Misfit),
        }
    }

    /// Ends one attach.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::Lacks`].
    pub fn detach(&mut self, id: &TaskId, attach: u64) -> Result<(), ClientError> {
        self.done(&Request::Detach { id: id.clone(), attach }, &[])
    }

    /// Sets the size of a task's terminal.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::Lacks`].
    pub fn resize(&mut self, id: &TaskId, size: WindowSize) -> Result<(), ClientError> {
        self.done(&Request::Resize { id: id.clone(), size }, &[])
    }

    /// Closes the keeper's write end of a task's stdin; drop [`Anchors::stdin`] as well.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::Lacks`].
    pub fn close_stdin(&mut self, id: &TaskId) -> Result<(), ClientError> {
        self.done(&Request::CloseStdin { id: id.clone() }, &[])
    }

    /// Signals a task's first process.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::WrongPhase`] when it has ended.
    pub fn signal(&mut self, id: &TaskId, signal: u8) -> Result<(), ClientError> {
        self.done(&Request::Signal { id: id.clone(), signal }, &[])
    }

    /// All tasks with their anchors.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn inventory(&mut self) -> Result<Vec<(TaskReport, Anchors)>, ClientError> {
        let seq = self.post(&Request::Inventory, &[])?;
        let mut tasks = Vec::new();
        loop {
            match self.await_reply(seq)? {
                (Reply::Task(report), fds) => {
                    let anchors = Anchors::from_fds(report.anchors, fds)?;
                    tasks.push((report, anchors));
                }
                (Reply::Done, _) => return Ok(tasks),
                _ => return Err(ClientError::Misfit),
            }
        }
    }

    /// Hands a task's anchors to a keeper that was started after another died.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`].
    pub fn adopt(&mut self, id: &TaskId, anchors: &Anchors) -> Result<(), ClientError> {
        let request = Request::Adopt { id: id.clone(), anchors: anchors.set() };
        self.done(&request, &anchors.as_fds())
    }

    /// Lets the keeper drop an ended task.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::WrongPhase`] while it runs.
    pub fn forget(&mut self, id: &TaskId) -> Result<(), ClientError> {
        self.done(&Request::Forget { id: id.clone() }, &[])
    }

    /// Changes a task's log configuration.
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::Lacks`] when its output isn't copied.
    pub fn set_log(&mut self, id: &TaskId, log: LogConfig) -> Result<(), ClientError> {
        self.done(&Request::SetLog { id: id.clone(), log }, &[])
    }

    /// Asks for one [`Event::LogGrew`].
    ///
    /// # Errors
    /// [`Failure::NoSuchTask`], [`Failure::Lacks`].
    pub fn watch_log(&mut self, id: &TaskId) -> Result<(), ClientError> {
        self.done(&Request::WatchLog { id: id.clone() }, &[])
    }

    /// Asks for all events from now on, and for the exits that nobody acknowledged yet.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn subscribe(&mut self) -> Result<(), ClientError> {
        self.done(&Request::Subscribe, &[])
    }

    /// Ends the keeper.
    ///
    /// # Errors
    /// [`Failure::Busy`] while processes run and `hand_over` isn't set.
    pub fn shutdown(&mut self, hand_over: bool) -> Result<(), ClientError> {
        self.done(&Request::Shutdown { hand_over }, &[])
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Reads the answer to [`Request::Launch`]; for callers of [`Client::post`].
///
/// # Errors
/// [`ClientError::Refused`] with the keeper's reason.
pub fn launched(reply: Reply, fds: Vec<OwnedFd>) -> Result<Launched, ClientError> {
    match reply {
        Reply::Launched { pid, anchors, attaches } => {
            Ok(Launched { pid, anchors: Anchors::from_fds(anchors, fds)?, attaches })
        }
        Reply::Failed(source) => Err(ClientError::Refused { source }),
        _ => Err(ClientError::Misfit),
    }
}

fn connection(source: SocketError) -> ClientError {
    ClientError::Connection { source }
}

fn misread(source: FrameError) -> ClientError {
    connection(SocketError::Frame { source })
}

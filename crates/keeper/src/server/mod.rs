//! The keeper's loop: waits until one of its fds is ready and does what is to be done.
//!
//! Owns the tables of tasks, attaches and connections, and who is watched for what. What is done lives beside it: [`requests`] answers clients,
//! [`launch`] starts, [`copy`] moves output and input, [`ending`] sees processes end, [`recover`] goes on after another keeper.
//!
//! **Invariant**: nothing here waits, except the start of a process.

mod attach;
mod copy;
mod ending;
mod launch;
pub mod launcher;
mod output;
mod packing;
mod recover;
mod requests;
mod slab;
mod task;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use sys::epoll::{Epoll, Interest, Ready};

use crate::exec_root::ExecRoot;
use crate::journal::Journal;
use crate::protocol::frame::Kind;
use crate::protocol::{Event, Reply, TaskId};
use crate::socket::Socket;
use crate::supervise::State;
use attach::Attach;
use launcher::Launcher;
use output::Scratch;
use packing::Packing;
use slab::{Key, Slab};
use task::Task;

/// How long a stalled output or a refused client waits for the next try.
const RETRY: Duration = Duration::from_millis(100);

/// What an fd is, in the top byte of its epoll token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Listener,
    Connection,
    Pidfd,
    Stdout,
    Stderr,
    Console,
    Stdin,
    Attach,
}

const ROLES: [Role; 8] = [
    Role::Listener,
    Role::Connection,
    Role::Pidfd,
    Role::Stdout,
    Role::Stderr,
    Role::Console,
    Role::Stdin,
    Role::Attach,
];

impl Role {
    fn token(self, key: Key) -> u64 {
        (self as u64) << 56 | key.to_bits()
    }

    fn of(token: u64) -> Option<(Role, Key)> {
        Some((*ROLES.get((token >> 56) as usize)?, Key::from_bits(token)))
    }

    fn output(index: usize) -> Role {
        if index == 0 { Role::Stdout } else { Role::Stderr }
    }
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    /// Has said hello.
    greeted: bool,
    /// Wants events.
    subscribed: bool,
    watched_for_write: bool,
}

/// Something to try again after [`RETRY`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stalled {
    Listener,
    Outputs(Key),
}

pub(crate) struct Server<L> {
    root: ExecRoot,
    epoll: Epoll,
    journal: Journal,
    launcher: L,
    listener: OwnedFd,
    names: HashMap<TaskId, Key>,
    tasks: Slab<Task>,
    attaches: Slab<Attach>,
    connections: Slab<Connection>,
    scratch: Scratch,
    next_attach: u64,
    stalled: Vec<Stalled>,
    packing: Packing,
    leaving: bool,
}

impl<L: Launcher> Server<L> {
    /// A keeper for the tasks that are on the exec-root, listening on its socket.
    pub fn open(root: ExecRoot, launcher: L) -> io::Result<Self> {
        let journal = Journal::open(&root.journal())?;
        let listener = sys::packet::listen(&root.socket())?;
        let mut server = Server {
            root,
            epoll: Epoll::new(64)?,
            journal,
            launcher,
            listener,
            names: HashMap::new(),
            tasks: Slab::new(),
            attaches: Slab::new(),
            connections: Slab::new(),
            scratch: Scratch::default(),
            next_attach: 1,
            stalled: Vec::new(),
            packing: Packing::default(),
            leaving: false,
        };
        server.recover()?;
        server.watch_listener()?;
        Ok(server)
    }

    fn watch_listener(&self) -> io::Result<()> {
        self.epoll.add(&self.listener, Role::Listener.token(Key::from_bits(0)), Interest::READ)
    }

    /// Serves until a client ends it, or until nothing runs and nobody has been connected for `idle`.
    pub fn serve(&mut self, idle: Duration) -> io::Result<()> {
        let mut ready = Vec::new();
        let mut alone_since = Instant::now();
        let mut last_try = alone_since;
        while !self.leaving {
            let needed = self.is_needed();
            let timeout = if self.packing.is_busy() {
                Some(Duration::ZERO)
            } else if !self.stalled.is_empty() {
                Some(RETRY)
            } else if needed {
                None
            } else {
                Some(idle.saturating_sub(alone_since.elapsed()))
            };
            self.epoll.wait(timeout, &mut ready)?;
            if needed || !ready.is_empty() {
                alone_since = Instant::now();
            } else if alone_since.elapsed() >= idle {
                break;
            }
            for event in &ready {
                self.dispatch(*event);
            }
            self.scratch.relax();
            self.pack_slice();
            if last_try.elapsed() >= RETRY {
                last_try = Instant::now();
                self.retry_stalled();
            }
        }
        Ok(())
    }

    fn dispatch(&mut self, event: Ready) {
        let Some((role, key)) = Role::of(event.token) else { return };
        match role {
            Role::Listener => self.accept(),
            Role::Connection => self.on_connection(key, event),
            Role::Pidfd => self.on_pidfd(key),
            Role::Stdout => self.on_output(key, 0),
            Role::Stderr => self.on_output(key, 1),
            Role::Console => self.on_console(key),
            Role::Stdin => self.on_stdin(key),
            Role::Attach => self.on_attach(key, event),
        }
    }

    fn retry_stalled(&mut self) {
        for stalled in std::mem::take(&mut self.stalled) {
            match stalled {
                Stalled::Listener => {
                    if self.watch_listener().is_err() {
                        self.stalled.push(Stalled::Listener);
                    }
                }
                Stalled::Outputs(key) => self.resume_outputs(key),
            }
        }
    }

    fn is_needed(&self) -> bool {
        self.connections.len() > 0
            || self.attaches.len() > 0
            || self.packing.is_busy()
            || self.running() > 0
    }

    fn running(&self) -> usize {
        self.tasks.iter().filter(|(_, task)| task.state != State::Ended).count()
    }

    fn accept(&mut self) {
        loop {
            let fd = match sys::packet::accept(&self.listener) {
                Ok(Some(fd)) => fd,
                Ok(None) => return,
                Err(_out_of_descriptors) => {
                    // The client stays in the queue; asking again at once would only burn time.
                    if self.epoll.remove(&self.listener).is_ok() {
                        self.stalled.push(Stalled::Listener);
                    }
                    return;
                }
            };
            // The socket's mode keeps others out; this holds even if somebody changes it.
            if !sys::packet::is_same_user(&fd).unwrap_or(false) {
                continue;
            }
            let connection = Connection {
                socket: Socket::new(fd),
                greeted: false,
                subscribed: false,
                watched_for_write: false,
            };
            let key = self.connections.insert(connection);
            let Some(connection) = self.connections.get(key) else { return };
            if self
                .epoll
                .add(&connection.socket, Role::Connection.token(key), Interest::READ)
                .is_err()
            {
                self.connections.remove(key);
            }
        }
    }

    fn on_connection(&mut self, key: Key, event: Ready) {
        if event.writable
            && let Some(connection) = self.connections.get_mut(key)
            && connection.socket.flush().is_err()
        {
            return self.drop_connection(key);
        }
        if event.readable || event.hung_up {
            self.serve_connection(key);
        }
        self.watch_connection(key);
    }

    fn watch_connection(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let write = connection.socket.has_waiting();
        if write != connection.watched_for_write {
            connection.watched_for_write = write;
            let interest = Interest { read: true, write, edge: false };
            if self.epoll.modify(&connection.socket, Role::Connection.token(key), interest).is_err()
            {
                self.drop_connection(key);
            }
        }
    }

    fn drop_connection(&mut self, key: Key) {
        // Closing removes it from epoll: nobody else has this socket.
        self.connections.remove(key);
    }

    fn reply(&mut self, key: Key, seq: u32, reply: &Reply, fds: &[BorrowedFd<'_>]) {
        send_reply(&mut self.connections, key, seq, reply, fds);
    }

    /// Tells an event to everybody who subscribed.
    fn announce(&mut self, event: &Event) {
        for key in self.connections.keys() {
            if self.connections.get(key).is_some_and(|connection| connection.subscribed) {
                self.tell(key, event);
            }
        }
    }

    fn tell(&mut self, key: Key, event: &Event) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        match connection.socket.send(Kind::Event, 0, event, &[]) {
            Ok(()) => self.watch_connection(key),
            Err(_) => self.drop_connection(key),
        }
    }

    /// Stops watching and closes. Anchors are duplicates elsewhere, and epoll watches the open file, not the number.
    fn unwatch(&self, fd: impl AsFd) {
        match self.epoll.remove(fd) {
            // ENOENT: it wasn't watched.
            Ok(()) | Err(_) => {}
        }
    }
}

/// Sends an answer, or gives a broken connection up. Apart from [`Server`] so that the fds may be borrowed from its tasks.
fn send_reply(
    connections: &mut Slab<Connection>,
    key: Key,
    seq: u32,
    reply: &Reply,
    fds: &[BorrowedFd<'_>],
) {
    if let Some(connection) = connections.get_mut(key)
        && connection.socket.send(Kind::Reply, seq, reply, fds).is_err()
    {
        connections.remove(key);
    }
}

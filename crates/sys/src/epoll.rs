//! Readiness of many fds with a caller's number each: epoll(7), level-triggered.
//!
//! Owns the epoll fd. Doesn't own the watched fds, and doesn't remember what is watched.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// What to wait for. An error or a hang-up is always reported (epoll_ctl(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    /// There is something to read, or a peer to accept.
    pub read: bool,
    /// There is room to write.
    pub write: bool,
    /// Report only changes from now on (`EPOLLET`).
    pub edge: bool,
}

impl Interest {
    /// Reading only.
    pub const READ: Interest = Interest { read: true, write: false, edge: false };
    /// Writing only.
    pub const WRITE: Interest = Interest { read: false, write: true, edge: false };
    /// Only errors and hang-ups.
    pub const HANG_UP: Interest = Interest { read: false, write: false, edge: false };

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags.set(epoll::EventFlags::ET, self.edge);
        flags
    }
}

/// A watched fd is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The number given to [`Epoll::add`].
    pub token: u64,
    /// Reading won't block.
    pub readable: bool,
    /// Writing won't block.
    pub writable: bool,
    /// The other end is gone, or the fd is in error.
    pub hung_up: bool,
}

/// An epoll instance.
pub struct Epoll {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Epoll {
    /// A new instance that reports at most `batch` fds per wait.
    ///
    /// # Errors
    /// epoll_create1(2).
    pub fn new(batch: usize) -> io::Result<Epoll> {
        let fd = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Epoll { fd, events: Vec::with_capacity(batch) })
    }

    /// Starts watching `fd`; readiness is reported with `token`.
    ///
    /// # Errors
    /// epoll_ctl(2): `EEXIST` when it is watched already, `EPERM` for regular files.
    pub fn add(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.fd, fd, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// epoll_ctl(2): `ENOENT` when it isn't watched.
    pub fn modify(&self, fd: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.fd, fd, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Stops watching. Needed before closing an fd that has been duplicated: epoll watches the open file, not the number.
    ///
    /// # Errors
    /// epoll_ctl(2): `ENOENT` when it isn't watched.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.fd, fd)?)
    }

    /// Waits until something is ready, a signal handler ran, or `timeout` is over (`None`: for ever); puts what is ready into `ready`.
    ///
    /// # Errors
    /// epoll_wait(2), except `EINTR`.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = timeout.map(|t| Timespec {
            tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: t.subsec_nanos().into(),
        });
        match epoll::wait(&self.fd, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let (flags, data) = (event.flags, event.data);
            Ready {
                token: data.u64(),
                readable: flags.contains(epoll::EventFlags::IN),
                writable: flags.contains(epoll::EventFlags::OUT),
                hung_up: flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR),
            }
        }));
        Ok(())
    }
}

impl std::fmt::Debug for Epoll {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Epoll").field(&self.fd).finish()
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until one fd is ready for `interest`; `false` when `timeout` is over first.
///
/// # Errors
/// poll(2), except `EINTR`, which counts as not ready.
pub fn wait_one(fd: impl AsFd, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, interest.read);
    flags.set(PollFlags::OUT, interest.write);
    let timeout = timeout.map(|t| Timespec {
        tv_sec: i64::try_from(t.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    match poll(&mut [PollFd::new(&fd, flags)], timeout.as_ref()) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

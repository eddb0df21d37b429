//! File descriptors that signal: eventfd(2) and inotify(7).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify;

/// An eventfd with counter 0, close-on-exec and non-blocking.
///
/// # Errors
/// As eventfd(2): `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn counter() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// An inotify fd, close-on-exec and non-blocking, that reports modifications of `path`.
///
/// # Errors
/// As inotify_init1(2) and inotify_add_watch(2); `ENOSPC` and `EMFILE` are the limits
/// in `/proc/sys/fs/inotify`.
pub fn modifications(path: &Path) -> io::Result<OwnedFd> {
    let fd = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY)?;
    Ok(fd)
}

/// Reads all that waits in a non-blocking `fd` and forgets it; true if there was anything.
///
/// # Errors
/// As read(2), but for `EAGAIN`.
pub fn drain(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut buffer = [0u8; 4096];
    let mut any = false;
    loop {
        match rustix::io::read(fd.as_fd(), &mut buffer) {
            Ok(0) | Err(rustix::io::Errno::AGAIN) => return Ok(any),
            // An eventfd gives its counter once and then EAGAIN; inotify may hold more.
            Ok(_) => any = true,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

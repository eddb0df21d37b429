//! Pseudo terminals by descriptor.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::check;

const TIOCGPTPEER: u64 = 0x5441;

/// Unlocks the terminal behind `master` and opens its other side without a path lookup (`TIOCGPTPEER`), so that nothing
/// mounted over `/dev/pts` can take its place.
///
/// # Errors
/// `ENOTTY` when `master` is no multiplexer.
pub fn open_peer(master: impl AsFd) -> Result<OwnedFd, Errno> {
    let fd = master.as_fd().as_raw_fd();
    let unlocked: i32 = 0;
    // SAFETY: the ioctl reads one int.
    check(unsafe { libc::ioctl(fd, libc::TIOCSPTLCK, &raw const unlocked) }.into())?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is a plain integer, the result a new descriptor.
    let peer = check(unsafe { libc::ioctl(fd, TIOCGPTPEER as _, flags) }.into())?;
    // SAFETY: a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(peer as i32) })
}

/// Makes `terminal` the controlling terminal of the calling session leader.
///
/// # Errors
/// `EPERM` when it isn't a leader or has one.
pub fn take_control(terminal: impl AsFd) -> Result<(), Errno> {
    // SAFETY: the argument is a plain integer.
    check(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) }.into())?;
    Ok(())
}

/// Sets a terminal's size in characters.
///
/// # Errors
/// `ENOTTY`.
pub fn set_size(terminal: impl AsFd, columns: u16, rows: u16) -> Result<(), Errno> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the ioctl reads one winsize.
    let result =
        unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    check(result.into())?;
    Ok(())
}

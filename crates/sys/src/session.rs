//! Becoming a process of one's own: session, working directory, descriptors, limits. For long-lived processes, at their very start.

use std::io;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit};

use crate::raw::check;

/// Leaves the caller's session (and so its terminal), goes to `/`, and makes new files private.
///
/// A process that is a group leader can't leave its session; that it already leads one is fine.
///
/// # Errors
/// chdir(2).
pub fn detach() -> io::Result<()> {
    match rustix::process::setsid() {
        Ok(_) | Err(rustix::io::Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    rustix::process::umask(Mode::from_raw_mode(0o077));
    Ok(rustix::process::chdir("/")?)
}

/// Closes every descriptor from `first` on: what the parent forgot to mark close-on-exec.
///
/// To be called first thing in `main`, before anything is opened: no owned descriptor may exist from `first` on.
///
/// # Errors
/// close_range(2): `ENOSYS` before Linux 5.9.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: plain integers; that nobody owns these descriptors is the caller's promise, written above, and a broken promise
    // shows as EBADF, not as memory unsafety.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })?;
    Ok(())
}

/// Raises the soft limit of open descriptors to the hard one; gives the limit that holds then.
///
/// # Errors
/// setrlimit(2).
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return Ok(limit.current.unwrap_or(u64::MAX));
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, raised)?;
    Ok(raised.current.unwrap_or(u64::MAX))
}

/// Makes descriptor 1 `/dev/null`: whoever reads what it was sees its end.
///
/// # Errors
/// open(2), dup2(2).
pub fn null_stdout() -> io::Result<()> {
    let null = std::fs::File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stdout(&null)?)
}

//! Processes by descriptor: `pidfd_open(2)`, `pidfd_send_signal(2)`, `waitid(2)`.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::check;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Exit code.
    Exited(i32),
    /// Signal that ended it.
    Signaled(i32),
}

impl Ended {
    /// The shell's number: the code, or 128 + signal.
    pub fn code(self) -> i32 {
        match self {
            Ended::Exited(code) => code,
            Ended::Signaled(signal) => 128 + signal,
        }
    }
}

/// Opens a process of the caller's pid namespace.
///
/// # Errors
/// `ESRCH` when there is none.
pub fn open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: plain integers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a signal; 0 only asks whether the process is there.
///
/// # Errors
/// `ESRCH` when it has been reaped.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> Result<(), Errno> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: a null siginfo is allowed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, 0usize, 0) })?;
    Ok(())
}

/// Waits for the end of a child and reaps it.
///
/// # Errors
/// `ECHILD` when it isn't a child of the caller.
pub fn wait(pidfd: impl AsFd) -> Result<Ended, Errno> {
    loop {
        match wait_with(pidfd.as_fd().as_raw_fd(), libc::WEXITED) {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Reaps a child if it has ended.
///
/// # Errors
/// `ECHILD` when it isn't a child of the caller.
pub fn try_wait(pidfd: impl AsFd) -> Result<Option<Ended>, Errno> {
    wait_with(pidfd.as_fd().as_raw_fd(), libc::WEXITED | libc::WNOHANG)
}

fn wait_with(fd: i32, options: i32) -> Result<Option<Ended>, Errno> {
    // SAFETY: siginfo is plain data; waitid fills it.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::waitid(libc::P_PIDFD, fd as u32, &raw mut info, options).into())?;
        info
    };
    // SAFETY: waitid filled the child fields, or left zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Ended::Exited(status)),
        _ => Some(Ended::Signaled(status)),
    })
}

/// Reaps any child that has ended: its pid. `None` when none has.
///
/// # Errors
/// `ECHILD` when there are no children.
pub fn reap_any() -> Result<Option<(i32, Ended)>, Errno> {
    let mut status = 0;
    // SAFETY: status is a valid place.
    let pid = check(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }.into())?;
    if pid == 0 {
        return Ok(None);
    }
    let ended = if libc::WIFSIGNALED(status) {
        Ended::Signaled(libc::WTERMSIG(status))
    } else {
        Ended::Exited(libc::WEXITSTATUS(status))
    };
    Ok(Some((pid as i32, ended)))
}

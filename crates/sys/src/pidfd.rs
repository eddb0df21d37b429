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

/// How a process that isn't a child ended, and whether it dumped core; `None` while nobody has reaped it.
///
/// The kernel keeps this with the pidfd, which must have been opened before the process was reaped
/// (`PIDFD_GET_INFO` with `PIDFD_INFO_EXIT`, Linux 6.15).
///
/// # Errors
/// `ENOTTY` or `EINVAL` on older kernels, `ESRCH` for a process of a foreign pid namespace.
pub fn exit_info(pidfd: impl AsFd) -> Result<Option<(Ended, bool)>, Errno> {
    // SAFETY: plain integers, zero is a valid value of each.
    let mut info: libc::pidfd_info = unsafe { std::mem::zeroed() };
    info.mask = u64::from(libc::PIDFD_INFO_EXIT);
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the ioctl's number carries the size of the structure that is passed.
    let result = unsafe { libc::ioctl(fd, libc::PIDFD_GET_INFO as _, &raw mut info) };
    match check(result.into()) {
        Ok(_) if info.mask & u64::from(libc::PIDFD_INFO_EXIT) == 0 => Ok(None),
        Ok(_) => Ok(Some(from_wait_status(info.exit_code))),
        Err(errno) => Err(errno),
    }
}

/// Takes a status as wait(2) gives it apart; the second value says whether core was dumped.
pub fn from_wait_status(status: i32) -> (Ended, bool) {
    if libc::WIFSIGNALED(status) {
        (Ended::Signaled(libc::WTERMSIG(status)), libc::WCOREDUMP(status))
    } else {
        (Ended::Exited(libc::WEXITSTATUS(status)), false)
    }
}

/// Reaps a child if it has ended; the second value says whether core was dumped.
///
/// # Errors
/// `ECHILD` when it isn't a child of the caller.
pub fn reap(pidfd: impl AsFd) -> Result<Option<(Ended, bool)>, Errno> {
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: siginfo is plain data; waitid fills it.
    let info = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG;
        check(libc::waitid(libc::P_PIDFD, fd as u32, &raw mut info, options).into())?;
        info
    };
    // SAFETY: waitid filled the child fields, or left zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some((Ended::Exited(status), false)),
        (_, code) => Some((Ended::Signaled(status), code == libc::CLD_DUMPED)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clone::clone_process;

    #[test]
    fn the_exit_status_outlives_the_process() {
        let child = clone_process(0, None, || 42).expect("clones");
        assert_eq!(exit_info(&child.pidfd).ok().flatten(), None, "not reaped yet");
        wait(&child.pidfd).expect("waits");
        match exit_info(&child.pidfd) {
            Ok(info) => assert_eq!(info, Some((Ended::Exited(42), false))),
            Err(errno) => assert_eq!(errno, Errno::NOTTY, "only a kernel before 6.15 may refuse"),
        }
    }

    #[test]
    fn a_signal_is_told_from_a_code() {
        let child = clone_process(0, None, || {
            loop {
                std::thread::park();
            }
        })
        .expect("clones");
        assert_eq!(reap(&child.pidfd), Ok(None));
        send_signal(&child.pidfd, 9).expect("signals");
        assert_eq!(wait(&child.pidfd), Ok(Ended::Signaled(9)));
        assert_eq!(from_wait_status(9), (Ended::Signaled(9), false));
        assert_eq!(from_wait_status(0x86), (Ended::Signaled(6), true));
        assert_eq!(from_wait_status(7 << 8), (Ended::Exited(7), false));
    }
}

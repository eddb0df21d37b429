//! Waiting for signals, for a process that does nothing else.

use rustix::io::Errno;

use crate::raw::check;

/// `SIGCHLD`.
pub const CHILD: i32 = libc::SIGCHLD;
/// `SIGKILL`.
pub const KILL: i32 = libc::SIGKILL;

fn all() -> libc::sigset_t {
    // SAFETY: plain data that sigfillset fills.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        set
    }
}

/// Blocks every signal in the calling thread.
pub fn block_all() {
    let set = all();
    // SAFETY: `set` outlives the call.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// Unblocks every signal in the calling thread.
pub fn unblock_all() {
    // SAFETY: plain data that sigemptyset fills, and that outlives the call.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Waits for the next blocked signal: its number.
///
/// # Errors
/// `EINTR`.
pub fn wait() -> Result<i32, Errno> {
    let set = all();
    // SAFETY: `set` outlives the call; null means that details aren't wanted.
    let signal = check(unsafe { libc::sigwaitinfo(&raw const set, std::ptr::null_mut()) }.into())?;
    Ok(signal as i32)
}

/// Sends a signal to a process; a negative number is a process group.
///
/// # Errors
/// As kill(2).
pub fn send(pid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::kill(pid, signal) }.into())?;
    Ok(())
}

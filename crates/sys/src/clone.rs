//! Making a process: `clone3(2)` with namespaces, a pidfd and birth in a control group.
//!
//! The child gets a copy of the caller's memory, no sharing: it may wait long (`create` before `start`) while the
//! caller goes on. Doesn't own what the child does.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::check;

const CLONE_PIDFD: u64 = 0x1000;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A new process.
#[derive(Debug)]
pub struct Child {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// Its descriptor, close-on-exec.
    pub pidfd: OwnedFd,
}

/// Ends the process when dropped: a child must never return into its parent's code.
struct Abort;

impl Drop for Abort {
    fn drop(&mut self) {
        // SAFETY: ends the process without running anything.
        unsafe { libc::_exit(70) }
    }
}

/// Makes a child with `flags` (`CLONE_NEW…` bits), in the v2 group `cgroup` if given, and runs `body` in it; the child
/// exits with its result. Signal handlers are reset, ignored signals and the mask too.
///
/// `body` must not allocate nor take locks when the caller has other threads: they are not there in the child, but what
/// they held is.
///
/// # Errors
/// As clone3(2); `EPERM` for namespaces without the right, `EINVAL` for a `cgroup` that isn't a v2 directory.
pub fn clone_process(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce() -> i32,
) -> Result<Child, Errno> {
    let mut pidfd: i32 = -1;
    // SAFETY: clone_args is plain integers, zero is its default.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND;
    args.pidfd = (&raw mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM the child has its own copy of this stack and memory; `args` outlives the call.
    let pid = check(unsafe {
        libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
    })?;
    if pid == 0 {
        let _abort = Abort;
        reset_signals();
        let code = body();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) }
    }
    // SAFETY: the kernel stored a new descriptor there.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: pid as i32, pidfd })
}

/// Forks and returns in both: the child's pid in the parent, none in the child. For a process that is itself a forked
/// child and single-threaded; both go on without allocating and end by exec or `_exit`.
///
/// # Errors
/// As fork(2).
pub fn fork_here() -> Result<Option<i32>, Errno> {
    // SAFETY: clone_args is plain integers, zero is its default.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.exit_signal = libc::SIGCHLD as u64;
    let size = size_of::<libc::clone_args>();
    // clone3 is often refused by filters on purpose (ENOSYS), and a filter may be loaded by now.
    // SAFETY: no shared memory; `args` outlives the calls.
    let result = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size) });
    let pid = match result {
        // SAFETY: plain integers, no new stack: a fork.
        Err(Errno::NOSYS | Errno::PERM) => check(unsafe {
            libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0usize, 0usize, 0usize, 0usize)
        })?,
        result => result?,
    };
    Ok((pid != 0).then_some(pid as i32))
}

/// Default actions (Rust programs ignore SIGPIPE, and glibc's posix_spawn leaves its internal signals 32 and 33 ignored; an exec keeps
/// both) and an empty mask.
fn reset_signals() {
    // The kernel's sigaction: handler, flags, restorer, mask. All zero is the default action. glibc's own call refuses 32 and 33.
    let default_action = [0u64; 4];
    // SAFETY: the kernel reads one sigaction; failures (SIGKILL, SIGSTOP) don't matter.
    unsafe {
        for signal in 1..=64 {
            let action = default_action.as_ptr();
            libc::syscall(libc::SYS_rt_sigaction, signal, action, 0usize, size_of::<u64>());
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pidfd;

    #[test]
    fn a_child_runs_and_its_code_comes_back() {
        let child = clone_process(0, None, || 42).expect("clones");
        assert!(child.pid > 0);
        assert_eq!(pidfd::wait(&child.pidfd).expect("waits"), pidfd::Ended::Exited(42));
    }

    #[test]
    fn a_panic_in_the_child_stays_there() {
        let child = clone_process(0, None, || -> i32 { std::process::abort() }).expect("clones");
        assert_eq!(pidfd::wait(&child.pidfd).expect("waits"), pidfd::Ended::Signaled(6));
    }
}

//! Entering and making namespaces: `setns(2)`, `unshare(2)`.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::raw::check;

/// `CLONE_NEW…` bits.
pub mod flag {
    /// Time.
    pub const TIME: u64 = 0x80;
    /// Mounts.
    pub const MOUNT: u64 = 0x2_0000;
    /// Control group.
    pub const CGROUP: u64 = 0x200_0000;
    /// Host and domain name.
    pub const UTS: u64 = 0x400_0000;
    /// System V and POSIX message queues.
    pub const IPC: u64 = 0x800_0000;
    /// Users.
    pub const USER: u64 = 0x1000_0000;
    /// Process ids.
    pub const PID: u64 = 0x2000_0000;
    /// Network.
    pub const NET: u64 = 0x4000_0000;
}

/// Moves the calling thread into a namespace file's namespace, or several of a pidfd's process; a pid namespace takes
/// effect for children only.
///
/// # Errors
/// As setns(2).
pub fn enter(fd: impl AsFd, flags: u64) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags as i32) }.into())?;
    Ok(())
}

/// Moves the calling process into new namespaces.
///
/// # Errors
/// As unshare(2).
pub fn unshare(flags: u64) -> Result<(), Errno> {
    // SAFETY: the callers are single-threaded children; file tables aren't among the flags used.
    check(unsafe { libc::unshare(flags as i32) }.into())?;
    Ok(())
}

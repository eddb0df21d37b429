//! Network namespaces (network_namespaces(7)) of the calling thread.
//!
//! Membership is per thread: callers use threads of their own and never a thread of a pool that
//! others share.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// The namespace that the calling thread is in. It lives as long as the fd.
///
/// # Errors
/// As open(2) of `/proc/thread-self/ns/net`.
pub fn current() -> io::Result<OwnedFd> {
    open("/proc/thread-self/ns/net")
}

/// The namespace of a process by the path of its link, `/proc/<pid>/ns/net`.
///
/// # Errors
/// As open(2); `ENOENT`: no such process.
pub fn open(path: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Moves the calling thread into a namespace.
///
/// # Errors
/// As setns(2); `EINVAL`: not a network namespace; `EPERM`: no `CAP_SYS_ADMIN`.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::thread::move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}

/// Moves the calling thread into a new namespace, empty but for a loopback that is down.
///
/// # Errors
/// As unshare(2); `EPERM`: no `CAP_SYS_ADMIN`; `ENOSPC`: `/proc/sys/user/max_net_namespaces`.
pub fn unshare() -> io::Result<()> {
    // SAFETY: NEWNET leaves the table of file descriptors shared, which is what could go wrong.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn inode(fd: BorrowedFd<'_>) -> u64 {
        rustix::fs::fstat(fd).unwrap().st_ino
    }

    #[test]
    fn a_thread_leaves_and_comes_back() {
        std::thread::spawn(|| {
            let home = current().unwrap();
            unshare().unwrap();
            let away = current().unwrap();
            assert_ne!(inode(home.as_fd()), inode(away.as_fd()));
            enter(home.as_fd()).unwrap();
            assert_eq!(inode(home.as_fd()), inode(current().unwrap().as_fd()));
        })
        .join()
        .unwrap();
    }
}

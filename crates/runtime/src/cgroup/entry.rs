//! How a new process gets into its group without a grace period.
//!
//! Writing a pid from outside costs an RCU grace period in each v1 hierarchy once the
//! machine is idle (5 to 10 ms). Two ways avoid it: `clone3(CLONE_INTO_CGROUP)` on a v2
//! directory, and the child writing `0` (itself) to v1 `tasks` files that its parent
//! opened. Decision record 0101 has the numbers.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// Open ends of one group. Made by the parent, used by parent and child, and good for
/// any number of processes (exec uses it too).
#[derive(Debug)]
pub struct Entry {
    pub(super) clone_into: Option<File>,
    pub(super) tasks: Vec<File>,
}

impl Entry {
    /// Directory for `clone_args.cgroup` with `CLONE_INTO_CGROUP`; there on v2 and hybrid.
    pub fn clone_into(&self) -> Option<BorrowedFd<'_>> {
        self.clone_into.as_ref().map(AsFd::as_fd)
    }

    /// The files that [`Self::join`] writes, for callers that pass fds elsewhere.
    pub fn tasks(&self) -> impl ExactSizeIterator<Item = BorrowedFd<'_>> {
        self.tasks.iter().map(AsFd::as_fd)
    }

    /// Moves the calling *thread* into the v1 hierarchies. To be called by the new,
    /// single-threaded child before it drops privileges; allocates nothing.
    ///
    /// # Errors
    /// The first refusal; `ENODEV` and `ENOSPC` come from an empty cpuset, `EINVAL` from
    /// a realtime task in a group without realtime time.
    pub fn join(&self) -> io::Result<()> {
        self.tasks.iter().try_for_each(|mut file| file.write_all(b"0"))
    }
}

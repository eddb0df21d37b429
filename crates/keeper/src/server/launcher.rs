//! The seam to the runtime: what starts a process.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::protocol::{Failure, Plan};

/// A started process.
#[derive(Debug)]
pub struct Started {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// The master of its terminal, when the plan makes one.
    pub console: Option<OwnedFd>,
}

/// Starts processes as children of the caller.
pub trait Launcher {
    /// Starts what `plan` says. Returns when the program runs (or when it waits at the plan's gate).
    ///
    /// # Errors
    /// [`Failure::PlanUnreadable`] and [`Failure::Start`].
    fn launch(&mut self, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Started, Failure>;
}

//! Control groups: what a container may use, what it does use, and who belongs to it.
//!
//! [`Hierarchies::detect`] looks once at what the host has mounted; from it come groups,
//! each a [`Cgroup`], with the same behaviour on
//! - **v2** (one tree, every controller in it),
//! - **v1** (a tree for each controller),
//! - **hybrid** (v1 trees that hold the controllers, and a v2 tree beside them): the
//!   container gets a v2 leaf also, for `CLONE_INTO_CGROUP`, `cgroup.kill` and
//!   `cgroup.freeze`.
//!
//! Life of a group: [`Hierarchies::create`] → [`Cgroup::apply`] → [`Cgroup::entry`]
//! (fds with which the new process enters by itself) → … → [`Cgroup::kill`] →
//! [`Cgroup::remove`]. After a restart of the engine [`Hierarchies::open`] finds it again.
//!
//! **Invariant:** a setting that the host can't enforce is an error that names the
//! setting and the missing controller; nothing is skipped in silence.
//! **Invariant:** nothing outside the named group is written, but for the parents that
//! were made for it (v1 `cpuset` lists, v2 `cgroup.subtree_control`).
//!
//! Not here: the systemd driver (`slice:prefix:name` paths are refused), and the cgroup
//! namespace and its mount, which belong to the launch.

use std::fmt::Debug;
use std::time::Duration;

use crate::spec::LinuxResources;

mod convert;
mod device_rules;
mod entry;
mod error;
mod features;
mod files;
mod groups;
mod hierarchies;
mod hybrid;
mod oom;
mod path;
mod processes;
#[cfg(test)]
mod tests;
mod usage;
mod v1;
mod v2;

pub use entry::Entry;
pub use error::CgroupError;
pub use features::Features;
pub use hierarchies::{Hierarchies, Hierarchy, Layout};
pub use oom::OomWatch;
pub use path::{DEFAULT_PARENT, GroupPath};
pub use usage::{
    BlkioEntry, CpuUsage, HugetlbUsage, MemoryUsage, PidsUsage, Pressure, PressureLine, Usage,
};

/// Shorthand of this module.
pub type Result<T, E = CgroupError> = std::result::Result<T, E>;

/// The group of one container on this host.
///
/// Every method takes `&self`, keeps no state but open paths, and may be called from
/// several threads; the caller orders calls that contradict each other.
pub trait Cgroup: Debug + Send + Sync {
    /// Where the group is, relative to the root of each hierarchy.
    fn path(&self) -> &GroupPath;

    /// Writes limits. Good before the first process, and as a live update: values that
    /// are absent stay as they are, and writes are ordered so that raising and lowering
    /// both succeed.
    ///
    /// # Errors
    /// [`CgroupError::Unavailable`] when the host lacks the controller or the file,
    /// [`CgroupError::Invalid`] for values out of range, [`CgroupError::Write`] when the
    /// kernel refuses. Earlier writes of the same call stay in effect then.
    fn apply(&self, resources: &LinuxResources) -> Result<()>;

    /// What a new process needs to enter the group: see [`Entry`].
    fn entry(&self) -> Result<Entry>;

    /// Moves a process that already runs. Slow: each v1 hierarchy can cost an RCU grace
    /// period (milliseconds); new processes use [`Self::entry`].
    fn attach(&self, pid: u32) -> Result<()>;

    /// Process ids in the group and in groups below it, ascending, as seen from the
    /// caller's pid namespace.
    fn pids(&self) -> Result<Vec<u32>>;

    /// Readings of everything that `docker stats` shows, at one moment.
    fn usage(&self) -> Result<Usage>;

    /// Stops every task and returns when the kernel says that all have stopped.
    ///
    /// # Errors
    /// [`CgroupError::Timeout`] after `limit`; the group is thawed again then.
    fn freeze(&self, limit: Duration) -> Result<()>;

    /// Lets a frozen group run on. A no-op on a running one.
    fn thaw(&self) -> Result<()>;

    /// Whether the group is frozen.
    fn is_frozen(&self) -> Result<bool>;

    /// Sends SIGKILL to every process in the group and below it, also when frozen or
    /// forking. Doesn't wait for them to be reaped.
    ///
    /// The group is over then: a process that `CLONE_INTO_CGROUP` makes in a group in
    /// which `cgroup.kill` was ever written is killed at birth (seen on Linux 6.18,
    /// whose fork takes the kill count from the caller's group). Make a new group for a
    /// restart.
    fn kill(&self) -> Result<()>;

    /// Notifies of out-of-memory kills from now on.
    fn watch_oom(&self) -> Result<OomWatch>;

    /// How many processes of the group the kernel has killed for lack of memory.
    fn oom_kills(&self) -> Result<u64>;

    /// Removes the group and the groups below it in every hierarchy, retrying while the
    /// kernel still counts exiting tasks, for at most `limit`. A group that is gone
    /// already is fine. Parents stay.
    ///
    /// # Errors
    /// [`CgroupError::Busy`] with the pids that remain.
    fn remove(&self, limit: Duration) -> Result<()>;
}

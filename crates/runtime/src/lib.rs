//! The OCI runtime as a library: specification → list of steps → process.
//!
//! `spec` is the file's shape, `plan` turns it into a [`plan::LaunchPlan`] without touching the machine, `perform`
//! carries a plan out. Nothing here keeps a record of containers except `cli`, which is runc's command line.

pub mod cgroup;
pub mod cli;
pub mod exec;
pub mod host;
pub mod identity;
pub mod perform;
pub mod plan;
pub mod sealed;
pub mod seccomp;
pub mod spec;

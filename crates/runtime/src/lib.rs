//! OCI runtime as a library (being laid).

pub mod cgroup;
pub mod seccomp;
pub mod spec;

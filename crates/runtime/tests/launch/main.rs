//! Real containers in private namespaces, made from a root of busybox: what the program sees is what was asked for.
//!
//! Needs root. Leaves nothing behind: mounts live in the container's namespace, directories are temporary, control groups
//! aren't touched.

mod attacks;
mod basics;
mod exec;
mod fixture;
mod mounts;
mod rights;

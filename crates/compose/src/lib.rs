//! Compose files and environment to the desired project.
//!
//! Pure: files are read by the caller through a trait. The order of work is that of the Compose
//! Specification: parse, interpolate, merge files, extend, include, check against the schema, type.

pub mod yaml;

//! Snapshots of the engine → documents of the newest version.

pub mod container;
pub mod image;
pub mod network;
pub mod stats;
mod status;
pub mod system;
pub mod volume;

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

//! What the owner of a store may choose.

pub use crate::archive::Limits;

/// How a store behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bounds on layers and image archives.
    pub limits: Limits,
    /// Events kept in the durable log; older ones are dropped.
    pub events_kept: u64,
    /// Partly downloaded blobs that nobody has touched for so long are swept, in seconds.
    pub partial_age_s: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), events_kept: 65_536, partial_age_s: 7 * 24 * 3600 }
    }
}

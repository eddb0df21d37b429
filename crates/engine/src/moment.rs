//! The clock, and randomness for ids: the two things that pure code is handed.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// 32 bytes for an id.
pub fn random_id() -> [u8; 32] {
    let mut bytes = [0; 32];
    sys::random::fill(&mut bytes);
    bytes
}

/// 64 random bits.
pub fn random_bits() -> u64 {
    let mut bytes = [0; 8];
    sys::random::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

//! The ten kinds of failure that every crate's error maps to.
//!
//! The edges turn a kind into an HTTP status (`cale/daemon`) and an exit code (`cale/cli`), each
//! by one exhaustive match. A library error offers `fn kind(&self) -> ErrorKind`.

use serde::{Deserialize, Serialize};

/// What sort of failure an error is, for whoever must react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The named thing doesn't exist (HTTP 404).
    NotFound,
    /// The thing exists or is in a state that forbids the request (409).
    Conflict,
    /// The request itself is wrong: syntax, type, unknown value (400).
    InvalidInput,
    /// The caller did not prove who they are (401).
    Unauthorized,
    /// The caller may not do this, or a policy forbids it (403).
    Forbidden,
    /// Nothing to do: already in the wanted state (304).
    NotModified,
    /// A needed service is away or too slow; trying later may help (503).
    Unavailable,
    /// This kernel, build or configuration can't do it (501).
    Unsupported,
    /// A resource is used up: disk, memory, addresses, ports (500, but said plainly).
    Exhausted,
    /// A fault of ours or of the machine (500).
    Internal,
}

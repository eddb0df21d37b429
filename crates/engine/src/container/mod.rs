//! Containers: their verbs, and the actor behind each.
//!
//! ```text
//! verb file (create.rs, stop.rs …) ──Ask──▶ handle.rs ──▶ actor.rs ──▶ queue.rs: now? later? no?
//!                                                            │
//!            readers ◀──snapshot (watch)── handle.rs ◀───────┤ the only writer
//!                                                            ▼
//!                                       start.rs, exit.rs, remove.rs, connect.rs
//! ```
//! The states are drawn in `queue.rs`.

mod actor;
pub mod attach;
mod commit;
mod connect;
mod create;
mod exit;
mod export;
pub(crate) mod handle;
mod health;
mod inspect;
mod kill;
pub(crate) mod layered;
pub(crate) mod list;
mod logs;
pub(crate) mod merge;
mod mountpoints;
mod name;
pub(crate) mod namespaces;
pub(crate) mod oci;
mod pause;
mod queue;
pub(crate) mod registry;
mod remove;
mod rename;
mod request;
mod resize;
mod restart_policy;
pub(crate) mod signal;
mod snapshot;
pub(crate) mod sources;
pub(crate) mod start;
mod stats;
mod stop;
mod top;
mod update;
pub(crate) mod user;
mod wait;

use std::sync::Arc;

pub use attach::AttachTicket;
pub use logs::LogStream;
pub use merge::environment as merge_environment;
pub use queue::Phase;
pub use request::*;
pub use snapshot::*;
pub use stats::StatsStream;
pub use wait::Waiting;

use crate::Engine;

/// Everything that can be asked of containers.
#[derive(Clone, Copy, Debug)]
pub struct Containers<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

//! The Engine API over HTTP: from a connection to a handler and back.
//!
//! One file per resource; `routes.rs` is the table of all paths. Handlers are thin: query and
//! body → engine → document. They never look at the version: [`api::version`] does, on the way
//! in and out.

mod build;
mod call;
mod containers;
mod distribution;
mod door;
mod error;
mod events;
mod exec;
mod hijack;
mod images;
mod networks;
mod plugins;
mod progress;
mod query;
mod reply;
mod routes;
mod serve;
mod swarm;
mod system;
mod view;
mod volumes;

use std::sync::Arc;

use engine::Engine;

pub use door::Wire;
pub use serve::{Server, Trust};

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The engine.
    pub engine: Arc<Engine>,
    /// What the daemon says of itself.
    pub facts: Facts,
}

/// What the daemon says of itself.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `--experimental`
    pub experimental: bool,
    /// Processors of the host, for the rules of limits.
    pub cpus: u32,
}

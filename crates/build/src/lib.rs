//! From a Dockerfile to an image: lowering to a graph, cache keys, parallel solving.
//!
//! Owns what an instruction means for the image, which steps a target needs, when a step may be
//! taken from the cache, and the order of work. Deliberately touches no file, process or network:
//! all of that is behind [`Worker`], which the engine implements and tests fake.
//!
//! ```text
//! Request ─lower::lower─▶ Graph ─solve::solve─▶ Built (configuration with layers)
//!                │ images by name      │ copy, run, cached        ▲
//!                └──────── Worker ─────┴──────────────────────────┘
//! ```

pub mod duration;
pub mod error;
#[cfg(test)]
mod fake;
pub mod graph;
pub mod image;
pub mod key;
pub mod lower;
pub mod mode;
pub mod progress;
pub mod request;
pub mod solve;
pub mod worker;

pub use error::Error;
pub use graph::Graph;
pub use lower::lower;
pub use request::Request;
pub use solve::{Built, solve};
pub use worker::Worker;

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

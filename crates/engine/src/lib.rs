//! The use-cases of the engine: what can be done with containers, images, networks and volumes.
//!
//! Knows no HTTP and no command line: the daemon turns requests into the typed ones here, and
//! the snapshots back into documents. It owns no truth that it couldn't rebuild: records are in
//! `store`, processes with the `keeper`, the rest in the kernel.
//!
//! One verb, one file: `container/start.rs` starts, `image/pull.rs` pulls.

mod blocking;
pub mod build;
pub mod config;
pub mod container;
mod engine;
pub mod error;
pub mod event;
pub mod exec;
mod host;
pub mod image;
mod init_layer;
mod keeping;
mod moment;
pub mod network;
mod readiness;
mod records;
pub mod system;
pub mod volume;

use std::pin::Pin;

pub use config::Config;
pub use engine::Engine;
pub use error::{Error, Result};

/// Bytes that come or go asynchronously: archives, image tars.
pub type ByteReader = Pin<Box<dyn tokio::io::AsyncRead + Send>>;

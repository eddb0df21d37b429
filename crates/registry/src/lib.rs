//! Images over the wire: the OCI distribution protocol, client and server.
//!
//! Owns how bytes come from and go to a registry: hosts and mirrors, TLS, credentials, retries,
//! resumption. What is done with the bytes is `store`'s business, which images are wanted `engine`'s.

#![allow(clippy::result_large_err, reason = "refusals are rare; boxing would hide what they are")]
#![allow(clippy::type_complexity, reason = "one map of open uploads")]

pub mod client;
pub mod error;
pub mod progress;
pub mod pull;
pub mod push;
mod retry;
pub mod server;

pub use client::{Client, Credentials, Hosts};
pub use error::{Error, Result};
pub use progress::Progress;

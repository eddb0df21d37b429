//! The Docker Engine API: wire types, version shapes, conversion to `model`, and a client.
//!
//! * [`wire`]: the JSON documents of the newest version (1.56), with Go's rules for what is
//!   absent, `null` or empty.
//! * [`go`]: reading JSON as Go's decoder does (null for anything, keys in any case).
//! * [`version`]: what older versions (down to 1.24) showed or ignored differently.
//! * [`convert`]: request documents → validated `model` values and back, with Docker's texts.
//! * [`client`]: HTTP over a unix socket, TCP or ssh, hijacked streams, message streams.
//!
//! Deliberately knows no engine and no HTTP server.

pub mod client;
pub mod convert;
pub mod go;
pub mod stream;
pub mod version;
pub mod wire;

pub use client::Client;
pub use version::Version;

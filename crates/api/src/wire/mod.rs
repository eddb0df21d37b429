//! The documents of Engine API 1.56, field by field.
//!
//! Field order, names and `omitempty` follow what dockerd writes, so that scripts which read the
//! text keep working. `Option<Vec<_>>` without a skip is Go's slice: `None` is written `null`.
//! Fields that only older versions have are `Option`s at the end of a structure, filled by
//! [`crate::version`]. Enumerations stay texts here; [`crate::convert`] judges them.
//!
//! Meaning and units of the fields: the Engine API specification.
#![allow(missing_docs)]

use std::collections::BTreeMap;

pub mod build;
pub mod config;
pub mod container;
pub mod event;
pub mod exec;
pub mod host_config;
pub mod image;
pub mod message;
pub mod network;
pub mod registry;
pub mod stats;
pub mod system;
pub mod volume;

pub use build::*;
pub use config::*;
pub use container::*;
pub use event::*;
pub use exec::*;
pub use host_config::*;
pub use image::*;
pub use message::*;
pub use network::*;
pub use registry::*;
pub use stats::*;
pub use system::*;
pub use volume::*;

/// Go's slice: `None` is `nil`, written `null`.
pub type List<T> = Option<Vec<T>>;
/// Go's map: sorted when written, `None` is `nil`, written `null`.
pub type Map<T> = Option<BTreeMap<String, T>>;

/// `struct{}` of Go's sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Empty {}

/// The zero time as Go prints it.
pub const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Body of every failed request.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ErrorResponse {
    pub message: String,
}

/// `{"Id": …}` of exec create and commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IdResponse {
    pub id: String,
}

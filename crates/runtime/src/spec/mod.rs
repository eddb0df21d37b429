//! The OCI runtime specification as types: what a `config.json` says, and nothing of
//! what it means.

use serde::{Deserialize, Deserializer};

mod resources;
mod seccomp;

pub use resources::*;
pub use seccomp::*;

/// Go writes an empty list or map as `null`.
pub(crate) fn null_as_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

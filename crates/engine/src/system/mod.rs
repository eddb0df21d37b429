//! The engine and its host.

mod types;

pub use types::*;

use std::sync::Arc;

use crate::{Engine, Result, error::pending};

/// Questions about the engine and its host.
#[derive(Clone, Copy, Debug)]
pub struct System<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl System<'_> {
    /// Facts and numbers.
    pub async fn info(&self) -> Result<Info> {
        pending("info")
    }

    /// What takes space.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        pending("disk_usage")
    }
}

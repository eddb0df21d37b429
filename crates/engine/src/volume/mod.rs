//! Volumes: their verbs.

mod types;

pub use types::*;

use std::sync::Arc;

use model::filter::Filters;

use crate::{Engine, Result, error::pending};

/// Everything that can be asked of volumes.
#[derive(Clone, Copy, Debug)]
pub struct Volumes<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Volumes<'_> {
    /// Lists them, and says what could not be read.
    pub async fn list(&self, request: ListRequest) -> Result<(Vec<Inspection>, Vec<String>)> {
        pending("list")
    }

    /// One by name.
    pub async fn inspect(&self, volume: &str) -> Result<Inspection> {
        pending("inspect")
    }

    /// Makes one, or returns the one that has this name and driver.
    pub async fn create(&self, request: CreateRequest) -> Result<Inspection> {
        pending("create")
    }

    /// Removes one that nobody uses; `force` forgives one that is gone.
    pub async fn remove(&self, volume: &str, force: bool) -> Result<()> {
        pending("remove")
    }

    /// Removes anonymous ones (filter `all`: every one) that nobody uses.
    pub async fn prune(&self, filters: Filters) -> Result<crate::container::Pruned> {
        pending("prune")
    }
}

//! Networks: their verbs.

mod types;

pub use types::*;

use std::sync::Arc;

use model::{NetworkId, filter::Filters};

use crate::{Engine, Result, error::pending};

/// Everything that can be asked of networks.
#[derive(Clone, Copy, Debug)]
pub struct Networks<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Networks<'_> {
    /// Lists them.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Inspection>> {
        pending("list")
    }

    /// One by name, id or unique prefix of an id.
    pub async fn inspect(&self, network: &str) -> Result<Inspection> {
        pending("inspect")
    }

    /// Makes one; returns its id and warnings.
    pub async fn create(&self, request: CreateRequest) -> Result<(NetworkId, Vec<String>)> {
        pending("create")
    }

    /// Removes one that nobody uses.
    pub async fn remove(&self, network: &str) -> Result<()> {
        pending("remove")
    }

    /// Removes those that nobody uses; returns their names.
    pub async fn prune(&self, filters: Filters) -> Result<Vec<String>> {
        pending("prune")
    }

    /// Connects a container, running or not.
    pub async fn connect(&self, network: &str, request: ConnectRequest) -> Result<()> {
        pending("connect")
    }

    /// Disconnects a container, running or not.
    pub async fn disconnect(&self, network: &str, request: DisconnectRequest) -> Result<()> {
        pending("disconnect")
    }
}

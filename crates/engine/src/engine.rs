//! The engine itself: opening it on its roots, closing it, and the doors to its nouns.

use std::sync::Arc;

use crate::{
    Config, Result, container::Containers, event::Events, exec::Execs, image::Images,
    network::Networks, system::System, volume::Volumes,
};

/// A running engine. Cheap to share; ends when dropped, the containers don't.
#[derive(Debug)]
pub struct Engine {
    config: Config,
}

impl Engine {
    /// Opens the roots, starts or finds the keeper, and takes up what runs there.
    ///
    /// # Errors
    /// Another engine holds the data root, the store can't be read, or the keeper won't start.
    pub async fn open(config: Config) -> Result<Arc<Self>> {
        Ok(Arc::new(Self { config }))
    }

    /// How it was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Ends in order: no new requests; without `live_restore` every container is stopped.
    pub async fn shutdown(&self) -> Result<()> {
        Ok(())
    }

    /// Containers.
    pub fn containers(self: &Arc<Self>) -> Containers<'_> {
        Containers { engine: self }
    }

    /// Further processes in containers.
    pub fn execs(self: &Arc<Self>) -> Execs<'_> {
        Execs { engine: self }
    }

    /// Images.
    pub fn images(self: &Arc<Self>) -> Images<'_> {
        Images { engine: self }
    }

    /// Networks.
    pub fn networks(self: &Arc<Self>) -> Networks<'_> {
        Networks { engine: self }
    }

    /// Volumes.
    pub fn volumes(self: &Arc<Self>) -> Volumes<'_> {
        Volumes { engine: self }
    }

    /// What has happened and happens.
    pub fn events(self: &Arc<Self>) -> Events<'_> {
        Events { engine: self }
    }

    /// The engine and its host.
    pub fn system(self: &Arc<Self>) -> System<'_> {
        System { engine: self }
    }
}

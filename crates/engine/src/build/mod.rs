//! Builds on this engine: the machine behind [`build::Worker`].
//!
//! Owns contexts, copying into layers, `RUN` containers, cache mounts and the build cache's
//! records. Deliberately owns no Dockerfile knowledge (that is `build`) and no wire format (that is
//! the daemon's).
//!
//! `<data-root>/build/` holds `work/` (contexts and scratch files of running builds, swept at the
//! start) and `caches/` (cache mounts). Secrets lie in `<exec-root>/build/`, which is memory.

mod area;
mod cache;
mod caches;
mod context;
mod copy;
mod fault;
mod owner;
mod remote;
mod run;
mod select;
mod stubs;
mod tree;
mod worker;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use model::{Digest, Reference};

pub use area::Area;
pub use cache::{CacheEntry, PrunedCache};
pub use caches::Caches;
pub use context::Context;

use crate::{Engine, Error, Result, blocking, error::Cause, image::RegistryAuth};
use build::{Graph, Request, progress};
use worker::Machine;

/// A secret's bytes, when the client has it.
pub type SecretAnswer<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>>> + Send + 'a>>;

/// What the client of a build gives on demand.
pub trait Client: Send + Sync + 'static {
    /// A secret by id.
    fn secret<'a>(&'a self, id: &'a str) -> SecretAnswer<'a>;
}

/// A client that has nothing to give.
#[derive(Debug)]
pub struct Nobody;

impl Client for Nobody {
    fn secret<'a>(&'a self, _id: &'a str) -> SecretAnswer<'a> {
        Box::pin(async { Ok(None) })
    }
}

/// What a build works with.
pub struct Inputs {
    /// The main context has the empty name.
    pub contexts: HashMap<String, Arc<Context>>,
    /// Secrets and the like.
    pub client: Arc<dyn Client>,
    /// Credentials by registry.
    pub auth: BTreeMap<String, RegistryAuth>,
    /// Images that `cache_from` names are not looked at: the cache is by content.
    pub references: Vec<Reference>,
}

/// Builds.
#[derive(Clone, Copy, Debug)]
pub struct Builds<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

/// A build that is laid out and may be carried out.
pub struct Prepared {
    /// Its steps.
    pub graph: Arc<Graph>,
    request: Request,
    machine: Arc<Machine>,
    references: Vec<Reference>,
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Its id.
    pub id: Digest,
    /// Its configuration.
    pub config: model::image::ImageConfig,
    /// For each step, the layers of its root filesystem, lowest first.
    pub layers: Vec<Arc<[Digest]>>,
}

impl Builds<'_> {
    /// A place for a context's files.
    pub async fn context(&self) -> Result<Context> {
        let area = self.area();
        blocking::spawn(move || Context::empty(&area)).await
    }

    /// The files of a repository or URL.
    ///
    /// # Errors
    /// What the server or git says.
    pub async fn remote_context(&self, url: &str) -> Result<Context> {
        Context::remote(&self.area(), url).await
    }

    /// Reads the Dockerfile, resolves base images and lays out the steps.
    ///
    /// # Errors
    /// With the place in the Dockerfile.
    pub async fn prepare(
        &self,
        request: Request,
        inputs: Inputs,
    ) -> Result<Prepared, build::Error> {
        let machine =
            Arc::new(Machine::new(self.engine, inputs.contexts, inputs.client, inputs.auth));
        let graph = Arc::new(build::lower(&request, machine.as_ref()).await?);
        Ok(Prepared { graph, request, machine, references: inputs.references })
    }

    /// What the build cache holds.
    pub async fn cache(&self) -> Result<Vec<CacheEntry>> {
        let engine = self.engine.clone();
        blocking::spawn(move || cache::list(engine.records().store())).await
    }

    /// Forgets steps that nobody uses; returns what went and the bytes that came free.
    pub async fn prune(&self, keep_bytes: u64, older_than_s: i64) -> Result<PrunedCache> {
        let engine = self.engine.clone();
        let area = self.area();
        blocking::spawn(move || {
            let store = engine.records().store();
            let mut pruned = cache::prune(store, keep_bytes, older_than_s)?;
            if keep_bytes == 0 && older_than_s == 0 {
                pruned.bytes += area.remove_caches()?;
            }
            Ok(pruned)
        })
        .await
    }

    fn area(&self) -> Area {
        Area::new(&self.engine.config().data_root, &self.engine.config().exec_root)
    }
}

impl Prepared {
    /// Carries the build out and makes the image. Dropping the future cancels everything.
    ///
    /// # Errors
    /// The first step that failed, with its place in the Dockerfile.
    pub async fn run(&self, events: progress::Sender) -> Result<BuiltImage, build::Error> {
        let built = build::solve(&self.graph, &self.request, self.machine.clone(), events).await?;
        let made = self.machine.make_image(&built.config, self.references.clone()).await;
        let id = made.map_err(|source| build::Error::Worker {
            action: "make the image".to_owned(),
            source,
        })?;
        Ok(BuiltImage { id, config: built.config, layers: built.layers })
    }
}

/// Removes what builds of an earlier run left.
pub(crate) fn sweep(config: &crate::Config) -> Result<()> {
    Area::new(&config.data_root, &config.exec_root).sweep()
}

fn failed(action: &'static str, subject: impl ToString, error: impl Into<Cause>) -> Error {
    Error::Failed { action, subject: subject.to_string(), source: error.into() }
}

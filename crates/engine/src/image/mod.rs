//! Images: their verbs.

mod types;

pub use types::*;

use std::sync::Arc;

use model::{Digest, Reference, filter::Filters, image::Platform};

use crate::{ByteReader, Engine, Result, error::pending};

/// Everything that can be asked of images.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Images<'_> {
    /// Lists them, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Summary>> {
        pending("list")
    }

    /// One by name, id or unique prefix of an id.
    pub async fn inspect(&self, image: &str, platform: Option<Platform>) -> Result<Inspection> {
        pending("inspect")
    }

    /// Where it comes from, newest step first.
    pub async fn history(
        &self,
        image: &str,
        platform: Option<Platform>,
    ) -> Result<Vec<HistoryLine>> {
        pending("history")
    }

    /// Gives it one more name.
    pub async fn tag(&self, image: &str, name: &Reference) -> Result<()> {
        pending("tag")
    }

    /// Takes a name away, and the image when it was the last one.
    pub async fn remove(&self, image: &str, request: RemoveRequest) -> Result<Vec<Removed>> {
        pending("remove")
    }

    /// Removes those without a name (filter `dangling=false`: those without a container).
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        pending("prune")
    }

    /// Reads docker and OCI archives.
    pub async fn load(
        &self,
        archive: ByteReader,
        platform: Option<Platform>,
        progress: ProgressSink,
    ) -> Result<Vec<Digest>> {
        pending("load")
    }

    /// Writes an archive that is both docker's and OCI's. No names: every one.
    pub async fn save(&self, images: &[String], platform: Option<Platform>) -> Result<ByteReader> {
        pending("save")
    }

    /// Makes an image of one archive of files.
    pub async fn import(
        &self,
        archive: ByteReader,
        request: ImportRequest,
        progress: ProgressSink,
    ) -> Result<Digest> {
        pending("import")
    }

    /// Fetches from a registry.
    pub async fn pull(&self, request: PullRequest, progress: ProgressSink) -> Result<Digest> {
        pending("pull")
    }

    /// Sends to a registry.
    pub async fn push(&self, request: PushRequest, progress: ProgressSink) -> Result<()> {
        pending("push")
    }

    /// Checks credentials with a registry; returns an identity token, if it gives one.
    pub async fn login(&self, auth: RegistryAuth) -> Result<Option<String>> {
        pending("login")
    }

    /// Asks a registry what a name means there: descriptor and platforms.
    pub async fn distribution(
        &self,
        reference: &Reference,
        auth: Option<RegistryAuth>,
    ) -> Result<(model::image::Descriptor, Vec<Platform>)> {
        pending("distribution")
    }
}

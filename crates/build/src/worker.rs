//! What a build needs of the machine: images, files, containers and a cache.
//!
//! A worker's futures may be dropped at any await point (cancel); each must then leave nothing
//! behind: no container, no mount, no staging directory.

use std::future::Future;

use model::{
    Digest,
    image::{ImageConfig, Platform},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::WorkerError,
    graph::{CopyStep, MakeDir, RunStep},
    progress::Log,
    request::RunLimits,
};

/// An image to build on.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// Digest of the configuration.
    pub id: Digest,
    /// The configuration.
    pub config: ImageConfig,
}

/// Files that are ready to be read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Tree {
    /// A context; the main one has the empty name.
    Context(String),
    /// Layers, lowest first.
    Layers(Vec<Digest>),
}

/// A copy's source, ready to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Files of a tree.
    Files {
        /// Whose.
        tree: Tree,
        /// Path or pattern.
        pattern: String,
        /// Unpack archives.
        unpack: bool,
    },
    /// A file with this content.
    Inline {
        /// File name.
        name: String,
        /// Content.
        content: String,
    },
    /// To be fetched by the worker.
    Url {
        /// Where from.
        url: String,
        /// What it must be.
        checksum: Option<String>,
        /// Unpack it.
        unpack: bool,
    },
    /// To be cloned by the worker.
    Git {
        /// Where from.
        url: String,
        /// What it must be.
        checksum: Option<String>,
        /// Leave `.git` in.
        keep_git_dir: bool,
    },
}

/// A mount's files, ready to be mounted; in the order of [`RunStep::mounts`].
pub type MountTree = Option<Tree>;

/// What is known of a step that was done before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The layer that it made; `None`: it changed nothing.
    pub layer: Option<Digest>,
}

/// The files that a copy takes, by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Of names, kinds, modes, link targets and content.
    pub digest: Digest,
    /// The same, file by file, for [`crate::key::Difference`]; may be cut short.
    pub files: Vec<(String, String)>,
}

/// A command that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// With code 0; the layer is `None` where nothing was changed.
    Done(Option<Digest>),
    /// With another code.
    Failed(i64),
}

/// The machine, as a build sees it.
pub trait Worker: Send + Sync + 'static {
    /// The image of a name, fetched if need be.
    fn image(
        &self,
        name: &str,
        platform: &Platform,
        pull: bool,
    ) -> impl Future<Output = Result<BaseImage, WorkerError>> + Send;

    /// What is known under a key, if its layer is still there. The layer stays for this build.
    fn known(
        &self,
        key: &Digest,
    ) -> impl Future<Output = Result<Option<Known>, WorkerError>> + Send;

    /// Remembers a step for other builds.
    fn remember(
        &self,
        key: &Digest,
        step: &str,
        known: &Known,
    ) -> impl Future<Output = Result<(), WorkerError>> + Send;

    /// The content of what a source names. A pattern without a match is an error.
    fn fingerprint(
        &self,
        step: &CopyStep,
        source: &Ready,
    ) -> impl Future<Output = Result<Fingerprint, WorkerError>> + Send;

    /// The content of the tree that a mount shows.
    fn fingerprint_tree(
        &self,
        tree: &Tree,
        path: &str,
    ) -> impl Future<Output = Result<Digest, WorkerError>> + Send;

    /// Copies onto `base`; returns the layer, `None` where nothing was changed.
    fn copy(
        &self,
        base: &[Digest],
        step: &CopyStep,
        sources: &[Ready],
        epoch: i64,
    ) -> impl Future<Output = Result<Option<Digest>, WorkerError>> + Send;

    /// Makes a directory on `base`; returns the layer, `None` where it is there already.
    fn make_dir(
        &self,
        base: &[Digest],
        step: &MakeDir,
        epoch: i64,
    ) -> impl Future<Output = Result<Option<Digest>, WorkerError>> + Send;

    /// Runs a command on `base`.
    fn run(
        &self,
        base: &[Digest],
        step: &RunStep,
        mounts: &[MountTree],
        limits: &RunLimits,
        log: Log,
        epoch: i64,
    ) -> impl Future<Output = Result<Ran, WorkerError>> + Send;
}

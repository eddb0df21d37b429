//! Images: a configuration, its layers, the manifests it came with, and the names it goes by.
//!
//! An image's id is the digest of its configuration. Names are rows of their own: a tag points to
//! one image, an image has any number of tags. What an image's blobs say is checked here once;
//! labels and other content of theirs never steer the engine.

pub mod document;
mod find;
mod layout;
mod load;
mod put;
pub(crate) mod remove;
mod save;

use model::image::{Descriptor, ImageConfig};
use model::{Digest, Reference};
use serde::{Deserialize, Serialize};

pub(crate) use document::DOCUMENT_MAX;
pub use load::{LoadProgress, Loaded};
pub use put::NewImage;
pub use remove::{ImageUse, RemoveOptions, Removed};

/// An image as the store knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Digest of the configuration.
    pub id: Digest,
    /// The parsed configuration.
    pub config: ImageConfig,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
    /// Manifests (and indexes that led to them) whose blobs are here; the first is the newest.
    pub manifests: Vec<Descriptor>,
    /// Tags, sorted.
    pub tags: Vec<Reference>,
    /// `repository@digest` names, sorted.
    pub digests: Vec<Reference>,
    /// Bytes in all layers' files.
    pub size: u64,
    /// Nanoseconds since the epoch when it came.
    pub stored_ns: i64,
    /// Nanoseconds since the epoch when [`crate::Store::image_touch`] was called last.
    pub last_used_ns: Option<i64>,
}

/// An image in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSummary {
    /// The image.
    pub image: Image,
    /// Bytes of its layers that other images have, too.
    pub shared_size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) config: ImageConfig,
    pub(crate) manifests: Vec<Descriptor>,
    pub(crate) size: u64,
    pub(crate) stored_ns: i64,
    #[serde(default)]
    pub(crate) last_used_ns: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReferenceRecord {
    pub(crate) image: Digest,
    /// The manifest that the name stood for when it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Digest>,
}

/// The chain ids of layers (OCI image specification, "Layer ChainID"), lowest first.
pub fn chain_ids(layers: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(layers.len());
    for diff_id in layers {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}

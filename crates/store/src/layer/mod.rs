//! Layers: unpacked once per diff id, shared by all images that have them.
//!
//! Owns `layers/<diff-id hex>/{fs,meta}` and the layers table. A layer's tree is in overlayfs's
//! form and is never changed once visible.

mod blob;
mod commit;
mod ingest;

use std::path::PathBuf;

use model::Digest;
use model::image::Descriptor;
use serde::{Deserialize, Serialize};
use sys::dir::{Dir, Links};

pub use blob::TarStream;
pub use commit::{Commit, Take};
pub(crate) use ingest::new_tree;
pub use ingest::{LayerIngest, LayerSource};

use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::failpoint::failpoint;
use crate::lease::{Lease, Resource};
use crate::store::{Inner, Staged, Store};

/// An unpacked layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// Bytes in its files, as image sizes count them.
    pub size: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Length of the uncompressed archive in bytes.
    pub tar_size: u64,
    /// Entries in the archive.
    pub entries: u64,
    /// Nanoseconds since the epoch when it was unpacked.
    pub created_ns: i64,
    /// Whether Cale made it from a tree, so that its archive can be made again from there. A layer
    /// that came as an archive gives that archive only as long as a blob of it is kept.
    #[serde(default)]
    pub made_here: bool,
    /// Blobs known to unpack to it, in the order in which they came; not all need be there.
    #[serde(default)]
    pub blobs: Vec<Descriptor>,
}

impl Store {
    /// The layer of a diff id, if it is unpacked.
    ///
    /// # Errors
    /// The database's.
    pub fn layer(&self, diff_id: &Digest) -> Result<Option<Layer>> {
        self.inner.layer(diff_id)
    }

    /// The layer that the blob `digest` unpacks to, if that is known and there.
    ///
    /// # Errors
    /// The database's.
    pub fn layer_of_blob(&self, digest: &Digest) -> Result<Option<Layer>> {
        match self.inner.blob(digest)?.and_then(|record| record.diff_id) {
            Some(diff_id) => self.inner.layer(&diff_id),
            None => Ok(None),
        }
    }

    /// Where the layer's tree is: a lower directory for overlayfs. Nobody may write there.
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.inner.root.join("layers").join(diff_id.hex()).join("fs")
    }

    /// Keeps a layer and tells whether it is there, in that order.
    ///
    /// # Errors
    /// [`Error::NoLayer`].
    pub fn layer_keep(&self, lease: &Lease, diff_id: &Digest) -> Result<Layer> {
        lease.keep(Resource::Layer(diff_id.clone()));
        self.inner.layer(diff_id)?.ok_or_else(|| Error::NoLayer(diff_id.clone()))
    }
}

impl Inner {
    pub(crate) fn layer(&self, diff_id: &Digest) -> Result<Option<Layer>> {
        let Some(layer) =
            self.read(|snapshot| snapshot.get::<Layer>(Table::Layers, &diff_id.to_string()))?
        else {
            return Ok(None);
        };
        // A tree lost behind our back is not there, whatever the record says: a pull heals it.
        let there = self.dirs.layers.stat(diff_id.hex().as_bytes()).is_ok();
        Ok(there.then_some(layer))
    }

    /// The open tree of a layer.
    pub(crate) fn layer_tree(&self, diff_id: &Digest) -> Result<Dir> {
        let path = format!("{}/fs", diff_id.hex());
        self.dirs.layers.resolve(path.as_bytes(), Links::Refuse).map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Error::NoLayer(diff_id.clone())
            } else {
                Error::file("open", format!("layers/{path}"))(error)
            }
        })
    }

    /// Makes a staged layer visible: `staged` holds `fs`, everything in it written.
    ///
    /// One syncfs(2) covers the tree and the blob beside it.
    fn publish_layer(&self, staged: &Staged, layer: &Layer, blob: Option<&Digest>) -> Result<()> {
        let subject = || format!("layers/{}", layer.diff_id.hex());
        let meta = serde_json::to_vec(layer).map_err(|source| Error::Record {
            what: "layers",
            key: layer.diff_id.to_string(),
            source,
        })?;
        let mut file = staged
            .dir
            .create_file(b"meta", 0o600)
            .map_err(Error::file("create", format!("{}/meta", subject())))?;
        std::io::Write::write_all(&mut file, &meta)
            .map_err(Error::file("write", format!("{}/meta", subject())))?;
        failpoint!("layer-before-sync");
        staged.dir.sync_filesystem().map_err(Error::file("sync", subject()))?;
        failpoint!("layer-before-rename");
        let hex = layer.diff_id.hex();
        let staging = &self.dirs.staging;
        let place =
            || staging.rename_new(staged.name.as_bytes(), &self.dirs.layers, hex.as_bytes());
        match place() {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // Without a record it is the rest of a crash, or damaged and about to be healed.
                self.discard(&self.dirs.layers, hex, "layers")?;
                place().map_err(Error::file("publish", subject()))?;
            }
            other => other.map_err(Error::file("publish", subject()))?,
        }
        self.dirs.layers.sync().map_err(Error::file("sync", subject()))?;
        failpoint!("layer-after-rename");
        if let Some(blob) = blob {
            self.publish_blob(blob)?;
        }
        failpoint!("layer-before-record");
        Ok(())
    }

    /// Records a layer, with the blob that it came from.
    fn record_layer(&self, layer: &Layer, blob: Option<Descriptor>) -> Result<Layer> {
        let fresh = layer.clone();
        self.write(Durability::Durable, move |tx| {
            let key = fresh.diff_id.to_string();
            let mut layer = tx.get::<Layer>(Table::Layers, &key)?.unwrap_or_else(|| fresh.clone());
            if let Some(blob) = &blob {
                if !layer.blobs.iter().any(|known| known.digest == blob.digest) {
                    layer.blobs.push(blob.clone());
                }
                let record = crate::blob::BlobRecord {
                    size: blob.size,
                    diff_id: Some(fresh.diff_id.clone()),
                };
                tx.put(Table::Blobs, &blob.digest.to_string(), &record)?;
            }
            tx.put(Table::Layers, &key, &layer)?;
            Ok(layer)
        })
    }
}

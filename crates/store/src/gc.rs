//! Garbage collection: what no image, container, pin or lease needs goes.
//!
//! Marks and removes records in one transaction while leases are frozen; bytes then are moved out
//! of sight before leases go on, and removed at leisure. A crash in between leaves bytes without
//! a record, which the next collection finds on the disk.

use std::collections::HashSet;

use model::Digest;

use crate::blob::BlobRecord;
use crate::db::{Durability, Table, Tx};
use crate::error::{Error, Result};
use crate::failpoint::failpoint;
use crate::image::ImageRecord;
use crate::image::remove::kept_by;
use crate::layer::Layer;
use crate::lease::Resource;
use crate::rootfs::RootfsRecord;
use crate::store::{Store, blob_path};

/// What a collection removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers.
    pub layers: Vec<Digest>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Bytes on disk that came free.
    pub bytes: u64,
}

impl Store {
    /// Keeps resources for `owner` until [`Store::unpin`], across restarts. Replaces what was kept
    /// for it before. Keep them by a lease until this has returned.
    ///
    /// # Errors
    /// The database's.
    pub fn pin(&self, owner: &str, resources: &[Resource]) -> Result<()> {
        let (owner, resources) = (owner.to_owned(), resources.to_vec());
        self.inner.write(Durability::Durable, move |tx| tx.put(Table::Pins, &owner, &resources))
    }

    /// Lets go what is kept for `owner`.
    ///
    /// # Errors
    /// The database's.
    pub fn unpin(&self, owner: &str) -> Result<()> {
        let owner = owner.to_owned();
        self.inner.write(Durability::Durable, move |tx| tx.delete(Table::Pins, &owner)).map(drop)
    }

    /// Removes all layers and blobs that nothing needs. Safe beside everything else.
    ///
    /// # Errors
    /// The database's; the disk's, after which the rest goes next time.
    pub fn collect(&self) -> Result<Collected> {
        let inner = &self.inner;
        let frozen = inner.leases.freeze();
        let leased: HashSet<Resource> = frozen.all().cloned().collect();
        let kept = leased.clone();
        let (layers, blobs) =
            inner.write(Durability::Durable, move |tx| sweep_records(tx, &kept))?;
        failpoint!("collect-after-records");
        let mut collected = Collected::default();
        let mut trash = Vec::new();
        for layer in self.unrecorded_layers(&leased)? {
            let name = inner.staging_name("trash");
            let from = &inner.dirs.layers;
            match from.rename(layer.as_bytes(), &inner.dirs.staging, name.as_bytes()) {
                Ok(()) => trash.push(name),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::file("remove", format!("layers/{layer}"))(error));
                }
            }
        }
        for (digest, size) in self.unrecorded_blobs(&leased)? {
            let dir = inner.dirs.blobs(digest.algorithm());
            match dir.unlink(digest.hex().as_bytes()) {
                Ok(()) => collected.bytes += size,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::file("remove", blob_path(&digest))(error)),
            }
        }
        drop(frozen);
        for name in trash {
            inner
                .dirs
                .staging
                .remove_tree(name.as_bytes())
                .map_err(Error::file("remove", format!("staging/{name}")))?;
        }
        collected.bytes += layers.iter().map(|layer| layer.disk_bytes).sum::<u64>();
        collected.layers = layers.into_iter().map(|layer| layer.diff_id).collect();
        collected.blobs = blobs;
        Ok(collected)
    }

    /// Directories of layers that have no record and that nobody works on.
    pub(crate) fn unrecorded_layers(&self, leased: &HashSet<Resource>) -> Result<Vec<String>> {
        let recorded: HashSet<String> = self
            .inner
            .read(|s| s.all::<Layer>(Table::Layers))?
            .into_iter()
            .map(|(_, layer)| layer.diff_id.hex().to_owned())
            .collect();
        let busy: HashSet<&str> = leased
            .iter()
            .filter_map(|resource| match resource {
                Resource::Layer(diff_id) => Some(diff_id.hex()),
                _ => None,
            })
            .collect();
        let names = self.inner.dirs.layers.names().map_err(Error::file("list", "layers"))?;
        Ok(names
            .into_iter()
            .map(|name| String::from_utf8_lossy(&name).into_owned())
            .filter(|name| !recorded.contains(name) && !busy.contains(&name[..]))
            .collect())
    }

    /// Files of blobs that have no record and that nobody works on, with their size.
    pub(crate) fn unrecorded_blobs(
        &self,
        leased: &HashSet<Resource>,
    ) -> Result<Vec<(Digest, u64)>> {
        let recorded: HashSet<String> = self
            .inner
            .read(|s| s.all::<BlobRecord>(Table::Blobs))?
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let found = self.inner.blobs_on_disk(&[])?;
        Ok(found
            .into_iter()
            .filter(|(digest, _)| {
                !recorded.contains(&digest.to_string())
                    && !leased.contains(&Resource::Blob(digest.clone()))
                    && !self.inner.flights.is_busy(&Resource::Blob(digest.clone()))
            })
            .map(|(digest, record)| (digest, record.size))
            .collect())
    }
}

/// Deletes the records of what isn't kept, and gives them.
fn sweep_records(tx: &Tx<'_>, leased: &HashSet<Resource>) -> Result<(Vec<Layer>, Vec<Digest>)> {
    let mut kept = leased.clone();
    for (key, record) in tx.all::<ImageRecord>(Table::Images)? {
        if let Ok(id) = key.parse::<Digest>() {
            kept.extend(kept_by(&record, &id));
        }
    }
    for (_, record) in tx.all::<RootfsRecord>(Table::Rootfs)? {
        kept.extend(record.layers.into_iter().map(Resource::Layer));
        // Its image may be untagged and deleted; the configuration goes, the layers stay.
        kept.extend(record.image.map(Resource::Blob));
    }
    for (_, resources) in tx.all::<Vec<Resource>>(Table::Pins)? {
        kept.extend(resources);
    }
    let mut gone_layers = Vec::new();
    for (key, layer) in tx.all::<Layer>(Table::Layers)? {
        if kept.contains(&Resource::Layer(layer.diff_id.clone())) {
            kept.extend(layer.blobs.iter().map(|blob| Resource::Blob(blob.digest.clone())));
        } else {
            tx.delete(Table::Layers, &key)?;
            gone_layers.push(layer);
        }
    }
    let mut gone_blobs = Vec::new();
    for (key, _) in tx.all::<BlobRecord>(Table::Blobs)? {
        let Ok(digest) = key.parse::<Digest>() else { continue };
        if !kept.contains(&Resource::Blob(digest.clone())) {
            tx.delete(Table::Blobs, &key)?;
            gone_blobs.push(digest);
        }
    }
    Ok((gone_layers, gone_blobs))
}

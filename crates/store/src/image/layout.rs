//! `images/` as an OCI image layout: `oci-layout` and `index.json` beside the blobs.
//!
//! The index is derived from the database and written anew after every change of names, by
//! rename, so that other tools read the store while the engine runs. It is what names are
//! rebuilt from when the database is lost.

use std::collections::BTreeMap;
use std::io::Write;

use model::image::{Descriptor, Index, Platform, media_type};
use model::{Digest, Reference};

use super::{ImageRecord, NewImage, ReferenceRecord};
use crate::blob::BlobRecord;
use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::store::{Inner, Store};

pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The tag alone (OCI image specification, "Pre-Defined Annotation Keys").
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name; containerd's annotation, which `docker load` and `ctr` read.
pub(super) const IMAGE_NAME: &str = "io.containerd.image.name";

impl Store {
    /// Brings `oci-layout` and `index.json` up to date.
    pub(crate) fn write_layout(&self) -> Result<()> {
        let inner = &self.inner;
        let _order = inner.layout.lock().map_err(|_| Error::Closed)?;
        let index = inner.read(|snapshot| {
            let images = snapshot.all::<ImageRecord>(Table::Images)?;
            let names = snapshot.all::<ReferenceRecord>(Table::References)?;
            Ok(index_of(&images, &names))
        })?;
        let bytes = serde_json::to_vec(&index).map_err(|source| Error::Record {
            what: "images",
            key: "index.json".to_owned(),
            source,
        })?;
        inner.replace_image_file("oci-layout", LAYOUT)?;
        inner.replace_image_file("index.json", &bytes)
    }

    /// [`Store::write_layout`] after a change that stands already, and that a removal must not
    /// fail at for want of space: then the index is brought up to date with the next change, or at the next start.
    pub(crate) fn write_layout_if_fits(&self) -> Result<()> {
        match self.write_layout() {
            Err(error) if error.is_full() => {
                tracing::warn!("the disk is full: images/index.json is behind");
                Ok(())
            }
            other => other,
        }
    }

    /// Makes the blobs that an image's newest manifest names but that were not needed so far
    /// (layers made here), so that other tools can read the image from the layout.
    ///
    /// # Errors
    /// [`Error::NoImage`]; [`Error::NoBlob`] for one that can't be made again.
    pub fn image_complete(&self, lease: &crate::Lease, id: &Digest) -> Result<()> {
        let image = self.image(id)?;
        let Some(newest) = image.manifests.iter().find(is_manifest) else { return Ok(()) };
        let bytes = self.blob_read(&newest.digest, super::DOCUMENT_MAX)?;
        let manifest = super::document::manifest(&newest.digest, &bytes, Some(&newest.media_type))?;
        for (blob, diff_id) in manifest.layers.iter().zip(&image.layers) {
            lease.keep(crate::Resource::Blob(blob.digest.clone()));
            if self.blob_size(&blob.digest)?.is_some() {
                continue;
            }
            if blob.digest != *diff_id {
                return Err(Error::NoBlob(blob.digest.clone()));
            }
            self.layer_blob(lease, diff_id, crate::Compression::None)?;
        }
        Ok(())
    }

    /// Rebuilds layers, blobs, images and names from the disk, for a database that is new.
    pub(crate) fn rebuild(&self) -> Result<()> {
        let layers = self.inner.layers_on_disk()?;
        let blobs = self.inner.blobs_on_disk(&layers)?;
        if layers.is_empty() && blobs.is_empty() {
            return Ok(());
        }
        let (found_layers, found_blobs) = (layers.len(), blobs.len());
        self.inner.write(Durability::Durable, move |tx| {
            for layer in &layers {
                tx.put(Table::Layers, &layer.diff_id.to_string(), layer)?;
            }
            for (digest, record) in &blobs {
                tx.put(Table::Blobs, &digest.to_string(), record)?;
            }
            Ok(())
        })?;
        let images = self.rebuild_images()?;
        tracing::warn!(
            layers = found_layers,
            blobs = found_blobs,
            images,
            "the metadata database was missing and has been rebuilt from the disk"
        );
        Ok(())
    }

    fn rebuild_images(&self) -> Result<usize> {
        let Ok(mut file) = self.inner.dirs.images.open_file(b"index.json") else { return Ok(0) };
        let mut text = String::new();
        std::io::Read::read_to_string(&mut file, &mut text)
            .map_err(Error::file("read", "images/index.json"))?;
        let Ok(index) = serde_json::from_str::<Index>(&text) else {
            tracing::warn!("images/index.json is damaged: no names could be rebuilt");
            return Ok(0);
        };
        let lease = self.lease();
        let mut count = 0;
        for manifest in index.manifests {
            let name = manifest.annotations.get(IMAGE_NAME).and_then(|n| n.parse().ok());
            match self.rebuild_image(&lease, &manifest, name) {
                Ok(()) => count += 1,
                Err(error) => {
                    tracing::warn!(%error, manifest = %manifest.digest, "an image is lost");
                }
            }
        }
        Ok(count)
    }

    fn rebuild_image(
        &self,
        lease: &crate::Lease,
        manifest: &Descriptor,
        name: Option<Reference>,
    ) -> Result<()> {
        let bytes = self.blob_read(&manifest.digest, super::DOCUMENT_MAX)?;
        let parsed =
            super::document::manifest(&manifest.digest, &bytes, Some(&manifest.media_type))?;
        let descriptor =
            Descriptor::new(&manifest.media_type, manifest.digest.clone(), manifest.size);
        let new = NewImage {
            config: parsed.config.digest,
            manifest: Some(descriptor),
            index: None,
            references: name.into_iter().collect(),
        };
        self.image_put(lease, &new).map(drop)
    }
}

impl Inner {
    fn replace_image_file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let dir = &self.dirs.images;
        let subject = || format!("images/{name}");
        if let Ok(mut file) = dir.open_file(name.as_bytes()) {
            let mut old = Vec::new();
            if std::io::Read::read_to_end(&mut file, &mut old).is_ok() && old == bytes {
                return Ok(());
            }
        }
        let staged = self.staging_name("index");
        let staging = &self.dirs.staging;
        let mut file = staging
            .create_file(staged.as_bytes(), 0o600)
            .map_err(Error::file("create", subject()))?;
        if let Err(error) = file.write_all(bytes) {
            // What matters is why; the sweep finds what can't be removed now.
            let _ = staging.unlink(staged.as_bytes());
            return Err(Error::file("write", subject())(error));
        }
        // No fsync: it can be made again. ext4 still never shows it empty after a rename.
        staging
            .rename(staged.as_bytes(), dir, name.as_bytes())
            .map_err(Error::file("replace", subject()))
    }

    pub(crate) fn layers_on_disk(&self) -> Result<Vec<Layer>> {
        let mut found = Vec::new();
        for name in self.dirs.layers.names().map_err(Error::file("list", "layers"))? {
            match self.layer_meta(&name) {
                Some(layer) => found.push(layer),
                None => {
                    let name = String::from_utf8_lossy(&name).into_owned();
                    tracing::warn!(name, "a layer without readable meta is passed over");
                }
            }
        }
        Ok(found)
    }

    /// The meta file of the layer in directory `name`, if it is whole and its own.
    pub(crate) fn layer_meta(&self, name: &[u8]) -> Option<Layer> {
        let path = [name, b"/meta"].concat();
        let file = self.dirs.layers.resolve_file(&path, sys::dir::Links::Refuse).ok()?;
        let layer: Layer = serde_json::from_reader(std::io::BufReader::new(file)).ok()?;
        (layer.diff_id.hex().as_bytes() == name).then_some(layer)
    }

    pub(crate) fn blobs_on_disk(&self, layers: &[Layer]) -> Result<Vec<(Digest, BlobRecord)>> {
        let mut diff_ids = BTreeMap::new();
        for layer in layers {
            for blob in &layer.blobs {
                diff_ids.insert(blob.digest.clone(), layer.diff_id.clone());
            }
        }
        let mut found = Vec::new();
        for (algorithm, dir) in self.dirs.blob_dirs() {
            for name in dir.names().map_err(Error::file("list", "images/blobs"))? {
                let text = format!("{}:{}", algorithm.name(), String::from_utf8_lossy(&name));
                let (Ok(digest), Ok(stat)) = (text.parse::<Digest>(), dir.stat(&name)) else {
                    continue;
                };
                let diff_id = diff_ids.get(&digest).cloned();
                found.push((digest, BlobRecord { size: stat.size, diff_id }));
            }
        }
        Ok(found)
    }
}

fn is_manifest(blob: &&Descriptor) -> bool {
    [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST].contains(&&blob.media_type[..])
}

fn index_of(images: &[(String, ImageRecord)], names: &[(String, ReferenceRecord)]) -> Index {
    let mut manifests = Vec::new();
    for (id, record) in images {
        let Some(newest) = record.manifests.iter().find(is_manifest) else { continue };
        let mut named = false;
        for (name, row) in names {
            let Ok(reference) = name.parse::<Reference>() else { continue };
            if row.image.to_string() != *id || reference.digest().is_some() {
                continue;
            }
            let own = row.manifest.as_ref();
            let manifest = record
                .manifests
                .iter()
                .find(|m| is_manifest(m) && Some(&m.digest) == own)
                .unwrap_or(newest);
            manifests.push(entry(manifest, record, Some(&reference)));
            named = true;
        }
        if !named {
            manifests.push(entry(newest, record, None));
        }
    }
    index(manifests)
}

pub(super) fn index(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

fn entry(manifest: &Descriptor, record: &ImageRecord, reference: Option<&Reference>) -> Descriptor {
    let mut entry = Descriptor::new(&manifest.media_type, manifest.digest.clone(), manifest.size);
    entry.platform = Some(Platform {
        architecture: record.config.architecture.clone(),
        os: record.config.os.clone(),
        os_version: record.config.os_version.clone(),
        os_features: Vec::new(),
        variant: record.config.variant.clone(),
    });
    if let Some(reference) = reference {
        name_entry(&mut entry, reference);
    }
    entry
}

/// Writes an image's name into its descriptor.
pub(super) fn name_entry(entry: &mut Descriptor, reference: &Reference) {
    entry.annotations.insert(IMAGE_NAME.to_owned(), reference.to_string());
    if let Some(tag) = reference.tag() {
        entry.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
    }
}

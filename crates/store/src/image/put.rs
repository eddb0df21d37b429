//! An image comes to be: its blobs and layers are there, and one transaction makes it visible.

use std::collections::HashSet;
use std::io::Read;

use model::image::{Descriptor, History, ImageConfig, Manifest, media_type};
use model::{Digest, Reference};

use super::{DOCUMENT_MAX, Image, ImageRecord, ReferenceRecord, document};
use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::failpoint::failpoint;
use crate::layer::Layer;
use crate::lease::{Lease, Resource};
use crate::store::{Store, now_ns};

/// What becomes an image.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Digest of the configuration blob, which is here.
    pub config: Digest,
    /// The manifest that it came with, whose blob is here. Without one, one is made.
    pub manifest: Option<Descriptor>,
    /// The index that led to the manifest, whose blob is here.
    pub index: Option<Descriptor>,
    /// Names to give it: tags move here from other images; `repository@digest` is kept, too.
    pub references: Vec<Reference>,
}

impl Store {
    /// Makes an image visible under its names, all at once. The same image again adds what is new.
    ///
    /// # Errors
    /// [`Error::NoBlob`] and [`Error::NoLayer`] for what is missing, [`Error::BadDocument`] for
    /// what contradicts, [`Error::NotATag`].
    pub fn image_put(&self, lease: &Lease, new: &NewImage) -> Result<Image> {
        lease.keep(Resource::Image(new.config.clone()));
        lease.keep(Resource::Blob(new.config.clone()));
        let bytes = self.blob_read(&new.config, DOCUMENT_MAX)?;
        let config = document::config(&new.config, &bytes)?;
        let mut layers = Vec::new();
        for diff_id in &config.rootfs.diff_ids {
            layers.push(self.layer_keep(lease, diff_id)?);
        }
        let manifest = match &new.manifest {
            Some(manifest) => {
                self.check_manifest(manifest, &new.config, layers.len())?;
                manifest.clone()
            }
            None => self.make_manifest(lease, &new.config, bytes.len() as u64, &layers)?,
        };
        let mut manifests = vec![manifest.clone()];
        manifests.extend(new.index.clone());
        for blob in &manifests {
            lease.keep(Resource::Blob(blob.digest.clone()));
            if self.blob_size(&blob.digest)?.is_none() {
                return Err(Error::NoBlob(blob.digest.clone()));
            }
        }
        for reference in &new.references {
            if reference.tag().is_none() && reference.digest().is_none() {
                return Err(Error::NotATag(reference.familiar()));
            }
        }
        let record = ImageRecord {
            // A file that several layers have is counted in each, as image sizes are.
            size: layers.iter().map(|layer| layer.size).sum(),
            config,
            manifests,
            stored_ns: now_ns(),
            last_used_ns: None,
        };
        failpoint!("image-before-record");
        self.record_image(&new.config, record, &new.references, manifest.digest)?;
        failpoint!("image-after-record");
        self.write_layout_if_fits()?;
        self.image(&new.config)
    }

    /// Makes an image of any archive of a root filesystem. `config` says all but the layer, which
    /// is added here with a history entry of `comment`.
    ///
    /// # Errors
    /// [`Error::Unpack`], the disk's.
    pub fn image_import(
        &self,
        lease: &Lease,
        source: impl Read + Send,
        mut config: ImageConfig,
        comment: &str,
        references: Vec<Reference>,
    ) -> Result<Image> {
        let layer = self.layer_import(lease, source)?;
        config.rootfs.kind = "layers".to_owned();
        config.rootfs.diff_ids.push(layer.diff_id);
        config.history.push(History {
            created: config.created.clone(),
            comment: Some(comment.to_owned()),
            ..History::default()
        });
        self.image_make(lease, &config, references)
    }

    /// Makes an image of a configuration whose layers are here (commit, build).
    ///
    /// # Errors
    /// [`Error::NoLayer`], the disk's.
    pub fn image_make(
        &self,
        lease: &Lease,
        config: &ImageConfig,
        references: Vec<Reference>,
    ) -> Result<Image> {
        let bytes = serde_json::to_vec(config).map_err(|source| Error::Record {
            what: "images",
            key: "(new)".to_owned(),
            source,
        })?;
        let config = self.blob_put(lease, &bytes)?;
        self.image_put(lease, &NewImage { config, manifest: None, index: None, references })
    }

    /// Gives an image a further tag; the tag leaves the image that had it.
    ///
    /// # Errors
    /// [`Error::NoImage`], [`Error::NotATag`].
    pub fn tag(&self, reference: &Reference, id: &Digest) -> Result<()> {
        if reference.tag().is_none() || reference.digest().is_some() {
            return Err(Error::NotATag(reference.familiar()));
        }
        let (name, image) = (reference.to_string(), id.clone());
        self.inner.write(Durability::Durable, move |tx| {
            let record = tx
                .get::<ImageRecord>(Table::Images, &image.to_string())?
                .ok_or_else(|| Error::NoImage(image.to_string()))?;
            let manifest = record.manifests.first().map(|m| m.digest.clone());
            tx.put(Table::References, &name, &ReferenceRecord { image: image.clone(), manifest })
        })?;
        self.write_layout_if_fits()
    }

    /// Notes that an image is used now. Lazy: a power cut may forget the last second.
    ///
    /// # Errors
    /// The database's.
    pub fn image_touch(&self, id: &Digest) -> Result<()> {
        let (key, now) = (id.to_string(), now_ns());
        self.inner.write(Durability::Lazy, move |tx| {
            if let Some(mut record) = tx.get::<ImageRecord>(Table::Images, &key)? {
                record.last_used_ns = Some(now);
                tx.put(Table::Images, &key, &record)?;
            }
            Ok(())
        })
    }

    fn check_manifest(&self, blob: &Descriptor, config: &Digest, layers: usize) -> Result<()> {
        let bytes = self.blob_read(&blob.digest, DOCUMENT_MAX)?;
        let manifest = document::manifest(&blob.digest, &bytes, Some(&blob.media_type))?;
        let reason = if manifest.config.digest != *config {
            "it belongs to another configuration"
        } else if manifest.layers.len() != layers {
            "its layers are not as many as the configuration's"
        } else {
            return Ok(());
        };
        Err(Error::BadDocument {
            what: "manifest",
            digest: blob.digest.clone(),
            reason: reason.to_owned(),
        })
    }

    /// A manifest of blobs that are here or can be made from the trees: for a layer without any
    /// blob that is the plain archive, whose digest is the diff id.
    fn make_manifest(
        &self,
        lease: &Lease,
        config: &Digest,
        config_size: u64,
        layers: &[Layer],
    ) -> Result<Descriptor> {
        let blob_of = |layer: &Layer| match layer.blobs.first() {
            Some(blob) => Descriptor::new(&blob.media_type, blob.digest.clone(), blob.size),
            None => Descriptor::new(media_type::OCI_LAYER, layer.diff_id.clone(), layer.tar_size),
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::new(media_type::OCI_CONFIG, config.clone(), config_size),
            layers: layers.iter().map(blob_of).collect(),
            subject: None,
            annotations: Default::default(),
        };
        let bytes = serde_json::to_vec(&manifest).map_err(|source| Error::Document {
            what: "manifest",
            digest: config.clone(),
            source,
        })?;
        let digest = self.blob_put(lease, &bytes)?;
        Ok(Descriptor::new(media_type::OCI_MANIFEST, digest, bytes.len() as u64))
    }

    fn record_image(
        &self,
        id: &Digest,
        fresh: ImageRecord,
        references: &[Reference],
        manifest: Digest,
    ) -> Result<()> {
        let id = id.clone();
        let names: Vec<String> = references.iter().flat_map(names_of).collect();
        self.inner.write(Durability::Durable, move |tx| {
            let key = id.to_string();
            let mut record = fresh.clone();
            if let Some(old) = tx.get::<ImageRecord>(Table::Images, &key)? {
                record.stored_ns = old.stored_ns;
                record.last_used_ns = old.last_used_ns;
                let known: HashSet<_> = record.manifests.iter().map(|m| m.digest.clone()).collect();
                record
                    .manifests
                    .extend(old.manifests.into_iter().filter(|m| !known.contains(&m.digest)));
            }
            tx.put(Table::Images, &key, &record)?;
            for name in &names {
                let row = ReferenceRecord { image: id.clone(), manifest: Some(manifest.clone()) };
                tx.put(Table::References, name, &row)?;
            }
            Ok(())
        })
    }
}

/// The rows of one reference: `name:tag@digest` names two things.
fn names_of(reference: &Reference) -> Vec<String> {
    let mut names = Vec::new();
    if let Some(tagged) = reference.tag().and_then(|tag| reference.with_tag(tag).ok()) {
        names.push(tagged.to_string());
    }
    if let Some(digest) = reference.digest() {
        names.push(reference.with_digest(digest.clone()).to_string());
    }
    names
}

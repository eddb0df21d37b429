//! Writing images out, in the one archive that `docker load`, skopeo, podman and containerd read:
//! an OCI layout with Docker's `manifest.json` and `repositories` beside (moby 25 and later).
//!
//! Layers are written uncompressed, under their diff id, so that every length is known before
//! and nothing is spooled. The same images give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use model::image::{Descriptor, Manifest, Platform, media_type};
use model::{Digest, Reference};
use serde::{Deserialize, Serialize};

use super::layout::{LAYOUT, index, name_entry};
use super::{DOCUMENT_MAX, Image};
use crate::archive::{ArchiveError, Entry, EntryKind, Writer};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::lease::Resource;
use crate::store::Store;

/// One image in Docker's `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    /// `null` where there are none, as Docker writes it.
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) layer_sources: BTreeMap<String, Descriptor>,
}

/// Repository → tag → topmost layer.
pub(super) type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// A blob of the archive: in memory, or a layer.
enum Content {
    Bytes(Vec<u8>),
    Layer(Box<Layer>),
}

#[derive(Default)]
struct Plan {
    blobs: BTreeMap<String, Content>,
    images: Vec<DockerImage>,
    entries: Vec<Descriptor>,
    repositories: Repositories,
}

impl Store {
    /// Writes images to `sink`. A name saves under that name, a repository alone with all its
    /// tags, an id without any name.
    ///
    /// # Errors
    /// [`Error::NoImage`] before anything is written; [`Error::Archive`].
    pub fn image_save(&self, texts: &[&str], sink: impl Write) -> Result<()> {
        let lease = self.lease();
        let mut chosen: Vec<(Image, BTreeSet<Reference>)> = Vec::new();
        for text in texts {
            for (image, tags) in self.choose(text)? {
                lease.keep(Resource::Image(image.id.clone()));
                match chosen.iter_mut().find(|(known, _)| known.id == image.id) {
                    Some((_, known)) => known.extend(tags),
                    None => chosen.push((image, tags)),
                }
            }
        }
        let mut plan = Plan::default();
        for (image, tags) in &chosen {
            for diff_id in &image.layers {
                self.layer_keep(&lease, diff_id)?;
            }
            self.plan_image(&mut plan, image, tags)?;
        }
        self.write_plan(plan, sink)
    }

    /// The images that a text stands for, with the tags to save.
    fn choose(&self, text: &str) -> Result<Vec<(Image, BTreeSet<Reference>)>> {
        let reference = text.parse::<Reference>().ok();
        if let Some(repository) =
            reference.as_ref().filter(|r| r.tag().is_none() && r.digest().is_none())
        {
            let mut found = Vec::new();
            for summary in self.images()? {
                let of = |tag: &&Reference| tag.repository() == *repository;
                let tags: BTreeSet<_> = summary.image.tags.iter().filter(of).cloned().collect();
                if !tags.is_empty() {
                    found.push((summary.image, tags));
                }
            }
            if !found.is_empty() {
                return Ok(found);
            }
        }
        let image = self.image_find(text)?;
        let tag = reference.filter(|reference| image.tags.contains(reference));
        Ok(vec![(image, tag.into_iter().collect())])
    }

    fn plan_image(&self, plan: &mut Plan, image: &Image, tags: &BTreeSet<Reference>) -> Result<()> {
        let config = self.blob_read(&image.id, DOCUMENT_MAX)?;
        let mut layers = Vec::new();
        for diff_id in &image.layers {
            let layer =
                self.inner.layer(diff_id)?.ok_or_else(|| Error::NoLayer(diff_id.clone()))?;
            layers.push(Descriptor::new(media_type::OCI_LAYER, diff_id.clone(), layer.tar_size));
            plan.blobs.insert(blob_path(diff_id), Content::Layer(Box::new(layer)));
        }
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media_type::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: Descriptor::new(media_type::OCI_CONFIG, image.id.clone(), config.len() as u64),
            layers: layers.clone(),
            subject: None,
            annotations: BTreeMap::new(),
        };
        let manifest = json(&manifest, &image.id)?;
        let digest = Digest::sha256(&manifest);
        let mut entry =
            Descriptor::new(media_type::OCI_MANIFEST, digest.clone(), manifest.len() as u64);
        entry.platform = Some(Platform {
            architecture: image.config.architecture.clone(),
            os: image.config.os.clone(),
            os_version: image.config.os_version.clone(),
            os_features: Vec::new(),
            variant: image.config.variant.clone(),
        });
        plan.blobs.insert(blob_path(&digest), Content::Bytes(manifest));
        plan.blobs.insert(blob_path(&image.id), Content::Bytes(config));
        plan.images.push(DockerImage {
            config: blob_path(&image.id),
            repo_tags: (!tags.is_empty()).then(|| tags.iter().map(Reference::familiar).collect()),
            layers: image.layers.iter().map(blob_path).collect(),
            layer_sources: layers.iter().map(|l| (l.digest.to_string(), l.clone())).collect(),
        });
        if tags.is_empty() {
            plan.entries.push(entry.clone());
        }
        for tag in tags {
            let mut named = entry.clone();
            name_entry(&mut named, tag);
            plan.entries.push(named);
            if let (Some(name), Some(top)) = (tag.tag(), image.layers.last()) {
                plan.repositories
                    .entry(tag.familiar_repository())
                    .or_default()
                    .insert(name.to_owned(), top.hex().to_owned());
            }
        }
        Ok(())
    }

    fn write_plan(&self, plan: Plan, sink: impl Write) -> Result<()> {
        let nobody = Digest::sha256(b"");
        let mut writer = Writer::new(io::BufWriter::with_capacity(256 * 1024, sink));
        let archive = |source| Error::Archive { subject: "images".to_owned(), source };
        let mut directories = BTreeSet::from([b"blobs/".to_vec()]);
        for path in plan.blobs.keys() {
            directories.insert(path.as_bytes()[..=path.rfind('/').unwrap_or(0)].to_vec());
        }
        for path in directories {
            let entry = Entry::new(&path, EntryKind::Directory, 0o755);
            writer.append(&entry, io::empty()).map_err(archive)?;
        }
        for (path, content) in &plan.blobs {
            let mut entry = Entry::new(path.as_bytes(), EntryKind::File, 0o644);
            match content {
                Content::Bytes(bytes) => writer.append_bytes(entry, bytes).map_err(archive)?,
                Content::Layer(layer) => {
                    let mut tar = self.inner.layer_tar(layer)?;
                    entry.size = tar.size();
                    writer.append(&entry, &mut tar).map_err(archive)?;
                    // One more read: at the end the digest is compared.
                    match io::Read::read(&mut tar, &mut [0u8; 1]) {
                        Ok(0) => {}
                        Ok(_) => {
                            let (digest, expected) = (layer.diff_id.clone(), layer.tar_size);
                            let actual = expected + 1;
                            return Err(Error::WrongSize { digest, expected, actual });
                        }
                        Err(error) => return Err(archive(ArchiveError::Read(error))),
                    }
                }
            }
        }
        let mut documents = vec![
            ("index.json", json(&index(plan.entries), &nobody)?),
            ("manifest.json", json(&plan.images, &nobody)?),
            ("oci-layout", LAYOUT.to_vec()),
        ];
        if !plan.repositories.is_empty() {
            documents.push(("repositories", json(&plan.repositories, &nobody)?));
        }
        for (name, bytes) in documents {
            let entry = Entry::new(name.as_bytes(), EntryKind::File, 0o644);
            writer.append_bytes(entry, &bytes).map_err(archive)?;
        }
        writer.finish().map_err(archive).map(drop)
    }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn json<T: Serialize>(value: &T, of: &Digest) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|source| Error::Document {
        what: "document",
        digest: of.clone(),
        source,
    })
}

//! Manifests and indexes: read strictly, kept byte for byte, and the list of what refers to what.

use std::{fs, io, path::PathBuf};

use model::{
    Digest,
    image::{Descriptor, Manifest, media_type},
};
use store::document;

use super::{Result, Storage, below, digests_in, listing, read_gate, renew};
use crate::server::{
    refusal::{Code, Refusal},
    route::Name,
};

/// A manifest that comes in.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// Of the bytes.
    pub digest: Digest,
    /// As stored and given out.
    pub media_type: String,
    /// Exactly as sent.
    pub bytes: Vec<u8>,
    /// Blobs that must be there.
    pub blobs: Vec<Digest>,
    /// Manifests that must be there.
    pub manifests: Vec<Digest>,
    /// What it refers to, with the descriptor that the referrers list shows.
    pub subject: Option<(Digest, Descriptor)>,
}

/// What must be there before a manifest is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Everything that it needs: it was pushed.
    Required,
    /// Nothing: it comes from an upstream, from where its parts come when they are asked for.
    Later,
}

/// A manifest that goes out.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Of the bytes.
    pub digest: Digest,
    /// For `Content-Type`.
    pub media_type: String,
    /// Exactly as it came.
    pub bytes: Vec<u8>,
}

impl NewManifest {
    /// Reads a document that came with `content_type`. What two readers could take for different
    /// things is refused (CVE-2021-41190).
    ///
    /// # Errors
    /// `MANIFEST_INVALID`.
    pub fn read(digest: Digest, content_type: Option<&str>, bytes: Vec<u8>) -> Result<Self> {
        let invalid = |error: &dyn std::error::Error| {
            let why = error.source().map_or_else(String::new, |source| format!(": {source}"));
            Refusal::new(Code::ManifestInvalid, format!("manifest invalid: {error}{why}"))
        };
        #[derive(serde::Deserialize)]
        struct Own {
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
        }
        let own: Own = serde_json::from_slice(&bytes).map_err(|error| invalid(&error))?;
        let Some(media_type) = content_type.map(str::to_owned).or(own.media_type) else {
            return Err(Refusal::new(Code::ManifestInvalid, "a manifest needs a Content-Type"));
        };
        let is_index = [media_type::OCI_INDEX, media_type::DOCKER_INDEX];
        let mut new = Self {
            digest,
            media_type,
            bytes,
            blobs: Vec::new(),
            manifests: Vec::new(),
            subject: None,
        };
        let (subject, artifact_type, annotations);
        if is_index.contains(&new.media_type.as_str()) {
            let index = document::index(&new.digest, &new.bytes, Some(&new.media_type))
                .map_err(|error| invalid(&error))?;
            new.manifests = index.manifests.into_iter().map(|entry| entry.digest).collect();
            (subject, artifact_type, annotations) =
                (index.subject, index.artifact_type, index.annotations);
        } else {
            let manifest = document::manifest(&new.digest, &new.bytes, Some(&new.media_type))
                .map_err(|error| invalid(&error))?;
            new.blobs = wanted_blobs(&manifest);
            let config_type = manifest.config.media_type;
            (subject, artifact_type, annotations) = (
                manifest.subject,
                manifest.artifact_type.filter(|kind| !kind.is_empty()).or(Some(config_type)),
                manifest.annotations,
            );
        }
        new.subject = subject.map(|subject| {
            let size = new.bytes.len() as u64;
            let mut shown = Descriptor::new(&new.media_type, new.digest.clone(), size);
            shown.artifact_type = artifact_type.filter(|kind| !kind.is_empty());
            shown.annotations = annotations;
            (subject.digest, shown)
        });
        Ok(new)
    }
}

/// All but the layers that may not be distributed, which live elsewhere.
fn wanted_blobs(manifest: &Manifest) -> Vec<Digest> {
    let foreign = |layer: &&Descriptor| {
        !layer.media_type.contains("nondistributable") && !layer.media_type.contains(".foreign.")
    };
    let layers = manifest.layers.iter().filter(foreign);
    [&manifest.config].into_iter().chain(layers).map(|found| found.digest.clone()).collect()
}

impl Storage {
    pub(super) fn manifest_path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository(name).join("_manifests").join(below(digest))
    }

    fn referrer_path(&self, name: &Name, subject: &Digest, digest: &Digest) -> PathBuf {
        let file = format!("{}-{}", digest.algorithm().name(), digest.hex());
        self.repository(name).join("_referrers").join(below(subject)).join(file)
    }

    /// Stores a manifest.
    ///
    /// # Errors
    /// `MANIFEST_BLOB_UNKNOWN`; the disk's.
    pub fn manifest_put(&self, name: &Name, new: &NewManifest, parts: Parts) -> Result<()> {
        let fault = |error| Refusal::disk("store the manifest", error);
        if parts == Parts::Required {
            self.has_parts(name, new)?;
        }
        self.blob_put(name, &new.digest, &new.bytes).map_err(fault)?;
        // The list of referrers first: an entry whose manifest isn't there is skipped when listed.
        if let Some((subject, shown)) = &new.subject {
            let text = serde_json::to_vec(shown).map_err(|error| fault(error.into()))?;
            self.replace(&self.referrer_path(name, subject, &new.digest), &text).map_err(fault)?;
        }
        let _gate = read_gate(&self.gate);
        self.replace(&self.manifest_path(name, &new.digest), new.media_type.as_bytes())
            .map_err(fault)
    }

    /// Refuses a manifest some part of which the repository doesn't have; the others' time begins anew.
    fn has_parts(&self, name: &Name, new: &NewManifest) -> Result<()> {
        let fault = |error| Refusal::disk("store the manifest", error);
        for blob in &new.blobs {
            if self.blob_size(name, blob)?.is_none() {
                return Err(missing(blob));
            }
        }
        for manifest in &new.manifests {
            let _gate = read_gate(&self.gate);
            if !renew(&self.manifest_path(name, manifest)).map_err(fault)? {
                return Err(missing(manifest));
            }
        }
        Ok(())
    }

    /// Whether the repository has this manifest.
    pub fn has_manifest(&self, name: &Name, digest: &Digest) -> bool {
        self.manifest_path(name, digest).exists()
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`; the disk's.
    pub fn manifest(&self, name: &Name, digest: &Digest) -> Result<StoredManifest> {
        let read = || -> io::Result<StoredManifest> {
            let media_type = fs::read_to_string(self.manifest_path(name, digest))?;
            let bytes = fs::read(self.blob_path(digest))?;
            Ok(StoredManifest { digest: digest.clone(), media_type, bytes })
        };
        read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => unknown_manifest(digest),
            _ => Refusal::disk("read the manifest", error),
        })
    }

    /// Removes a manifest and the tags that stand for it.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`; the disk's.
    pub fn manifest_delete(&self, name: &Name, digest: &Digest) -> Result<()> {
        let stored = self.manifest(name, digest)?;
        self.untag(name, digest)?;
        fs::remove_file(self.manifest_path(name, digest))
            .map_err(|error| Refusal::disk("delete the manifest", error))?;
        let read = NewManifest::read(digest.clone(), Some(&stored.media_type), stored.bytes);
        if let Ok(NewManifest { subject: Some((subject, _)), .. }) = read {
            // Listing skips entries without a manifest, so what stays here does no harm.
            let _ = fs::remove_file(self.referrer_path(name, &subject, digest));
        }
        Ok(())
    }

    /// Digests of the repository's manifests.
    pub(super) fn manifests(&self, name: &Name) -> Result<Vec<Digest>> {
        digests_in(&self.repository(name).join("_manifests"))
            .map_err(|error| Refusal::disk("list manifests", error))
    }

    /// What refers to `subject`, in the order of digests.
    ///
    /// # Errors
    /// The disk's.
    pub fn referrers(&self, name: &Name, subject: &Digest) -> Result<Vec<Descriptor>> {
        let fault = |error| Refusal::disk("list referrers", error);
        let dir = self.repository(name).join("_referrers").join(below(subject));
        let mut found = Vec::new();
        for entry in listing(&dir).map_err(fault)? {
            let bytes = fs::read(entry.path()).map_err(fault)?;
            let Ok(shown) = serde_json::from_slice::<Descriptor>(&bytes) else { continue };
            if self.has_manifest(name, &shown.digest) {
                found.push(shown);
            }
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }
}

fn missing(digest: &Digest) -> Refusal {
    Refusal::new(Code::ManifestBlobUnknown, "manifest references something unknown to the registry")
        .with_detail(serde_json::json!({"digest": digest.to_string()}))
}

/// `MANIFEST_UNKNOWN` for `digest`.
pub fn unknown_manifest(digest: &Digest) -> Refusal {
    Refusal::new(Code::ManifestUnknown, "manifest unknown")
        .with_detail(serde_json::json!({"digest": digest.to_string()}))
}

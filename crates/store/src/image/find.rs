//! Looking images up: by id, by what a person typed, or all of them.

use std::collections::HashMap;

use model::{Digest, Reference};

use super::{Image, ImageRecord, ImageSummary, ReferenceRecord};
use crate::db::{Snapshot, Table};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::store::Store;

impl Store {
    /// The image of an id.
    ///
    /// # Errors
    /// [`Error::NoImage`].
    pub fn image(&self, id: &Digest) -> Result<Image> {
        self.inner.read(|snapshot| {
            let record = snapshot
                .get::<ImageRecord>(Table::Images, &id.to_string())?
                .ok_or_else(|| Error::NoImage(id.to_string()))?;
            let names = snapshot.all::<ReferenceRecord>(Table::References)?;
            let mut image = whole(id.clone(), record);
            for (name, row) in names {
                if row.image == image.id {
                    image.add_name(&name);
                }
            }
            Ok(image)
        })
    }

    /// The image that a person means: a name with or without tag (`latest` is understood), a
    /// `name@digest`, an id with or without `sha256:`, or the beginning of one.
    ///
    /// # Errors
    /// [`Error::NoImage`] with the text, [`Error::AmbiguousImage`].
    pub fn image_find(&self, text: &str) -> Result<Image> {
        let id = self.inner.read(|snapshot| resolve(snapshot, text))?;
        self.image(&id)
    }

    /// The image that a reference names, and the manifest that the name stands for.
    ///
    /// # Errors
    /// [`Error::NoImage`].
    pub fn resolve(&self, reference: &Reference) -> Result<(Digest, Option<Digest>)> {
        self.inner.read(|snapshot| {
            by_reference(snapshot, reference)?
                .map(|row| (row.image, row.manifest))
                .ok_or_else(|| Error::NoImage(reference.familiar()))
        })
    }

    /// All images, newest first.
    ///
    /// # Errors
    /// The database's.
    pub fn images(&self) -> Result<Vec<ImageSummary>> {
        self.inner.read(|snapshot| {
            let mut images: HashMap<Digest, Image> = HashMap::new();
            for (key, record) in snapshot.all::<ImageRecord>(Table::Images)? {
                if let Ok(id) = key.parse::<Digest>() {
                    images.insert(id.clone(), whole(id, record));
                }
            }
            for (name, row) in snapshot.all::<ReferenceRecord>(Table::References)? {
                if let Some(image) = images.get_mut(&row.image) {
                    image.add_name(&name);
                }
            }
            let sizes: HashMap<Digest, u64> = snapshot
                .all::<Layer>(Table::Layers)?
                .into_iter()
                .map(|(_, layer)| (layer.diff_id, layer.size))
                .collect();
            let mut uses: HashMap<Digest, u32> = HashMap::new();
            for layer in images.values().flat_map(|image| &image.layers) {
                *uses.entry(layer.clone()).or_default() += 1;
            }
            let shared = |image: &Image| {
                image
                    .layers
                    .iter()
                    .filter(|layer| uses.get(*layer).is_some_and(|uses| *uses > 1))
                    .filter_map(|layer| sizes.get(layer))
                    .sum()
            };
            let mut list: Vec<ImageSummary> = images
                .into_values()
                .map(|image| ImageSummary { shared_size: shared(&image), image })
                .collect();
            list.sort_by(|a, b| {
                let created = |s: &ImageSummary| s.image.created();
                created(b).cmp(&created(a)).then_with(|| a.image.id.cmp(&b.image.id))
            });
            Ok(list)
        })
    }
}

impl Image {
    /// When it was made, as its configuration says; the epoch if it doesn't.
    pub fn created(&self) -> jiff::Timestamp {
        let text = self.config.created.as_deref();
        text.and_then(|text| text.parse().ok()).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    fn add_name(&mut self, name: &str) {
        // Rows are written from references, so what doesn't parse is damage that a check reports.
        let Ok(reference) = name.parse::<Reference>() else { return };
        if reference.digest().is_some() {
            self.digests.push(reference);
        } else {
            self.tags.push(reference);
        }
    }
}

fn whole(id: Digest, record: ImageRecord) -> Image {
    Image {
        id,
        layers: record.config.rootfs.diff_ids.clone(),
        config: record.config,
        manifests: record.manifests,
        tags: Vec::new(),
        digests: Vec::new(),
        size: record.size,
        stored_ns: record.stored_ns,
        last_used_ns: record.last_used_ns,
    }
}

pub(super) fn by_reference(
    snapshot: &Snapshot,
    reference: &Reference,
) -> Result<Option<ReferenceRecord>> {
    // With both, the digest decides; the tag is a remark.
    let name = match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone().or_latest(),
    };
    if let Some(row) = snapshot.get::<ReferenceRecord>(Table::References, &name.to_string())? {
        return Ok(Some(row));
    }
    // `name@<image id>`, as people copy it from lists.
    let Some(digest) = reference.digest() else { return Ok(None) };
    let rows = snapshot.all::<ReferenceRecord>(Table::References)?;
    let repository = reference.repository();
    let same =
        |name: &str| name.parse::<Reference>().is_ok_and(|other| other.repository() == repository);
    Ok(rows.into_iter().find(|(name, row)| row.image == *digest && same(name)).map(|(_, row)| row))
}

/// Names win over ids, so that a tag `abc` can't be shadowed by an image whose id begins so.
fn resolve(snapshot: &Snapshot, text: &str) -> Result<Digest> {
    let missing = || Error::NoImage(with_latest(text));
    if let Ok(digest) = text.parse::<Digest>() {
        return by_digest(snapshot, &digest)?.ok_or_else(missing);
    }
    if let Ok(reference) = text.parse::<Reference>()
        && let Some(row) = by_reference(snapshot, &reference)?
    {
        return Ok(row.image);
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if hex.is_empty() || hex.len() > 64 || !hex.bytes().all(is_hex) {
        return Err(missing());
    }
    let mut found = Vec::new();
    snapshot.scan(Table::Images, &format!("sha256:{hex}"), |key, _| {
        found.push(key.to_owned());
        Ok(())
    })?;
    match &found[..] {
        [only] => only.parse().map_err(|_| missing()),
        [] => Err(missing()),
        _ => Err(Error::AmbiguousImage(text.to_owned())),
    }
}

/// An id, or the digest of a manifest of an image.
fn by_digest(snapshot: &Snapshot, digest: &Digest) -> Result<Option<Digest>> {
    if snapshot.get_bytes(Table::Images, &digest.to_string())?.is_some() {
        return Ok(Some(digest.clone()));
    }
    let images = snapshot.all::<ImageRecord>(Table::Images)?;
    let has = |record: &ImageRecord| record.manifests.iter().any(|m| m.digest == *digest);
    Ok(images.into_iter().find(|(_, record)| has(record)).and_then(|(key, _)| key.parse().ok()))
}

/// Docker's message names the tag that was looked for.
fn with_latest(text: &str) -> String {
    match text.parse::<Reference>() {
        Ok(reference) => reference.or_latest().familiar(),
        Err(_) => text.to_owned(),
    }
}

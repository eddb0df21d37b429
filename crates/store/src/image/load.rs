//! Reading images in: OCI layouts, and Docker's archives of every age.
//!
//! The archive is a stream and may name its parts in any order, so its files are spooled first,
//! hashed on the way; a blob then moves into place instead of being copied. Nothing of it is
//! trusted: names are only keys, digests are compared, ids are computed.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::image::{Descriptor, History, ImageConfig, Index, Platform, media_type};
use model::{Digest, Reference};

use super::layout::{IMAGE_NAME, REF_NAME};
use super::save::{DockerImage, Repositories};
use super::{DOCUMENT_MAX, NewImage, document};
use crate::archive::{self, ArchiveError, EntryKind, Reader};
use crate::blob::Begin;
use crate::error::{Error, Result};
use crate::hash::HashingWriter;
use crate::layer::LayerSource;
use crate::lease::Lease;
use crate::store::{Staged, Store};

/// Most layers of one image, as registries and overlayfs have it.
const LAYERS_MAX: usize = 500;
/// Most entries of an image archive; each is remembered until the end.
const FILES_MAX: u64 = 100_000;
/// Deepest chain of indexes, and of links within an archive.
const NESTING_MAX: usize = 8;

/// How far a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadProgress {
    /// So many bytes of the archive have been read.
    Read {
        /// Uncompressed bytes in files so far.
        bytes: u64,
    },
    /// A layer is unpacked, or was there.
    Layer {
        /// Which.
        diff_id: Digest,
        /// Bytes of its blob.
        size: u64,
    },
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub image: Digest,
    /// The names that it got.
    pub references: Vec<Reference>,
}

/// The spooled files of an archive.
struct Spool {
    staged: Staged,
    files: HashMap<Vec<u8>, File>,
    links: HashMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone)]
struct File {
    /// Its name in staging.
    name: String,
    digest: Digest,
    size: u64,
}

/// One image of an archive, before its layers are unpacked.
struct Found {
    config: Vec<u8>,
    manifest: Option<Vec<u8>>,
    manifest_type: String,
    layers: Vec<File>,
    references: Vec<Reference>,
}

impl Store {
    /// Loads every image of an archive, plain or compressed.
    ///
    /// # Errors
    /// [`Error::Load`] for what is no image archive, [`Error::Unpack`], [`Error::WrongDiffId`],
    /// [`Error::BadDocument`], the disk's. Images loaded before stay.
    pub fn image_load(
        &self,
        source: impl Read + Send,
        progress: impl FnMut(LoadProgress) + Send,
    ) -> Result<Vec<Loaded>> {
        let progress = Mutex::new(progress);
        let report = |step| {
            if let Ok(mut progress) = progress.lock() {
                progress(step);
            }
        };
        let spool = self.spool(source, &report)?;
        let found = spool.images()?;
        if found.is_empty() {
            return Err(Error::Load("it has no images".to_owned()));
        }
        let mut loaded = Vec::new();
        for image in found {
            let lease = self.lease();
            loaded.push(self.load_one(&lease, &spool, image, &report)?);
        }
        Ok(loaded)
    }

    fn spool(
        &self,
        source: impl Read + Send,
        report: &(impl Fn(LoadProgress) + Sync),
    ) -> Result<Spool> {
        let mut limits = self.inner.options.limits;
        limits.entries = limits.entries.min(FILES_MAX);
        let unpack = |source| Error::Unpack { subject: "of the image archive".to_owned(), source };
        let buffered = io::BufReader::with_capacity(archive::buffer_size(), source);
        let plain = archive::decoder(buffered).map_err(unpack)?;
        let mut reader =
            Reader::new(io::BufReader::with_capacity(archive::buffer_size(), plain), limits);
        let staged = self.inner.stage("load")?;
        let mut spool = Spool { staged, files: HashMap::new(), links: HashMap::new() };
        let mut bytes = 0;
        while let Some(entry) = reader.next_entry().map_err(unpack)? {
            let path = archive::normalise(&entry.path).map_err(unpack)?;
            match entry.kind {
                EntryKind::File => {
                    if entry.sparse.is_some() {
                        let reason = "a sparse file in an image archive";
                        return Err(unpack(ArchiveError::refused(&path, reason)));
                    }
                    let file = spool.take(&mut reader)?;
                    bytes += file.size;
                    spool.links.remove(&path);
                    spool.files.insert(path, file);
                    report(LoadProgress::Read { bytes });
                }
                EntryKind::HardLink => {
                    let target = archive::normalise(&entry.link).map_err(unpack)?;
                    spool.links.insert(path, target);
                }
                EntryKind::Symlink => {
                    // Old archives point equal layers at each other: `../<id>/layer.tar`.
                    if let Some(target) = relative(&path, &entry.link) {
                        spool.links.insert(path, target);
                    }
                }
                EntryKind::Directory => {}
                _ => {
                    let reason = "a device in an image archive";
                    return Err(unpack(ArchiveError::refused(&path, reason)));
                }
            }
        }
        reader.drain().map_err(unpack)?;
        Ok(spool)
    }

    fn load_one(
        &self,
        lease: &Lease,
        spool: &Spool,
        image: Found,
        report: &(impl Fn(LoadProgress) + Sync),
    ) -> Result<Loaded> {
        let id = Digest::sha256(&image.config);
        let config = document::config(&id, &image.config)?;
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != image.layers.len() || diff_ids.len() > LAYERS_MAX {
            return Err(Error::Load(format!(
                "image {} has {} layers, but its configuration names {}",
                id.short(),
                image.layers.len(),
                diff_ids.len()
            )));
        }
        self.load_layers(lease, spool, diff_ids, &image.layers, report)?;
        self.blob_put(lease, &image.config)?;
        let manifest = match image.manifest {
            Some(bytes) => {
                let digest = self.blob_put(lease, &bytes)?;
                Some(Descriptor::new(&image.manifest_type, digest, bytes.len() as u64))
            }
            None => None,
        };
        let new = NewImage {
            config: id.clone(),
            manifest,
            index: None,
            references: image.references.clone(),
        };
        self.image_put(lease, &new)?;
        Ok(Loaded { image: id, references: image.references })
    }

    /// Unpacks layers side by side, the lowest first.
    fn load_layers(
        &self,
        lease: &Lease,
        spool: &Spool,
        diff_ids: &[Digest],
        files: &[File],
        report: &(impl Fn(LoadProgress) + Sync),
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let workers = std::thread::available_parallelism().map_or(2, usize::from).min(files.len());
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let (Some(diff_id), Some(file)) = (diff_ids.get(at), files.get(at)) else {
                            return;
                        };
                        match self.load_layer(lease, spool, diff_id, file, &diff_ids[..at]) {
                            Ok(()) => report(LoadProgress::Layer {
                                diff_id: diff_id.clone(),
                                size: file.size,
                            }),
                            Err(error) => {
                                // The others stop, and the first error is the one to tell.
                                next.store(files.len(), Ordering::Relaxed);
                                if let Ok(mut failure) = failure.lock() {
                                    failure.get_or_insert(error);
                                }
                            }
                        }
                    }
                });
            }
        });
        match failure.into_inner() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(Error::Worker("load a layer")),
        }
    }

    fn load_layer(
        &self,
        lease: &Lease,
        spool: &Spool,
        diff_id: &Digest,
        file: &File,
        parents: &[Digest],
    ) -> Result<()> {
        let source = LayerSource {
            blob: Descriptor::new("", file.digest.clone(), file.size),
            diff_id: Some(diff_id.clone()),
            parents: parents.to_vec(),
        };
        let mut ingest = match self.layer_begin(lease, source)? {
            Begin::Present(_) => return Ok(()),
            Begin::Wanted(ingest) => ingest,
        };
        if ingest.offset() < file.size {
            let mut content = spool.open(file)?;
            io::Seek::seek(&mut content, io::SeekFrom::Start(ingest.offset()))
                .map_err(Error::file("read", "staging"))?;
            let mut buffer = vec![0u8; archive::buffer_size()];
            loop {
                match content.read(&mut buffer).map_err(Error::file("read", "staging"))? {
                    0 => break,
                    length => ingest.write(&buffer[..length])?,
                }
            }
        }
        ingest.finish().map(drop)
    }
}

impl Spool {
    fn take<R: io::BufRead>(&mut self, reader: &mut Reader<R>) -> Result<File> {
        let name = self.files.len().to_string();
        let subject = || format!("staging/{}/{name}", self.staged.name);
        // An archive may bring one name twice; the file then is made anew under the same number.
        self.staged.dir.remove_tree(name.as_bytes()).map_err(Error::file("replace", subject()))?;
        let file = self
            .staged
            .dir
            .create_file(name.as_bytes(), 0o600)
            .map_err(Error::file("create", subject()))?;
        let mut sink = HashingWriter::new(file);
        loop {
            let chunk = reader.data().map_err(|source| Error::Unpack {
                subject: "of the image archive".to_owned(),
                source,
            })?;
            if chunk.is_empty() {
                break;
            }
            sink.write_all(chunk).map_err(Error::file("write", subject()))?;
            let length = chunk.len();
            reader.consume(length);
        }
        let (_, digest, size) = sink.finish();
        Ok(File { name, digest, size })
    }

    fn open(&self, file: &File) -> Result<std::fs::File> {
        self.staged
            .dir
            .open_file(file.name.as_bytes())
            .map_err(Error::file("open", format!("staging/{}/{}", self.staged.name, file.name)))
    }

    fn find(&self, path: &str) -> Option<&File> {
        let mut path = archive::normalise(path.as_bytes()).ok()?;
        for _ in 0..NESTING_MAX {
            if let Some(file) = self.files.get(&path) {
                return Some(file);
            }
            path = self.links.get(&path)?.clone();
        }
        None
    }

    fn need(&self, path: &str) -> Result<&File> {
        self.find(path).ok_or_else(|| Error::Load(format!("{path:?} is named but not in it")))
    }

    fn document(&self, file: &File) -> Result<Vec<u8>> {
        if file.size > DOCUMENT_MAX {
            return Err(Error::Load(format!("a document is longer than {DOCUMENT_MAX} bytes")));
        }
        let mut bytes = Vec::new();
        self.open(file)?.read_to_end(&mut bytes).map_err(Error::file("read", "staging"))?;
        Ok(bytes)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, file: &File, what: &'static str) -> Result<T> {
        serde_json::from_slice(&self.document(file)?).map_err(|source| Error::Document {
            what,
            digest: file.digest.clone(),
            source,
        })
    }

    fn images(&self) -> Result<Vec<Found>> {
        if self.find("oci-layout").is_some()
            && let Some(index) = self.find("index.json")
        {
            return self.oci_images(index);
        }
        if let Some(manifest) = self.find("manifest.json") {
            let images: Vec<DockerImage> = self.parse(manifest, "manifest.json")?;
            return images.iter().map(|image| self.docker_image(image)).collect();
        }
        if let Some(repositories) = self.find("repositories") {
            return self.legacy_images(&self.parse(repositories, "repositories")?);
        }
        Err(Error::Load(
            "it is no image archive: no index.json, manifest.json or repositories".into(),
        ))
    }

    fn docker_image(&self, image: &DockerImage) -> Result<Found> {
        let layers =
            image.layers.iter().map(|path| self.need(path).cloned()).collect::<Result<Vec<_>>>()?;
        let names = image.repo_tags.iter().flatten();
        Ok(Found {
            config: self.document(self.need(&image.config)?)?,
            manifest: None,
            manifest_type: String::new(),
            layers,
            references: names.map(|name| parse_name(name)).collect::<Result<_>>()?,
        })
    }

    fn blob(&self, digest: &Digest) -> Result<&File> {
        let path = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let file = self.need(&path)?;
        // Spooled files are hashed with SHA-256; blobs under another algorithm are hashed when
        // they are taken in.
        if digest.algorithm() == file.digest.algorithm() && file.digest != *digest {
            let (expected, actual) = (digest.clone(), file.digest.clone());
            return Err(Error::WrongDigest { expected, actual });
        }
        Ok(file)
    }

    fn oci_images(&self, index: &File) -> Result<Vec<Found>> {
        let index: Index = self.parse(index, "index.json")?;
        let mut found: Vec<Found> = Vec::new();
        let mut seen: HashMap<Digest, usize> = HashMap::new();
        for entry in &index.manifests {
            let Some(manifest) = self.choose(entry, 0)? else { continue };
            let names = entry_names(entry)?;
            if let Some(&at) = seen.get(&manifest.digest) {
                found[at].references.extend(names);
                continue;
            }
            seen.insert(manifest.digest.clone(), found.len());
            found.push(self.oci_image(&manifest, names)?);
        }
        Ok(found)
    }

    /// The manifest for this machine that an entry leads to; `None` for attestations and the like.
    fn choose(&self, entry: &Descriptor, depth: usize) -> Result<Option<Descriptor>> {
        if depth > NESTING_MAX {
            return Err(Error::Load("its indexes nest too deeply".to_owned()));
        }
        let is_index = [media_type::OCI_INDEX, media_type::DOCKER_INDEX];
        if !is_index.contains(&&entry.media_type[..]) {
            let manifests = [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST];
            let is_image = manifests.contains(&&entry.media_type[..])
                && entry.artifact_type.is_none()
                && entry.platform.as_ref().is_none_or(|p| p.os != "unknown");
            return Ok(is_image.then(|| entry.clone()));
        }
        let bytes = self.document(self.blob(&entry.digest)?)?;
        let index = document::index(&entry.digest, &bytes, Some(&entry.media_type))?;
        let host = Platform::host();
        let fits = |entry: &&Descriptor| {
            entry
                .platform
                .as_ref()
                .is_some_and(|p| p.os == host.os && p.architecture == host.architecture)
        };
        let first = index.manifests.iter().find(fits).or_else(|| index.manifests.first());
        match first {
            Some(entry) => self.choose(entry, depth + 1),
            None => Ok(None),
        }
    }

    fn oci_image(&self, entry: &Descriptor, references: Vec<Reference>) -> Result<Found> {
        let bytes = self.document(self.blob(&entry.digest)?)?;
        let manifest = document::manifest(&entry.digest, &bytes, Some(&entry.media_type))?;
        let mut layers = Vec::new();
        for layer in &manifest.layers {
            layers.push(self.blob(&layer.digest)?.clone());
        }
        Ok(Found {
            config: self.document(self.blob(&manifest.config.digest)?)?,
            manifest: Some(bytes),
            manifest_type: entry.media_type.clone(),
            layers,
            references,
        })
    }

    /// Archives from before Docker 1.10: a chain of `<id>/json` with `parent`, and a layer each.
    fn legacy_images(&self, repositories: &Repositories) -> Result<Vec<Found>> {
        let mut tops: HashMap<&str, Vec<Reference>> = HashMap::new();
        for (repository, tags) in repositories {
            for (tag, top) in tags {
                let name = parse_name(&format!("{repository}:{tag}"))?;
                tops.entry(top).or_default().push(name);
            }
        }
        tops.into_iter().map(|(top, references)| self.legacy_image(top, references)).collect()
    }

    fn legacy_image(&self, top: &str, references: Vec<Reference>) -> Result<Found> {
        let mut chain = Vec::new();
        let mut seen = HashSet::new();
        let mut next = Some(top.to_owned());
        while let Some(id) = next {
            if !seen.insert(id.clone()) || chain.len() > LAYERS_MAX {
                return Err(Error::Load(format!("the parents of {top:?} go in a circle")));
            }
            let json: serde_json::Value = self.parse(self.need(&format!("{id}/json"))?, "json")?;
            next = json.get("parent").and_then(|p| p.as_str()).map(str::to_owned);
            chain.push((id, json));
        }
        chain.reverse();
        let mut layers = Vec::new();
        let mut config: ImageConfig = ImageConfig::default();
        let mut history = Vec::new();
        for (id, json) in &chain {
            let file = self.need(&format!("{id}/layer.tar"))?.clone();
            config = serde_json::from_value(json.clone()).map_err(|source| Error::Document {
                what: "legacy image",
                digest: file.digest.clone(),
                source,
            })?;
            history.push(History { created: config.created.clone(), ..History::default() });
            layers.push(file);
        }
        config.history = history;
        config.rootfs.kind = "layers".to_owned();
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.digest.clone()).collect();
        let config = serde_json::to_vec(&config).map_err(|source| Error::Record {
            what: "images",
            key: top.to_owned(),
            source,
        })?;
        Ok(Found { config, manifest: None, manifest_type: String::new(), layers, references })
    }
}

fn parse_name(name: &str) -> Result<Reference> {
    name.parse::<Reference>()
        .map(Reference::or_latest)
        .map_err(|error| Error::Load(format!("bad image name {name:?}: {error}")))
}

/// The name in an entry of an index: whole, or a tag alone that can't be used without repository.
fn entry_names(entry: &Descriptor) -> Result<Vec<Reference>> {
    if let Some(name) = entry.annotations.get(IMAGE_NAME) {
        return Ok(vec![parse_name(name)?]);
    }
    match entry.annotations.get(REF_NAME) {
        // skopeo and podman write a whole name here if they were given one.
        Some(name) if name.contains([':', '/']) => Ok(vec![parse_name(name)?]),
        _ => Ok(Vec::new()),
    }
}

/// A symbolic link's target within the archive; `None` if it leaves it.
fn relative(path: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let (parent, _) = archive::split(path);
    let mut parts: Vec<&[u8]> = if target.starts_with(b"/") {
        Vec::new()
    } else {
        parent.split(|&b| b == b'/').filter(|part| !part.is_empty()).collect()
    };
    for part in target.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

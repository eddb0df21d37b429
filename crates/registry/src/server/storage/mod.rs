//! The registry's directory: one OCI blob store, and per repository what of it the repository has.
//!
//! ```text
//! oci-layout                                     as in every OCI image layout
//! blobs/sha256/<hex>                             every blob and manifest, once
//! lock                                           held while a registry serves this directory
//! repositories/<name>/_blobs/sha256/<hex>        empty: the repository has this blob
//! repositories/<name>/_manifests/sha256/<hex>    the media type: the repository has this manifest
//! repositories/<name>/_tags/<tag>                `<unix ms> <digest>` lines, the last one counts
//! repositories/<name>/_referrers/sha256/<hex of the subject>/sha256-<hex>   a descriptor
//! repositories/<name>/_uploads/<id>              bytes of an upload that goes on
//! repositories/<name>/_upstream/<tag>            the digest that an upstream gave for a tag
//! ```
//!
//! A component of a repository's path never starts with `_`, so the two kinds of names can't meet.
//! Every file becomes visible by a rename after its content is on disk, blobs only after their digest
//! was checked. A blob is visible in a repository only through the repository's own mark, never
//! because another repository has it.
//!
//! Invariant: a mark is made, and its time renewed, only under the shared side of [`Storage::gate`];
//! the collector removes marks and blobs only under the exclusive side, after looking at the times
//! again. So what a push was told to exist stays for the grace time.

pub mod gc;
mod manifest;
mod tag;
mod upload;

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, RwLock},
    time::SystemTime,
};

use model::{Digest, digest::Algorithm};

use super::{
    refusal::{Code, Refusal},
    route::Name,
};

pub use manifest::{NewManifest, Parts, StoredManifest};
pub use tag::Was;
pub use upload::{Session, Upload};

/// What may go wrong.
pub type Result<T, E = Refusal> = std::result::Result<T, E>;

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The directory of one registry. Its methods block.
#[derive(Debug)]
pub struct Storage {
    root: PathBuf,
    _lock: File,
    /// See the invariant above. Inside: blobs that were marked since the collector began to look.
    gate: RwLock<Mutex<HashSet<Digest>>>,
    uploads: Mutex<HashMap<(Name, String), Arc<tokio::sync::Mutex<Session>>>>,
    /// One writer a tag file.
    tags: Mutex<()>,
    /// Bytes per repository, where they were counted.
    sizes: Mutex<HashMap<Name, u64>>,
}

impl Storage {
    /// Opens or makes the directory.
    ///
    /// # Errors
    /// What the file system says; `WouldBlock` if another registry serves this directory.
    pub fn open(root: &Path) -> io::Result<Self> {
        for dir in ["blobs/sha256", "blobs/sha512", "repositories", "staging"] {
            fs::create_dir_all(root.join(dir))?;
        }
        let lock = File::create(root.join("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                io::Error::new(io::ErrorKind::WouldBlock, "another registry serves this directory")
            }
            fs::TryLockError::Error(error) => error,
        })?;
        // Nothing in staging outlives the process that wrote it.
        for entry in fs::read_dir(root.join("staging"))? {
            fs::remove_file(entry?.path())?;
        }
        let storage = Self {
            root: root.to_owned(),
            _lock: lock,
            gate: RwLock::default(),
            uploads: Mutex::default(),
            tags: Mutex::default(),
            sizes: Mutex::default(),
        };
        storage.replace(&root.join("oci-layout"), LAYOUT.as_bytes())?;
        Ok(storage)
    }

    fn repository(&self, name: &Name) -> PathBuf {
        self.root.join("repositories").join(name.as_str())
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(below(digest))
    }

    fn mark_path(&self, name: &Name, digest: &Digest) -> PathBuf {
        self.repository(name).join("_blobs").join(below(digest))
    }

    /// Writes a small file so that after a crash it is the old one or the new one.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let staged = self.root.join("staging").join(random_id()?);
        let written = (|| {
            let mut file = File::create(&staged)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            self.publish(&staged, path)
        })();
        if written.is_err() {
            // The first failure is the one to tell; start-up sweeps what stays.
            let _ = fs::remove_file(&staged);
        }
        written
    }

    /// Moves a finished file to its name, and the name to disk.
    fn publish(&self, staged: &Path, path: &Path) -> io::Result<()> {
        let parent = path.parent().unwrap_or(&self.root);
        self.make_dirs(parent)?;
        fs::rename(staged, path)?;
        sync_dir(parent)
    }

    /// Makes missing directories, each durable in its parent.
    fn make_dirs(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().unwrap_or(&self.root);
        self.make_dirs(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| sync_dir(parent)),
        }
    }

    /// The blob's length, if this repository has it. The answer holds for the grace time.
    ///
    /// # Errors
    /// The disk's.
    pub fn blob_size(&self, name: &Name, digest: &Digest) -> Result<Option<u64>> {
        let fault = |error| Refusal::disk("look for a blob", error);
        let gate = read_gate(&self.gate);
        let mark = self.mark_path(name, digest);
        if !renew(&mark).map_err(fault)? {
            return Ok(None);
        }
        lock(&gate).insert(digest.clone());
        match fs::metadata(self.blob_path(digest)) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(error)),
        }
    }

    /// Opens a blob of this repository, with its length.
    ///
    /// # Errors
    /// `BLOB_UNKNOWN`; the disk's.
    pub fn blob_open(&self, name: &Name, digest: &Digest) -> Result<(File, u64)> {
        let Some(size) = self.blob_size(name, digest)? else {
            return Err(unknown_blob(digest));
        };
        let file = File::open(self.blob_path(digest))
            .map_err(|error| Refusal::disk("open a blob", error))?;
        Ok((file, size))
    }

    /// Gives a blob that another repository has to this one; false if the other doesn't have it.
    ///
    /// # Errors
    /// The disk's.
    pub fn mount(&self, name: &Name, digest: &Digest, from: &Name) -> Result<bool> {
        let fault = |error| Refusal::disk("mount a blob", error);
        let gate = read_gate(&self.gate);
        let there = self.mark_path(from, digest).exists() && self.blob_path(digest).exists();
        if there {
            self.mark(&gate, name, digest).map_err(fault)?;
        }
        Ok(there)
    }

    /// Notes that the repository has a blob. The caller holds the gate.
    fn mark(&self, gate: &Mutex<HashSet<Digest>>, name: &Name, digest: &Digest) -> io::Result<()> {
        lock(gate).insert(digest.clone());
        let mark = self.mark_path(name, digest);
        if renew(&mark)? {
            return Ok(());
        }
        let parent = mark.parent().unwrap_or(&self.root);
        self.make_dirs(parent)?;
        File::create(&mark)?;
        sync_dir(parent)?;
        let size = fs::metadata(self.blob_path(digest))?.len();
        if let Some(bytes) = lock(&self.sizes).get_mut(name) {
            *bytes += size;
        }
        Ok(())
    }

    /// Takes a blob from the repository; its bytes go when no repository has it.
    ///
    /// # Errors
    /// `BLOB_UNKNOWN`; the disk's.
    pub fn blob_delete(&self, name: &Name, digest: &Digest) -> Result<()> {
        lock(&self.sizes).remove(name);
        match fs::remove_file(self.mark_path(name, digest)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown_blob(digest)),
            Err(error) => Err(Refusal::disk("delete a blob", error)),
        }
    }

    /// Bytes of all blobs that the repository has, each once.
    ///
    /// # Errors
    /// The disk's.
    pub fn size(&self, name: &Name) -> Result<u64> {
        if let Some(&bytes) = lock(&self.sizes).get(name) {
            return Ok(bytes);
        }
        let mut bytes = 0;
        for digest in self.marks(name)? {
            bytes += fs::metadata(self.blob_path(&digest)).map_or(0, |found| found.len());
        }
        lock(&self.sizes).insert(name.clone(), bytes);
        Ok(bytes)
    }

    /// Digests of the blobs that the repository has.
    fn marks(&self, name: &Name) -> Result<Vec<Digest>> {
        digests_in(&self.repository(name).join("_blobs"))
            .map_err(|error| Refusal::disk("list blobs", error))
    }

    /// Every repository with a manifest or an upload, in order.
    ///
    /// # Errors
    /// The disk's.
    pub fn repositories(&self) -> Result<Vec<Name>> {
        let mut found = Vec::new();
        let top = self.root.join("repositories");
        collect_repositories(&top, "", &mut found)
            .map_err(|error| Refusal::disk("list repositories", error))?;
        found.sort();
        Ok(found)
    }

    /// Whether the repository was ever pushed to.
    pub fn has_repository(&self, name: &Name) -> bool {
        let dir = self.repository(name);
        dir.join("_blobs").is_dir() || dir.join("_manifests").is_dir()
    }
}

fn collect_repositories(dir: &Path, path: &str, found: &mut Vec<Name>) -> io::Result<()> {
    for entry in listing(dir)? {
        let Ok(component) = entry.file_name().into_string() else { continue };
        if component == "_blobs" || component == "_manifests" {
            if let Ok(name) = Name::new(path)
                && found.last() != Some(&name)
            {
                found.push(name);
            }
        } else if !component.starts_with('_') && entry.file_type()?.is_dir() {
            let below = if path.is_empty() { component } else { format!("{path}/{component}") };
            collect_repositories(&entry.path(), &below, found)?;
        }
    }
    found.dedup();
    Ok(())
}

/// `BLOB_UNKNOWN` for `digest`.
pub fn unknown_blob(digest: &Digest) -> Refusal {
    Refusal::new(Code::BlobUnknown, "blob unknown to registry")
        .with_detail(serde_json::json!({"digest": digest.to_string()}))
}

fn below(digest: &Digest) -> PathBuf {
    Path::new(digest.algorithm().name()).join(digest.hex())
}

/// Entries of a directory that may not exist.
fn listing(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The digests that `<dir>/<algorithm>/<hex>` files stand for.
fn digests_in(dir: &Path) -> io::Result<Vec<Digest>> {
    let mut found = Vec::new();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for entry in listing(&dir.join(algorithm.name()))? {
            let Ok(hex) = entry.file_name().into_string() else { continue };
            found.extend(format!("{}:{hex}", algorithm.name()).parse::<Digest>());
        }
    }
    Ok(found)
}

/// Sets a file's time to now; false if there is no such file.
fn renew(path: &Path) -> io::Result<bool> {
    match File::options().write(true).open(path) {
        Ok(file) => file.set_modified(SystemTime::now()).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// 128 random bits in hex: nobody guesses another's upload.
fn random_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn read_gate<T>(gate: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    gate.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

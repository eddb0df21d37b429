//! Opening and owning a data root: directories, the lock, the sweep of unfinished work.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use model::Digest;
use model::digest::Algorithm;
use sys::dir::Dir;

use crate::db::{Database, Durability, Snapshot, Tx};
use crate::error::{Error, Result};
use crate::lease::{Flights, Lease, Leases};
use crate::options::Options;

/// Everything under one data root. Cheap to clone; all calls may block on the disk.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
    pub(crate) dirs: Dirs,
    pub(crate) leases: Arc<Leases>,
    pub(crate) flights: Arc<Flights>,
    // Before the lock: the database closes first.
    db: Database,
    names: AtomicU64,
    /// Held while `index.json` is derived and replaced, so that an older one never comes last.
    pub(crate) layout: Mutex<()>,
    _lock: File,
}

/// The directories of the root, open for good.
pub(crate) struct Dirs {
    pub(crate) root: Dir,
    pub(crate) images: Dir,
    sha256: Dir,
    sha512: Dir,
    pub(crate) layers: Dir,
    pub(crate) containers: Dir,
    pub(crate) volumes: Dir,
    pub(crate) staging: Dir,
    pub(crate) partial: Dir,
}

/// Sub-directories with their modes. The root itself is 0710 (its group may reach sockets kept
/// beside), all below is the engine's alone: setuid files of images must not be reachable.
const DIRECTORIES: [(&str, u32); 10] = [
    ("meta", 0o700),
    ("images", 0o700),
    ("images/blobs", 0o700),
    ("images/blobs/sha256", 0o700),
    ("images/blobs/sha512", 0o700),
    ("layers", 0o700),
    ("containers", 0o700),
    ("volumes", 0o700),
    ("staging", 0o700),
    ("staging/partial", 0o700),
];

impl Store {
    /// Opens the data root at `root`, making what is missing, and sweeps unfinished work away.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it, [`Error::NewerFormat`] if a newer Cale wrote
    /// it, otherwise the disk's or the database's.
    pub fn open(root: &Path, options: Options) -> Result<Self> {
        let made = !root.exists();
        std::fs::create_dir_all(root).map_err(Error::file("create", root.display()))?;
        let top = Dir::open(root).map_err(Error::file("open", root.display()))?;
        if made {
            sys::file::set_mode(&top, 0o710).map_err(Error::file("protect", root.display()))?;
        }
        let lock = take_lock(&top, root)?;
        for (path, mode) in DIRECTORIES {
            make_directory(&top, path, mode)?;
        }
        let dirs = Dirs::open(top)?;
        let (db, new_database) = Database::open(&root.join("meta"), root)?;
        let store = Self {
            inner: Arc::new(Inner {
                root: root.to_owned(),
                options,
                dirs,
                leases: Arc::default(),
                flights: Arc::default(),
                db,
                names: AtomicU64::new(0),
                layout: Mutex::new(()),
                _lock: lock,
            }),
        };
        store.sweep()?;
        if new_database {
            store.rebuild()?;
        }
        store.write_layout_if_fits()?;
        Ok(store)
    }

    /// The data root's path.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// A lease, to be held while something new is put together.
    pub fn lease(&self) -> Lease {
        self.inner.leases.begin()
    }

    /// Removes what unfinished work left in staging, but for resumable downloads.
    fn sweep(&self) -> Result<()> {
        let dirs = &self.inner.dirs;
        for name in dirs.staging.names().map_err(Error::file("list", "staging"))? {
            if name != b"partial" {
                dirs.staging.remove_tree(&name).map_err(Error::file("sweep", "staging"))?;
            }
        }
        let now = now_ns() / 1_000_000_000;
        let age = i64::try_from(self.inner.options.partial_age_s).unwrap_or(i64::MAX);
        for name in dirs.partial.names().map_err(Error::file("list", "staging/partial"))? {
            let old = dirs
                .partial
                .stat(&name)
                .is_ok_and(|stat| now.saturating_sub(stat.modified.seconds) > age);
            if old {
                dirs.partial.remove_tree(&name).map_err(Error::file("sweep", "staging/partial"))?;
            }
        }
        Ok(())
    }
}

impl Inner {
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T>) -> Result<T> {
        self.db.read(read)
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.db.write(durability, work)
    }

    /// Whether the database's pages are whole; it mends what it can.
    pub(crate) fn verify_database(&self) -> Result<bool> {
        self.db.verify()
    }

    /// A name that nothing in staging has.
    pub(crate) fn staging_name(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes and opens a new directory in staging, which removes itself unless it is moved.
    pub(crate) fn stage(self: &Arc<Self>, what: &str) -> Result<Staged> {
        let name = self.staging_name(what);
        let staging = &self.dirs.staging;
        staging
            .make_dir(name.as_bytes(), 0o700)
            .map_err(Error::file("create", format!("staging/{name}")))?;
        let dir = staging
            .open_dir(name.as_bytes())
            .map_err(Error::file("open", format!("staging/{name}")))?;
        Ok(Staged { inner: self.clone(), name, dir })
    }

    /// Moves `name` out of `from` into staging and removes it there; what was visible is gone at
    /// once, however large it is.
    pub(crate) fn discard(&self, from: &Dir, name: &str, what: &'static str) -> Result<()> {
        let trash = self.staging_name("trash");
        match from.rename(name.as_bytes(), &self.dirs.staging, trash.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::file("remove", format!("{what}/{name}"))(error)),
        }
        self.dirs
            .staging
            .remove_tree(trash.as_bytes())
            .map_err(Error::file("remove", format!("staging/{trash}")))
    }
}

/// A directory in staging; removed when dropped, if it is still there.
pub(crate) struct Staged {
    inner: Arc<Inner>,
    pub(crate) name: String,
    pub(crate) dir: Dir,
}

impl Staged {
    pub(crate) fn path(&self) -> PathBuf {
        self.inner.root.join("staging").join(&self.name)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = self.inner.dirs.staging.remove_tree(self.name.as_bytes()) {
            tracing::warn!(%error, name = %self.name, "staging is left to the next start's sweep");
        }
    }
}

impl Dirs {
    fn open(root: Dir) -> Result<Self> {
        let open = |path: &str| {
            root.resolve(path.as_bytes(), sys::dir::Links::Refuse)
                .map_err(Error::file("open", path))
        };
        Ok(Self {
            images: open("images")?,
            sha256: open("images/blobs/sha256")?,
            sha512: open("images/blobs/sha512")?,
            layers: open("layers")?,
            containers: open("containers")?,
            volumes: open("volumes")?,
            staging: open("staging")?,
            partial: open("staging/partial")?,
            root,
        })
    }

    pub(crate) fn blobs(&self, algorithm: Algorithm) -> &Dir {
        match algorithm {
            Algorithm::Sha256 => &self.sha256,
            Algorithm::Sha512 => &self.sha512,
        }
    }

    pub(crate) fn blob_dirs(&self) -> [(Algorithm, &Dir); 2] {
        [(Algorithm::Sha256, &self.sha256), (Algorithm::Sha512, &self.sha512)]
    }
}

/// Shows a blob's place, relative to the root.
pub(crate) fn blob_path(digest: &Digest) -> String {
    format!("images/blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

fn make_directory(top: &Dir, path: &str, mode: u32) -> Result<()> {
    let (parent, name) = crate::archive::split(path.as_bytes());
    let parent = top.resolve(parent, sys::dir::Links::Refuse).map_err(Error::file("open", path))?;
    match parent.make_dir(name, mode) {
        Ok(()) => parent.sync().map_err(Error::file("sync", path)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::file("create", path)(error)),
    }
}

/// flock(2): gone with the process, so a crash leaves no stale lock.
fn take_lock(top: &Dir, root: &Path) -> Result<File> {
    let file = top
        .open_or_create_file(b"lock", 0o600)
        .map_err(Error::file("open", root.join("lock").display()))?;
    if !sys::file::try_lock(&file).map_err(Error::file("lock", root.display()))? {
        let mut pid = String::new();
        // The pid is for people only; without it the refusal stands.
        let _ = (&file).take(20).read_to_string(&mut pid);
        let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
        return Err(Error::InUse { root: root.display().to_string(), pid: pid.to_owned() });
    }
    // Always as long, so that it needs no new block on a full disk.
    let text = format!("{:<10}\n", std::process::id());
    file.write_all_at(text.as_bytes(), 0)
        .map_err(Error::file("write", root.join("lock").display()))?;
    Ok(file)
}

/// Nanoseconds since the epoch.
pub(crate) fn now_ns() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

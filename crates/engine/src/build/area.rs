//! The builder's directories.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::{Error, Result};

/// Names of work directories; a number is used once in a run of the engine.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where the builder keeps files.
#[derive(Clone, Debug)]
pub struct Area {
    disk: PathBuf,
    memory: PathBuf,
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub struct Work {
    path: PathBuf,
}

impl Work {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(error = error.text(), "a build's files stay until the next start");
        }
    }
}

impl Area {
    /// Below an engine's roots.
    pub fn new(data_root: &Path, exec_root: &Path) -> Self {
        Self { disk: data_root.join("build"), memory: exec_root.join("build") }
    }

    /// A new directory on the disk.
    pub fn work(&self) -> Result<Work> {
        make_work(&self.disk.join("work"))
    }

    /// A new directory in memory, for secrets.
    pub fn memory(&self) -> Result<Work> {
        make_work(&self.memory)
    }

    /// Where cache mounts are.
    pub fn caches(&self) -> Result<PathBuf> {
        let path = self.disk.join("caches");
        make(&path)?;
        Ok(path)
    }

    /// Removes all cache mounts; returns their bytes.
    pub fn remove_caches(&self) -> Result<u64> {
        let path = self.disk.join("caches");
        let bytes = match sys::dir::Dir::open(&path) {
            Ok(dir) => store::measure(&dir).map(|size| size.disk_bytes).unwrap_or(0),
            Err(_) => 0,
        };
        remove(&path)?;
        Ok(bytes)
    }

    /// Removes what an earlier run left.
    pub fn sweep(&self) -> Result<()> {
        remove(&self.disk.join("work"))?;
        remove(&self.memory)
    }
}

fn make_work(parent: &Path) -> Result<Work> {
    make(parent)?;
    let path = parent.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    make(&path)?;
    Ok(Work { path })
}

/// Makes a directory for the engine alone, with its parents.
fn make(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| {
        Error::File { action: "create", path: path.display().to_string(), source }
    })
}

/// Removes a tree by fd: its content is a client's, so no path in it is followed.
fn remove(path: &Path) -> Result<()> {
    let fault = |source| Error::File { action: "remove", path: path.display().to_string(), source };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    match sys::dir::Dir::open(parent) {
        Ok(dir) => {
            use std::os::unix::ffi::OsStrExt;
            dir.remove_tree(name.as_bytes()).map_err(fault)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fault(error)),
    }
}

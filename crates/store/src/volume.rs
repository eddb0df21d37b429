//! Directories of local volumes: `volumes/<name>/_data`.
//!
//! Owns the files only; which volumes exist, with which labels and driver, is the engine's.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use model::name::VolumeName;
use sys::dir::{Dir, Links};

use crate::archive::{TreeOptions, Whiteouts, copy_tree};
use crate::error::{Error, Result};
use crate::store::Store;
use crate::usage::{DiskSize, measure};

const DATA: &[u8] = b"_data";
/// Where content from an image is gathered before it becomes `_data` at once.
const FILLING: &[u8] = b"_filling";

impl Store {
    /// Makes a volume's directory, or gives the one that is there.
    ///
    /// # Errors
    /// The disk's.
    pub fn volume_create(&self, name: &VolumeName) -> Result<PathBuf> {
        let volumes = &self.inner.dirs.volumes;
        let subject = || format!("volumes/{name}");
        make_if_missing(volumes, name.as_str().as_bytes(), 0o700)
            .map_err(Error::file("create", subject()))?;
        let dir =
            volumes.open_dir(name.as_str().as_bytes()).map_err(Error::file("open", subject()))?;
        make_if_missing(&dir, DATA, 0o755).map_err(Error::file("create", subject()))?;
        dir.sync().map_err(Error::file("sync", subject()))?;
        volumes.sync().map_err(Error::file("sync", subject()))?;
        Ok(self.volume_path(name))
    }

    /// Where a volume's data is.
    pub fn volume_path(&self, name: &VolumeName) -> PathBuf {
        self.inner.root.join("volumes").join(name.as_str()).join("_data")
    }

    /// The names of all directories of volumes, for rebuilding what the engine knows.
    ///
    /// # Errors
    /// The disk's.
    pub fn volume_names(&self) -> Result<Vec<VolumeName>> {
        let names = self.inner.dirs.volumes.names().map_err(Error::file("list", "volumes"))?;
        let text = |name: Vec<u8>| String::from_utf8(name).ok()?.parse().ok();
        Ok(names.into_iter().filter_map(text).collect())
    }

    /// Removes a volume with its data; absence is no error.
    ///
    /// # Errors
    /// The disk's.
    pub fn volume_remove(&self, name: &VolumeName) -> Result<()> {
        self.inner.discard(&self.inner.dirs.volumes, name.as_str(), "volumes")
    }

    /// The size of a volume's data.
    ///
    /// # Errors
    /// The disk's.
    pub fn volume_size(&self, name: &VolumeName) -> Result<DiskSize> {
        let subject = || format!("volumes/{name}/_data");
        let dir = self.volume_data(name).map_err(Error::file("open", subject()))?;
        measure(&dir).map_err(Error::file("measure", subject()))
    }

    /// Copies what an image has at `path` into a volume that is still empty, with owners, modes
    /// and attributes; the directory itself takes over the image's. `root` is the image's merged
    /// root, in which `path` is resolved with its links. False if there is nothing to copy or the
    /// volume has content already.
    ///
    /// The content appears at once: a crash leaves the volume empty, never half full.
    ///
    /// # Errors
    /// [`Error::Archive`], the disk's.
    pub fn volume_fill(&self, name: &VolumeName, root: OwnedFd, path: &[u8]) -> Result<bool> {
        let subject = || format!("volumes/{name}");
        let root = Dir::from_fd(root).map_err(Error::file("open", "the image's root"))?;
        let path = crate::archive::normalise(path)
            .map_err(|source| Error::Archive { subject: subject(), source })?;
        let source = match root.resolve(&path, Links::InRoot) {
            Ok(dir) => dir,
            // No directory there: the volume stays as it is.
            Err(_) => return Ok(false),
        };
        let data = self.volume_data(name).map_err(Error::file("open", subject()))?;
        if !data.names().map_err(Error::file("list", subject()))?.is_empty() {
            return Ok(false);
        }
        let dir = self
            .inner
            .dirs
            .volumes
            .open_dir(name.as_str().as_bytes())
            .map_err(Error::file("open", subject()))?;
        dir.remove_tree(FILLING).map_err(Error::file("clear", subject()))?;
        dir.make_dir(FILLING, 0o700).map_err(Error::file("create", subject()))?;
        let filling = dir.open_dir(FILLING).map_err(Error::file("open", subject()))?;
        let target = filling.try_clone().map_err(Error::file("open", subject()))?;
        let options = TreeOptions { whiteouts: Whiteouts::Plain, epoch: None };
        copy_tree(&source, target, options)
            .map_err(|source| Error::Archive { subject: subject(), source })?;
        take_over(&source, &filling).map_err(Error::file("own", subject()))?;
        // rename(2) puts a directory over an empty one, and only over an empty one.
        match dir.rename(FILLING, &dir, DATA) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                dir.remove_tree(FILLING).map_err(Error::file("clear", subject()))?;
                Ok(false)
            }
            Err(error) => Err(Error::file("fill", subject())(error)),
        }
    }

    fn volume_data(&self, name: &VolumeName) -> io::Result<Dir> {
        let path = format!("{name}/_data");
        self.inner.dirs.volumes.resolve(path.as_bytes(), Links::Refuse)
    }
}

fn take_over(from: &Dir, to: &Dir) -> io::Result<()> {
    let stat = sys::file::stat(from)?;
    sys::file::set_owner(to, stat.uid, stat.gid)?;
    sys::file::set_mode(to, stat.mode)?;
    sys::file::set_times(to, stat.modified)
}

fn make_if_missing(dir: &Dir, name: &[u8], mode: u32) -> io::Result<()> {
    match dir.make_dir(name, mode) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

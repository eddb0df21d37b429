//! Writable roots: the upper and work directories of containers and build steps over layers.
//!
//! Owns `containers/<id>/{upper,work}`; what else is in there is the engine's. Mounting is not
//! done here.

use std::path::{Path, PathBuf};

use model::{ContainerId, Digest};
use serde::{Deserialize, Serialize};
use sys::dir::{Dir, Links};

use crate::db::{Durability, Table};
use crate::diff::{Change, changes};
use crate::error::{Error, Result};
use crate::lease::{Lease, Resource};
use crate::store::{Inner, Staged, Store};
use crate::usage::{DiskSize, measure};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RootfsRecord {
    pub(crate) image: Option<Digest>,
    /// Lowest first.
    pub(crate) layers: Vec<Digest>,
}

/// The directories of an overlayfs mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// Read-only directories, topmost first, as overlayfs's `lowerdir` wants them; never empty.
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// overlayfs's own; on the same filesystem as `upper`.
    pub work: PathBuf,
    /// The directory of the container, for the engine's files beside.
    pub directory: PathBuf,
}

/// A writable root for a build step; it goes when it is dropped, unless its upper directory was
/// moved into a layer.
pub struct Snapshot {
    rootfs: Rootfs,
    _staged: Staged,
}

impl Snapshot {
    /// Its directories.
    pub fn rootfs(&self) -> &Rootfs {
        &self.rootfs
    }
}

impl Store {
    /// Makes the writable root of a container on an image's layers. From now on the layers stay.
    ///
    /// The record is lazy: it is on disk with the next durable write, which the engine's own
    /// record of the container is.
    ///
    /// # Errors
    /// [`Error::NoImage`], [`Error::NoLayer`], [`Error::RootfsExists`], the disk's.
    pub fn rootfs_create(&self, id: &ContainerId, image: &Digest) -> Result<Rootfs> {
        let lease = self.lease();
        lease.keep(Resource::Image(image.clone()));
        let found = self.image(image)?;
        for diff_id in &found.layers {
            self.layer_keep(&lease, diff_id)?;
        }
        let containers = &self.inner.dirs.containers;
        let name = id.as_str();
        match containers.make_dir(name.as_bytes(), 0o700) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::RootfsExists(id.short().to_owned()));
            }
            Err(error) => return Err(Error::file("create", format!("containers/{name}"))(error)),
        }
        let record = RootfsRecord { image: Some(image.clone()), layers: found.layers };
        let made = containers
            .open_dir(name.as_bytes())
            .map_err(Error::file("open", format!("containers/{name}")))
            .and_then(|dir| {
                let path = self.inner.root.join("containers").join(name);
                self.inner.make_rootfs(&dir, path, &record.layers)
            })
            .and_then(|rootfs| {
                let key = name.to_owned();
                self.inner
                    .write(Durability::Lazy, move |tx| tx.put(Table::Rootfs, &key, &record))?;
                Ok(rootfs)
            });
        if made.is_err()
            && let Err(error) = containers.remove_tree(name.as_bytes())
        {
            tracing::warn!(%error, name, "half a container directory is left");
        }
        made
    }

    /// The directories of a container's root.
    ///
    /// # Errors
    /// [`Error::NoRootfs`].
    pub fn rootfs(&self, id: &ContainerId) -> Result<Rootfs> {
        let record = self.inner.rootfs_record(id)?;
        let path = self.inner.root.join("containers").join(id.as_str());
        Ok(self.inner.rootfs_at(path, &record.layers))
    }

    /// Removes a container's directory with everything in it; absence is no error. Nothing may be
    /// mounted there.
    ///
    /// # Errors
    /// The disk's.
    pub fn rootfs_remove(&self, id: &ContainerId) -> Result<()> {
        let key = id.as_str().to_owned();
        self.inner.write(Durability::Lazy, move |tx| tx.delete(Table::Rootfs, &key))?;
        self.inner.discard(&self.inner.dirs.containers, id.as_str(), "containers")
    }

    /// What a container changed, as `docker diff` lists it.
    ///
    /// # Errors
    /// [`Error::NoRootfs`], the disk's.
    pub fn rootfs_diff(&self, id: &ContainerId) -> Result<Vec<Change>> {
        let record = self.inner.rootfs_record(id)?;
        let path = format!("{}/upper", id.as_str());
        let upper = self
            .inner
            .dirs
            .containers
            .resolve(path.as_bytes(), Links::Refuse)
            .map_err(Error::file("open", format!("containers/{path}")))?;
        let lowers = self.inner.lowers(&record.layers)?;
        changes(&upper, &lowers).map_err(Error::file("compare", format!("containers/{path}")))
    }

    /// The size of what a container wrote.
    ///
    /// # Errors
    /// [`Error::NoRootfs`], the disk's.
    pub fn rootfs_size(&self, id: &ContainerId) -> Result<DiskSize> {
        self.inner.rootfs_record(id)?;
        let path = format!("{}/upper", id.as_str());
        let upper = self
            .inner
            .dirs
            .containers
            .resolve(path.as_bytes(), Links::Refuse)
            .map_err(Error::file("open", format!("containers/{path}")))?;
        measure(&upper).map_err(Error::file("measure", format!("containers/{path}")))
    }

    /// A writable root on `layers` (lowest first) for a build step.
    ///
    /// # Errors
    /// [`Error::NoLayer`], the disk's.
    pub fn snapshot(&self, lease: &Lease, layers: &[Digest]) -> Result<Snapshot> {
        for diff_id in layers {
            self.layer_keep(lease, diff_id)?;
        }
        let staged = self.inner.stage("snapshot")?;
        let rootfs = self.inner.make_rootfs(&staged.dir, staged.path(), layers)?;
        Ok(Snapshot { rootfs, _staged: staged })
    }
}

impl Inner {
    fn rootfs_record(&self, id: &ContainerId) -> Result<RootfsRecord> {
        self.read(|snapshot| snapshot.get(Table::Rootfs, id.as_str()))?
            .ok_or_else(|| Error::NoRootfs(id.short().to_owned()))
    }

    fn rootfs_at(&self, path: PathBuf, layers: &[Digest]) -> Rootfs {
        let mut lowers: Vec<PathBuf> = layers
            .iter()
            .rev()
            .map(|diff_id| self.root.join("layers").join(diff_id.hex()).join("fs"))
            .collect();
        if lowers.is_empty() {
            lowers.push(path.join("empty"));
        }
        Rootfs { lowers, upper: path.join("upper"), work: path.join("work"), directory: path }
    }

    fn make_rootfs(&self, dir: &Dir, path: PathBuf, layers: &[Digest]) -> Result<Rootfs> {
        let subject = |name: &str| show(&path, name);
        for name in ["upper", "work"] {
            dir.make_dir(name.as_bytes(), 0o755).map_err(Error::file("create", subject(name)))?;
        }
        let upper = dir.open_dir(b"upper").map_err(Error::file("open", subject("upper")))?;
        // The merged root has the upper directory's owner and mode, so it takes the image's.
        let (mode, uid, gid) = match layers.last() {
            Some(top) => {
                let stat = sys::file::stat(self.layer_tree(top)?)
                    .map_err(Error::file("inspect", subject("upper")))?;
                (stat.mode, stat.uid, stat.gid)
            }
            None => {
                dir.make_dir(b"empty", 0o755).map_err(Error::file("create", subject("empty")))?;
                (0o755, 0, 0)
            }
        };
        if (uid, gid) != (0, 0) {
            sys::file::set_owner(&upper, uid, gid).map_err(Error::file("own", subject("upper")))?;
        }
        sys::file::set_mode(&upper, mode).map_err(Error::file("protect", subject("upper")))?;
        Ok(self.rootfs_at(path, layers))
    }
}

fn show(path: &Path, name: &str) -> String {
    path.join(name).display().to_string()
}

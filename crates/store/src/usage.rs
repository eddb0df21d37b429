//! How much space things take.

use std::collections::HashSet;
use std::io;

use model::Digest;
use sys::dir::Dir;
use sys::file::FileKind;

use crate::archive::DEPTH_MAX;
use crate::db::Table;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::store::Store;

/// The size of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSize {
    /// Bytes in regular files, each once however many names it has.
    pub content_bytes: u64,
    /// Bytes on disk, directories included, as du(1) counts them.
    pub disk_bytes: u64,
}

/// What the data root holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Unpacked layers with their size.
    pub layers: Vec<(Digest, DiskSize)>,
    /// Blobs with their length in bytes.
    pub blobs: Vec<(Digest, u64)>,
    /// Writable roots by container id.
    pub containers: Vec<(String, DiskSize)>,
    /// Volumes by name.
    pub volumes: Vec<(String, DiskSize)>,
    /// Bytes on disk of work in progress and resumable downloads.
    pub staging_bytes: u64,
    /// Bytes on disk of the metadata database with its reserve and copies.
    pub metadata_bytes: u64,
    /// Bytes on disk of all there is.
    pub total_bytes: u64,
    /// Bytes free on the filesystem.
    pub free_bytes: u64,
}

/// Measures a tree without following links.
///
/// # Errors
/// The disk's; entries that go meanwhile are passed over.
pub fn measure(dir: &Dir) -> io::Result<DiskSize> {
    let mut size = DiskSize { content_bytes: 0, disk_bytes: sys::file::stat(dir)?.disk_bytes };
    let mut seen = HashSet::new();
    add(dir, &mut size, &mut seen, 0)?;
    Ok(size)
}

/// What a container nests deeper than any archive may is not counted: a walk of such a tree would
/// cost this process its stack.
fn add(
    dir: &Dir,
    size: &mut DiskSize,
    seen: &mut HashSet<(u64, u64)>,
    depth: usize,
) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    for name in dir.names()? {
        let stat = match dir.stat(&name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if stat.kind != FileKind::Directory
            && stat.links > 1
            && !seen.insert((stat.device, stat.inode))
        {
            continue;
        }
        size.disk_bytes += stat.disk_bytes;
        match stat.kind {
            FileKind::Regular => size.content_bytes += stat.size,
            FileKind::Directory => match dir.open_dir(&name) {
                Ok(sub) => add(&sub, size, seen, depth + 1)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
            _ => {}
        }
    }
    Ok(())
}

impl Store {
    /// Adds up the data root. Layers are counted when they are made and only looked up here;
    /// writable roots and volumes change, and are walked.
    ///
    /// # Errors
    /// The disk's.
    pub fn usage(&self) -> Result<Usage> {
        let dirs = &self.inner.dirs;
        let mut usage = Usage::default();
        let layers = self.inner.read(|s| s.all::<Layer>(Table::Layers))?;
        for (_, layer) in layers {
            let size = DiskSize { content_bytes: layer.size, disk_bytes: layer.disk_bytes };
            usage.layers.push((layer.diff_id, size));
        }
        let mut blob_bytes = 0;
        for (algorithm, dir) in dirs.blob_dirs() {
            for name in dir.names().map_err(Error::file("list", "images/blobs"))? {
                let Ok(stat) = dir.stat(&name) else { continue };
                let text = format!("{}:{}", algorithm.name(), String::from_utf8_lossy(&name));
                blob_bytes += stat.disk_bytes;
                if let Ok(digest) = text.parse() {
                    usage.blobs.push((digest, stat.size));
                }
            }
        }
        usage.containers = children(&dirs.containers, "containers")?;
        usage.volumes = children(&dirs.volumes, "volumes")?;
        usage.staging_bytes =
            measure(&dirs.staging).map_err(Error::file("measure", "staging"))?.disk_bytes;
        let meta = dirs.root.open_dir(b"meta").map_err(Error::file("open", "meta"))?;
        usage.metadata_bytes = measure(&meta).map_err(Error::file("measure", "meta"))?.disk_bytes;
        let sum =
            |sizes: &[(String, DiskSize)]| sizes.iter().map(|(_, s)| s.disk_bytes).sum::<u64>();
        usage.total_bytes = usage.layers.iter().map(|(_, s)| s.disk_bytes).sum::<u64>()
            + blob_bytes
            + sum(&usage.containers)
            + sum(&usage.volumes)
            + usage.staging_bytes
            + usage.metadata_bytes;
        usage.free_bytes = dirs.root.space().map_err(Error::file("measure", "the disk"))?.0;
        Ok(usage)
    }
}

fn children(dir: &Dir, what: &'static str) -> Result<Vec<(String, DiskSize)>> {
    let mut found = Vec::new();
    for name in dir.names().map_err(Error::file("list", what))? {
        let text = String::from_utf8_lossy(&name).into_owned();
        match dir.open_dir(&name) {
            Ok(sub) => {
                let size = measure(&sub).map_err(Error::file("measure", what))?;
                found.push((text, size));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("open", format!("{what}/{text}"))(error)),
        }
    }
    Ok(found)
}

//! A directory tree becomes a layer: an overlayfs upper directory (commit, build step) or the
//! root filesystem of an imported archive.
//!
//! The diff id is the digest of the deterministic archive of the tree. That archive is not kept:
//! it can be made again from the tree at any time ([`super::blob`]).

use std::io::{self, Read};
use std::path::PathBuf;

use sys::dir::Dir;
use sys::file::{FileKind, Time};

use super::Layer;
use super::ingest::new_tree;
use crate::archive::{self, ExtractOptions, TreeOptions, Whiteouts, Writer, write_tree};
use crate::error::{Error, Result};
use crate::hash::HashingWriter;
use crate::lease::{Lease, Resource};
use crate::store::{Inner, Staged, Store, now_ns};

/// Marks that overlayfs leaves on an upper directory and that mean nothing in a lower one.
const UPPER_MARKS: [&[u8]; 4] = [
    b"trusted.overlay.origin",
    b"trusted.overlay.impure",
    b"trusted.overlay.uuid",
    b"trusted.overlay.nlink",
];

/// What happens to the directory that becomes a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// It becomes the layer itself: nothing is copied. Nobody may have it mounted.
    Move,
    /// It stays as it is (a container that goes on).
    Copy,
}

/// Which directory becomes a layer, and how.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The upper directory, on the data root's filesystem.
    pub upper: PathBuf,
    /// Whether it stays.
    pub take: Take,
    /// Times later than this become this (SOURCE_DATE_EPOCH), in seconds since the epoch.
    pub epoch: Option<i64>,
}

impl Store {
    /// Makes a layer of an upper directory.
    ///
    /// # Errors
    /// [`Error::Archive`], the disk's.
    pub fn layer_commit(&self, lease: &Lease, commit: &Commit) -> Result<Layer> {
        let subject = commit.upper.display().to_string();
        let upper = Dir::open(&commit.upper).map_err(Error::file("open", &subject))?;
        let staged = self.inner.stage("commit")?;
        match commit.take {
            Take::Move => {
                drop(upper);
                let target = staged.path().join("fs");
                std::fs::rename(&commit.upper, target).map_err(Error::file("move", &subject))?;
            }
            Take::Copy => {
                archive::copy_tree(&upper, new_tree(&staged)?, layer_tree_options(commit.epoch))
                    .map_err(|source| Error::Archive { subject, source })?;
            }
        }
        let done = self.inner.finish_commit(lease, &staged, commit.epoch);
        if done.is_err() && commit.take == Take::Move {
            // What a step made isn't lost because it can't become a layer. Gone already if the
            // failure came after it was placed.
            let _ = std::fs::rename(staged.path().join("fs"), &commit.upper);
        }
        done
    }

    /// Makes a layer of any archive, plain or compressed (`docker import`, ADD of an archive as a
    /// root filesystem). The archive itself is not kept, so the diff id is that of Cale's own
    /// archive of the same tree.
    ///
    /// # Errors
    /// [`Error::Unpack`], the disk's.
    pub fn layer_import(&self, lease: &Lease, source: impl Read + Send) -> Result<Layer> {
        let limits = self.inner.options.limits;
        let staged = self.inner.stage("import")?;
        let tree = new_tree(&staged)?;
        let unpack = |source| Error::Unpack { subject: "of the given archive".to_owned(), source };
        let buffered = io::BufReader::with_capacity(archive::buffer_size(), source);
        let plain = archive::decoder(buffered).map_err(unpack)?;
        let plain = io::BufReader::with_capacity(archive::buffer_size(), plain);
        archive::extract(tree, plain, ExtractOptions::layer(limits)).map_err(unpack)?;
        self.inner.finish_commit(lease, &staged, None)
    }
}

impl Inner {
    fn finish_commit(&self, lease: &Lease, staged: &Staged, epoch: Option<i64>) -> Result<Layer> {
        let subject = || format!("staging/{}", staged.name);
        let tree = staged.dir.open_dir(b"fs").map_err(Error::file("open", subject()))?;
        let mut sizes = Sizes::default();
        clean(&tree, epoch, &mut sizes, 0).map_err(Error::file("prepare", subject()))?;
        let mut writer = Writer::new(HashingWriter::new(io::sink()));
        write_tree(&mut writer, &tree, layer_tree_options(None))
            .map_err(|source| Error::Archive { subject: subject(), source })?;
        let sink =
            writer.finish().map_err(|source| Error::Archive { subject: subject(), source })?;
        let (_, diff_id, tar_size) = sink.finish();
        let key = Resource::Layer(diff_id.clone());
        lease.keep(key.clone());
        let _flight = self.flights.begin(key);
        if let Some(layer) = self.layer(&diff_id)? {
            return Ok(layer);
        }
        let layer = Layer {
            diff_id,
            size: sizes.content_bytes,
            disk_bytes: sizes.disk_bytes,
            tar_size,
            entries: sizes.entries,
            created_ns: now_ns(),
            made_here: true,
            blobs: Vec::new(),
        };
        self.publish_layer(staged, &layer, None)?;
        self.record_layer(&layer, None)
    }
}

/// How a layer's tree is archived: always the same, or its diff id could not be met again.
pub(super) fn layer_tree_options(epoch: Option<i64>) -> TreeOptions {
    TreeOptions { whiteouts: Whiteouts::Overlay, epoch }
}

#[derive(Default)]
struct Sizes {
    entries: u64,
    content_bytes: u64,
    disk_bytes: u64,
}

/// Takes upper-only marks off, clamps times, removes sockets (an archive can't hold them, so the
/// tree must not), and counts. Directories last, because removing changes their time.
fn clean(dir: &Dir, epoch: Option<i64>, sizes: &mut Sizes, depth: usize) -> io::Result<()> {
    if depth > archive::DEPTH_MAX {
        return Err(io::Error::other("directories nest too deeply"));
    }
    for name in dir.names()? {
        let stat = dir.stat(&name)?;
        sizes.entries += 1;
        match stat.kind {
            FileKind::Directory => {
                let sub = dir.open_dir(&name)?;
                clean(&sub, epoch, sizes, depth + 1)?;
                let time = stat.modified;
                let changed = strip(&sub)?;
                if changed || epoch.is_some() {
                    sys::file::set_times(&sub, clamp(time, epoch))?;
                }
            }
            FileKind::Socket => {
                dir.unlink(&name)?;
                continue;
            }
            FileKind::Regular => {
                let file = dir.open_file(&name)?;
                strip(&file)?;
                sizes.content_bytes += if stat.links > 1 { 0 } else { stat.size };
                sizes.disk_bytes += if stat.links > 1 { 0 } else { stat.disk_bytes };
                if stat.links > 1 {
                    // Each name brings its share; the sum over all names is the file.
                    sizes.content_bytes += stat.size / stat.links;
                    sizes.disk_bytes += stat.disk_bytes / stat.links;
                }
                if stat.modified != clamp(stat.modified, epoch) {
                    sys::file::set_times(&file, clamp(stat.modified, epoch))?;
                }
            }
            _ => {
                if !stat.is_whiteout() && stat.modified != clamp(stat.modified, epoch) {
                    dir.set_times(&name, clamp(stat.modified, epoch))?;
                }
            }
        }
    }
    if depth == 0 {
        strip(dir)?;
    }
    sizes.disk_bytes += sys::file::stat(dir)?.disk_bytes;
    Ok(())
}

fn strip(fd: impl std::os::fd::AsFd) -> io::Result<bool> {
    let mut changed = false;
    for name in sys::file::xattr_names(fd.as_fd())? {
        if UPPER_MARKS.contains(&&name[..]) {
            sys::file::remove_xattr(fd.as_fd(), &name)?;
            changed = true;
        }
    }
    Ok(changed)
}

fn clamp(time: Time, epoch: Option<i64>) -> Time {
    match epoch {
        Some(epoch) if time.seconds > epoch => Time { seconds: epoch, nanoseconds: 0 },
        _ => time,
    }
}

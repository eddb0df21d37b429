//! Making an archive of a rooted directory tree: sorted, deterministic, never through a link.

use std::collections::HashMap;
use std::io::{self, Write};

use sys::dir::{Dir, Links};
use sys::file::{self, FileKind, Stat, Time};

use super::extract::portable_xattrs;
use super::{ArchiveError, DEPTH_MAX, Entry, EntryKind, Whiteouts, Writer};

/// overlayfs's mark of a directory that hides what is below (Documentation/filesystems/overlayfs).
pub(crate) const OVERLAY_OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// Marks of overlayfs features that move content out of the directory itself.
const OVERLAY_ELSEWHERE: [&[u8]; 2] = [b"trusted.overlay.redirect", b"trusted.overlay.metacopy"];
const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// How to make an archive of a tree.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// [`Whiteouts::Overlay`]: the tree is an overlayfs upper directory, and its whiteouts and
    /// opaque directories become `.wh.` names.
    pub whiteouts: Whiteouts,
    /// Times later than this become this (SOURCE_DATE_EPOCH), in seconds.
    pub epoch: Option<i64>,
}

/// Writes everything in `root` (not the directory itself) as entries of an archive.
///
/// # Errors
/// [`ArchiveError`].
pub fn write_tree<W: Write>(
    writer: &mut Writer<W>,
    root: &Dir,
    options: TreeOptions,
) -> Result<(), ArchiveError> {
    let mut walk = Walk { writer, options, first_names: HashMap::new() };
    walk.children(root, &mut Vec::new(), 0)
}

/// Writes what is at `path` beneath `root` under the name `name`; a directory with all in it.
/// The last component is not followed if it is a link; those before are, within the root.
///
/// # Errors
/// [`ArchiveError::Tree`] with `NotFound` if it isn't there.
pub fn write_path<W: Write>(
    writer: &mut Writer<W>,
    root: &Dir,
    path: &[u8],
    name: &[u8],
    options: TreeOptions,
) -> Result<(), ArchiveError> {
    let mut walk = Walk { writer, options, first_names: HashMap::new() };
    let path = super::normalise(path)?;
    let mut shown = super::normalise(name)?;
    if path.is_empty() {
        let stat = file::stat(root).map_err(ArchiveError::tree("inspect", &path))?;
        walk.directory(root, &mut shown, &stat, 0)?;
        return Ok(());
    }
    let (parent, last) = super::split(&path);
    let dir = root.resolve(parent, Links::InRoot).map_err(ArchiveError::tree("open", parent))?;
    walk.entry(&dir, last, &mut shown, 0)
}

struct Walk<'a, W: Write> {
    writer: &'a mut Writer<W>,
    options: TreeOptions,
    /// Device and inode of files with several names → the name that was written with content.
    first_names: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Walk<'_, W> {
    fn children(
        &mut self,
        dir: &Dir,
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        if depth > DEPTH_MAX {
            return Err(ArchiveError::refused(path, "directories nest too deeply"));
        }
        for name in dir.names().map_err(ArchiveError::tree("list", path))? {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(dir, &name, path, depth)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: &Dir,
        name: &[u8],
        path: &mut Vec<u8>,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let stat = match dir.stat(name) {
            Ok(stat) => stat,
            // Removed since the directory was listed: a running container may.
            Err(error) if depth > 0 && error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(ArchiveError::tree("inspect", path)(error)),
        };
        if self.options.whiteouts == Whiteouts::Overlay && stat.is_whiteout() {
            return self.whiteout(path);
        }
        match stat.kind {
            FileKind::Directory => {
                let sub = dir.open_dir(name).map_err(ArchiveError::tree("open", path))?;
                self.directory(&sub, path, &stat, depth + 1)
            }
            FileKind::Regular => self.file(dir, name, path, &stat),
            FileKind::Symlink => {
                if self.known_name(path, &stat)? {
                    return Ok(());
                }
                let mut entry = self.describe(path, EntryKind::Symlink, &stat);
                // Linux gives links no mode of their own.
                entry.mode = 0o777;
                entry.link = dir.read_link(name).map_err(ArchiveError::tree("read", path))?;
                self.writer.append(&entry, io::empty())
            }
            FileKind::Fifo => self.node(path, EntryKind::Fifo, &stat),
            FileKind::Character => {
                let (major, minor) = (stat.major, stat.minor);
                self.node(path, EntryKind::Character { major, minor }, &stat)
            }
            FileKind::Block => {
                let (major, minor) = (stat.major, stat.minor);
                self.node(path, EntryKind::Block { major, minor }, &stat)
            }
            // A socket is its process's; archives can't hold one.
            FileKind::Socket => Ok(()),
        }
    }

    fn directory(
        &mut self,
        dir: &Dir,
        path: &mut Vec<u8>,
        stat: &Stat,
        depth: usize,
    ) -> Result<(), ArchiveError> {
        let mut name = path.clone();
        name.push(b'/');
        let mut entry = self.describe(&name, EntryKind::Directory, stat);
        entry.xattrs = portable_xattrs(dir).map_err(ArchiveError::tree("read", path))?;
        if !path.is_empty() || self.options.whiteouts == Whiteouts::Plain {
            if path.is_empty() {
                entry.path = b"./".to_vec();
            }
            self.writer.append(&entry, io::empty())?;
        }
        if self.options.whiteouts == Whiteouts::Overlay {
            self.check_overlay(dir, path)?;
            let opaque =
                file::xattr(dir, OVERLAY_OPAQUE).map_err(ArchiveError::tree("read", path))?;
            if opaque.as_deref() == Some(b"y") {
                name.extend_from_slice(OPAQUE_NAME);
                self.mark(name)?;
            }
        }
        self.children(dir, path, depth)
    }

    /// Content that overlayfs keeps elsewhere can't be archived from here. The engine mounts
    /// without these features, so this speaks of a directory from another source.
    fn check_overlay(&self, dir: &Dir, path: &[u8]) -> Result<(), ArchiveError> {
        for name in OVERLAY_ELSEWHERE {
            if file::xattr(dir, name).map_err(ArchiveError::tree("read", path))?.is_some() {
                return Err(ArchiveError::refused(
                    path,
                    "overlayfs's redirect_dir or metacopy was in use",
                ));
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), ArchiveError> {
        let (parent, name) = super::split(path);
        let mut marked = parent.to_vec();
        if !marked.is_empty() {
            marked.push(b'/');
        }
        marked.extend_from_slice(b".wh.");
        marked.extend_from_slice(name);
        self.mark(marked)
    }

    fn mark(&mut self, path: Vec<u8>) -> Result<(), ArchiveError> {
        self.writer.append(&Entry::new(&path, EntryKind::File, 0o600), io::empty())
    }

    fn file(
        &mut self,
        dir: &Dir,
        name: &[u8],
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), ArchiveError> {
        if self.known_name(path, stat)? {
            return Ok(());
        }
        let file = dir.open_file(name).map_err(ArchiveError::tree("open", path))?;
        // The name may have become something else since it was looked at.
        let stat = file::stat(&file).map_err(ArchiveError::tree("inspect", path))?;
        if stat.kind != FileKind::Regular {
            return Err(ArchiveError::refused(path, "it changed while it was read"));
        }
        let mut entry = self.describe(path, EntryKind::File, &stat);
        entry.size = stat.size;
        entry.xattrs = portable_xattrs(&file).map_err(ArchiveError::tree("read", path))?;
        self.writer.append(&entry, file)
    }

    fn node(&mut self, path: &[u8], kind: EntryKind, stat: &Stat) -> Result<(), ArchiveError> {
        if self.known_name(path, stat)? {
            return Ok(());
        }
        let entry = self.describe(path, kind, stat);
        self.writer.append(&entry, io::empty())
    }

    /// Writes a hard link if the inode's content was written under another name before.
    fn known_name(&mut self, path: &[u8], stat: &Stat) -> Result<bool, ArchiveError> {
        if stat.links < 2 {
            return Ok(false);
        }
        let key = (stat.device, stat.inode);
        let Some(first) = self.first_names.get(&key) else {
            self.first_names.insert(key, path.to_vec());
            return Ok(false);
        };
        let mut entry = self.describe(path, EntryKind::HardLink, stat);
        entry.link.clone_from(first);
        self.writer.append(&entry, io::empty())?;
        Ok(true)
    }

    fn describe(&self, path: &[u8], kind: EntryKind, stat: &Stat) -> Entry {
        let seconds = match self.options.epoch {
            Some(epoch) => stat.modified.seconds.min(epoch),
            None => stat.modified.seconds,
        };
        Entry {
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            modified: Time { seconds, nanoseconds: 0 },
            ..Entry::new(path, kind, 0)
        }
    }
}

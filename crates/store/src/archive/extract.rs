//! Writing an archive out into a rooted directory.
//!
//! Every entry is reached through the fd of its parent directory, which is resolved beneath the
//! root (openat2(2)); nothing is ever opened by a path string. What is there already goes before
//! the new entry is made, so that no mode, owner or content is written through an old link.
//! Directories get their metadata last of all, because making entries changes their times.
//!
//! A layer may speak of files that only its parents have: hard links to them, and directories
//! that it passes through without an entry of their own. Those wait for [`Extractor::settle`].

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use sys::Errno;
use sys::dir::{Dir, Links, Node};
use sys::file::{self, FileKind, Stat, Time};

use super::tree::OVERLAY_OPAQUE;
use super::{ArchiveError, Entry, EntryKind, Limits, Reader, lossy, normalise, split};

/// Open parent directories kept; few, so that an engine with a small fd limit lives.
const PARENTS_MAX: usize = 48;
const XATTR_VALUE_MAX: usize = 65536;

/// What `.wh.` names mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// Layer semantics (OCI image layer specification, "Whiteouts"), written in overlayfs's form:
    /// a character device 0:0, and `trusted.overlay.opaque`.
    Overlay,
    /// Ordinary names.
    Plain,
}

/// How to extract.
#[derive(Clone, Copy, Debug)]
pub struct ExtractOptions {
    /// What `.wh.` names mean.
    pub whiteouts: Whiteouts,
    /// Owner and group of every entry in place of the archive's.
    pub owner: Option<(u32, u32)>,
    /// Refuse to put a directory in the place of something else, or the reverse (docker cp).
    pub keep_kinds: bool,
    /// Bounds.
    pub limits: Limits,
}

impl ExtractOptions {
    /// As layers are unpacked.
    pub fn layer(limits: Limits) -> Self {
        Self { whiteouts: Whiteouts::Overlay, owner: None, keep_kinds: false, limits }
    }
}

/// What an extraction made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extracted {
    /// Entries in the archive.
    pub entries: u64,
    /// Bytes in regular files, each hard link counted once.
    pub content_bytes: u64,
    /// Bytes on disk of what was made.
    pub disk_bytes: u64,
}

/// Metadata of a directory that waits for the end.
struct Late {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Time,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// An extraction in progress.
pub struct Extractor {
    root: Dir,
    options: ExtractOptions,
    parents: HashMap<Vec<u8>, Arc<Dir>>,
    recent: VecDeque<Vec<u8>>,
    directories: HashMap<Vec<u8>, Late>,
    implicit: Vec<Vec<u8>>,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    done: Extracted,
}

/// Extracts an uncompressed archive whole, for a tree that stands on its own.
///
/// # Errors
/// [`ArchiveError`]; what was made until then stays.
pub fn extract(
    root: Dir,
    source: impl BufRead,
    options: ExtractOptions,
) -> Result<Extracted, ArchiveError> {
    let mut extractor = Extractor::new(root, options);
    let mut reader = Reader::new(source, options.limits);
    while let Some(entry) = reader.next_entry()? {
        extractor.apply(&entry, &mut reader)?;
    }
    reader.drain()?;
    extractor.settle(&[])?;
    extractor.finish()
}

impl Extractor {
    /// An extractor into `root`.
    pub fn new(root: Dir, options: ExtractOptions) -> Self {
        Self {
            root,
            options,
            parents: HashMap::new(),
            recent: VecDeque::new(),
            directories: HashMap::new(),
            implicit: Vec::new(),
            links: Vec::new(),
            done: Extracted::default(),
        }
    }

    /// Makes one entry, taking its data from `reader`.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn apply<R: BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), ArchiveError> {
        self.done.entries += 1;
        let path = normalise(&entry.path)?;
        if path.is_empty() {
            if entry.kind != EntryKind::Directory {
                return Err(ArchiveError::refused(&entry.path, "the root must be a directory"));
            }
            self.directories.insert(path, self.late(entry));
            return Ok(());
        }
        let (parent_path, name) = split(&path);
        if self.options.whiteouts == Whiteouts::Overlay
            && let Some(hidden) = name.strip_prefix(b".wh.")
        {
            return self.whiteout(parent_path, hidden, &path);
        }
        let parent = self.parent(parent_path)?;
        match entry.kind {
            EntryKind::Directory => self.directory(&parent, name, &path, entry),
            EntryKind::File => self.file(&parent, name, &path, entry, reader),
            EntryKind::Symlink => {
                if entry.link.is_empty() || entry.link.len() > super::PATH_MAX {
                    return Err(ArchiveError::refused(&path, "a link with a bad target"));
                }
                self.make(&parent, name, &path, |dir| dir.make_symlink(&entry.link, name))?;
                self.own_name(&parent, name, &path, entry)
            }
            EntryKind::HardLink => self.hard_link(&parent, name, &path, entry),
            EntryKind::Fifo => self.node(&parent, name, &path, entry, Node::Fifo),
            EntryKind::Character { major, minor } => {
                self.node(&parent, name, &path, entry, Node::Character { major, minor })
            }
            EntryKind::Block { major, minor } => {
                self.node(&parent, name, &path, entry, Node::Block { major, minor })
            }
        }
    }

    /// Whether something waits for the parent layers.
    pub fn is_settled(&self) -> bool {
        self.links.is_empty() && self.implicit.is_empty()
    }

    /// Resolves what only the parent layers know; `lowers` are their trees, topmost first.
    ///
    /// # Errors
    /// [`ArchiveError::LinkTarget`] if nobody has the target of a link.
    pub fn settle(&mut self, lowers: &[Dir]) -> Result<(), ArchiveError> {
        for (path, target) in std::mem::take(&mut self.links) {
            self.copy_up(&target, lowers, &path)?;
            let (parent_path, name) = split(&path);
            let parent = self.parent(parent_path)?;
            if !self.link_here(&parent, name, &path, &target)? {
                return Err(missing_target(&path, &target));
            }
        }
        for path in std::mem::take(&mut self.implicit) {
            if self.directories.contains_key(&path) {
                continue;
            }
            let below = lowers.iter().find_map(|dir| dir.resolve(&path, Links::Refuse).ok());
            let late = match below {
                Some(dir) => late_of(&dir).map_err(ArchiveError::tree("read", &path))?,
                // Nobody says what it is like; a fixed time keeps the tree deterministic.
                None => Late {
                    mode: 0o755,
                    uid: self.options.owner.map_or(0, |(uid, _)| uid),
                    gid: self.options.owner.map_or(0, |(_, gid)| gid),
                    modified: Time::default(),
                    xattrs: Vec::new(),
                },
            };
            self.directories.insert(path, late);
        }
        Ok(())
    }

    /// Gives directories their metadata; call after [`Extractor::settle`].
    ///
    /// # Errors
    /// [`ArchiveError::Tree`].
    pub fn finish(mut self) -> Result<Extracted, ArchiveError> {
        self.parents.clear();
        let mut late: Vec<_> = std::mem::take(&mut self.directories).into_iter().collect();
        // Deepest first: a mode that shuts a directory must not keep us from what is in it.
        late.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        for (path, late) in late {
            let dir = match self.root.resolve(&path, Links::Refuse) {
                Ok(dir) => dir,
                // It went through a link of the archive's own.
                Err(_) => self
                    .root
                    .resolve(&path, Links::InRoot)
                    .map_err(ArchiveError::tree("open", &path))?,
            };
            let step = ArchiveError::tree("set the metadata of", &path);
            self.done.disk_bytes += finish_directory(&dir, &late).map_err(step)?;
        }
        Ok(self.done)
    }

    fn late(&self, entry: &Entry) -> Late {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        Late {
            mode: entry.mode,
            uid,
            gid,
            modified: entry.modified,
            xattrs: allowed_xattrs(entry).cloned().collect(),
        }
    }

    /// The open directory at `path`, made if it isn't there. Links of the archive's own are
    /// followed within the root, as every other extractor in a chroot does.
    fn parent(&mut self, path: &[u8]) -> Result<Arc<Dir>, ArchiveError> {
        if let Some(dir) = self.parents.get(path) {
            return Ok(dir.clone());
        }
        let dir = match self.root.resolve(path, Links::Refuse) {
            Ok(dir) => dir,
            Err(error) if is_link(&error) => match self.root.resolve(path, Links::InRoot) {
                Ok(dir) => dir,
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.missing(path)?,
                Err(error) => return Err(ArchiveError::tree("open", path)(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.missing(path)?,
            Err(error) => return Err(ArchiveError::tree("open", path)(error)),
        };
        let dir = Arc::new(dir);
        if self.recent.len() >= PARENTS_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.parents.remove(&oldest);
        }
        self.recent.push_back(path.to_vec());
        self.parents.insert(path.to_vec(), dir.clone());
        Ok(dir)
    }

    fn missing(&mut self, path: &[u8]) -> Result<Dir, ArchiveError> {
        let (above, name) = split(path);
        let above = self.parent(above)?;
        if let Ok(stat) = above.stat(name)
            && stat.is_whiteout()
            && self.options.whiteouts == Whiteouts::Overlay
        {
            above.unlink(name).map_err(ArchiveError::tree("replace", path))?;
            above.make_dir(name, 0o755).map_err(ArchiveError::tree("create directory", path))?;
            let dir = above.open_dir(name).map_err(ArchiveError::tree("open", path))?;
            set_opaque(&dir, path)?;
            self.implicit.push(path.to_vec());
            return Ok(dir);
        }
        above.make_dir(name, 0o755).map_err(ArchiveError::tree("create directory", path))?;
        if let Some((uid, gid)) = self.options.owner {
            above.set_owner(name, uid, gid).map_err(ArchiveError::tree("own", path))?;
        }
        self.implicit.push(path.to_vec());
        above.open_dir(name).map_err(ArchiveError::tree("open", path))
    }

    /// Forgets what is known beneath `path`, which is about to go.
    fn forget(&mut self, path: &[u8]) {
        let gone = |known: &[u8]| {
            known == path || known.strip_prefix(path).is_some_and(|rest| rest.starts_with(b"/"))
        };
        self.directories.retain(|known, _| !gone(known));
        self.implicit.retain(|known| !gone(known));
        self.parents.clear();
        self.recent.clear();
    }

    /// Makes a name by `make`; what is there already goes first.
    fn make<T>(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        make: impl Fn(&Dir) -> io::Result<T>,
    ) -> Result<T, ArchiveError> {
        match make(parent) {
            Ok(made) => return Ok(made),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ArchiveError::tree("create", path)(error)),
        }
        let old = parent.stat(name).map_err(ArchiveError::tree("inspect", path))?;
        if old.kind == FileKind::Directory {
            if self.options.keep_kinds {
                return Err(ArchiveError::refused(
                    path,
                    "cannot overwrite directory with non-directory",
                ));
            }
            self.forget(path);
            parent.remove_tree(name).map_err(ArchiveError::tree("replace", path))?;
        } else {
            if old.kind == FileKind::Symlink {
                // It was perhaps a parent of entries before this one.
                self.forget(path);
            }
            parent.unlink(name).map_err(ArchiveError::tree("replace", path))?;
        }
        make(parent).map_err(ArchiveError::tree("create", path))
    }

    fn directory(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
    ) -> Result<(), ArchiveError> {
        match parent.make_dir(name, 0o700) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let old = parent.stat(name).map_err(ArchiveError::tree("inspect", path))?;
                if old.kind != FileKind::Directory {
                    if self.options.keep_kinds {
                        return Err(ArchiveError::refused(
                            path,
                            "cannot overwrite non-directory with directory",
                        ));
                    }
                    // A link in the way was perhaps a parent of entries before this one.
                    self.forget(path);
                    parent.unlink(name).map_err(ArchiveError::tree("replace", path))?;
                    parent.make_dir(name, 0o700).map_err(ArchiveError::tree("create", path))?;
                    if old.is_whiteout() && self.options.whiteouts == Whiteouts::Overlay {
                        let dir =
                            parent.open_dir(name).map_err(ArchiveError::tree("open", path))?;
                        set_opaque(&dir, path)?;
                    }
                }
            }
            Err(error) => return Err(ArchiveError::tree("create directory", path)(error)),
        }
        let late = self.late(entry);
        self.directories.insert(path.to_vec(), late);
        Ok(())
    }

    fn file<R: BufRead>(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), ArchiveError> {
        let mut file = self.make(parent, name, path, |dir| dir.create_file(name, 0o600))?;
        match &entry.sparse {
            None => loop {
                let chunk = reader.data()?;
                if chunk.is_empty() {
                    break;
                }
                file.write_all(chunk).map_err(ArchiveError::tree("write", path))?;
                let length = chunk.len();
                reader.consume(length);
            },
            Some(extents) => {
                for extent in extents {
                    let mut at = extent.offset;
                    let end = extent.offset + extent.length;
                    while at < end {
                        let chunk = reader.data()?;
                        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
                        let length = chunk.len().min(left);
                        let write = file.write_all_at(&chunk[..length], at);
                        write.map_err(ArchiveError::tree("write", path))?;
                        reader.consume(length);
                        at += length as u64;
                    }
                }
                file.set_len(entry.size).map_err(ArchiveError::tree("write", path))?;
            }
        }
        let stat = self
            .finish_file(&file, entry)
            .map_err(ArchiveError::tree("set the metadata of", path))?;
        self.done.content_bytes += stat.size;
        self.done.disk_bytes += stat.disk_bytes;
        Ok(())
    }

    fn finish_file(&self, file: &File, entry: &Entry) -> io::Result<Stat> {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        // chown(2) clears set-id bits and capabilities, so owner, then mode, then attributes.
        file::set_owner(file, uid, gid)?;
        file::set_mode(file, entry.mode)?;
        set_xattrs(file, allowed_xattrs(entry))?;
        file::set_times(file, entry.modified)?;
        file::stat(file)
    }

    fn node(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
        node: Node,
    ) -> Result<(), ArchiveError> {
        self.make(parent, name, path, |dir| dir.make_node(name, node, 0o600))?;
        self.own_name(parent, name, path, entry)?;
        parent
            .set_node_mode(name, entry.mode)
            .map_err(ArchiveError::tree("set the mode of", path))?;
        parent.set_times(name, entry.modified).map_err(ArchiveError::tree("set the time of", path))
    }

    fn own_name(
        &self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
    ) -> Result<(), ArchiveError> {
        let (uid, gid) = self.options.owner.unwrap_or((entry.uid, entry.gid));
        parent.set_owner(name, uid, gid).map_err(ArchiveError::tree("own", path))?;
        parent.set_times(name, entry.modified).map_err(ArchiveError::tree("set the time of", path))
    }

    fn hard_link(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        entry: &Entry,
    ) -> Result<(), ArchiveError> {
        let target = normalise(&entry.link)?;
        if target.is_empty() {
            return Err(ArchiveError::refused(path, "a hard link to the root"));
        }
        if target == path {
            return Err(ArchiveError::refused(path, "a hard link to itself"));
        }
        if self.link_here(parent, name, path, &target)? {
            return Ok(());
        }
        if self.options.whiteouts == Whiteouts::Plain {
            return Err(missing_target(path, &target));
        }
        self.links.push((path.to_vec(), target));
        Ok(())
    }

    /// Links `name` to `target` if this tree has it; false if not.
    fn link_here(
        &mut self,
        parent: &Dir,
        name: &[u8],
        path: &[u8],
        target: &[u8],
    ) -> Result<bool, ArchiveError> {
        let (target_parent, target_name) = split(target);
        let from = match self.root.resolve(target_parent, Links::InRoot) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ArchiveError::tree("open", target_parent)(error)),
        };
        let stat = match from.stat(target_name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(ArchiveError::tree("inspect", target)(error)),
        };
        if !matches!(stat.kind, FileKind::Regular | FileKind::Symlink | FileKind::Fifo)
            && (stat.kind == FileKind::Directory || stat.is_whiteout())
        {
            return Err(ArchiveError::refused(path, "a hard link to something that isn't a file"));
        }
        self.make(parent, name, path, |dir| dir.link(&from, target_name, name))?;
        Ok(true)
    }

    /// Brings a file of a parent layer into this one, as overlayfs does before a link is made.
    fn copy_up(&mut self, target: &[u8], lowers: &[Dir], path: &[u8]) -> Result<(), ArchiveError> {
        let (target_parent, name) = split(target);
        for lower in lowers {
            let Ok(from) = lower.resolve(target_parent, Links::InRoot) else { continue };
            let Ok(stat) = from.stat(name) else { continue };
            if stat.kind != FileKind::Regular {
                break;
            }
            let to = self.parent(target_parent)?;
            let copied = copy_file(&from, name, &to, name, &stat)
                .map_err(ArchiveError::tree("copy up", target))?;
            self.done.content_bytes += copied.size;
            self.done.disk_bytes += copied.disk_bytes;
            return Ok(());
        }
        Err(missing_target(path, target))
    }

    fn whiteout(&mut self, parent: &[u8], hidden: &[u8], path: &[u8]) -> Result<(), ArchiveError> {
        if hidden == b".wh..opq" {
            let dir = self.parent(parent)?;
            return set_opaque(&dir, path);
        }
        // AUFS's own bookkeeping (.wh..wh.plnk, .wh..wh.orph, .wh..wh.aufs) means nothing here.
        if hidden.starts_with(b".wh.") {
            return Ok(());
        }
        if hidden.is_empty() || hidden == b"." || hidden == b".." {
            return Err(ArchiveError::refused(path, "a whiteout of no name"));
        }
        let dir = self.parent(parent)?;
        match dir.make_node(hidden, Node::Character { major: 0, minor: 0 }, 0) {
            Ok(()) => Ok(()),
            // A whiteout speaks of lower layers only: what this layer brought stays, and if that
            // is a directory it no longer merges with the one below.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match dir.open_dir(hidden) {
                    Ok(sub) => set_opaque(&sub, path),
                    Err(_) => Ok(()),
                }
            }
            Err(error) => Err(ArchiveError::tree("hide", path)(error)),
        }
    }
}

fn missing_target(path: &[u8], target: &[u8]) -> ArchiveError {
    ArchiveError::LinkTarget { path: lossy(path), target: lossy(target) }
}

/// `ELOOP` is openat2's answer to a link under `RESOLVE_NO_SYMLINKS`; with `O_DIRECTORY` on a
/// trailing link some kernels say `ENOTDIR`.
fn is_link(error: &io::Error) -> bool {
    [Errno::LOOP, Errno::NOTDIR].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

fn set_opaque(dir: &Dir, path: &[u8]) -> Result<(), ArchiveError> {
    file::set_xattr(dir, OVERLAY_OPAQUE, b"y").map_err(ArchiveError::tree("make opaque", path))
}

/// Attributes that an archive may set. `trusted.*` and `user.overlay.*` would steer overlayfs,
/// `security.*` but for capabilities belongs to the host's policy.
fn allowed_xattrs(entry: &Entry) -> impl Iterator<Item = &(Vec<u8>, Vec<u8>)> {
    entry.xattrs.iter().filter(|(name, value)| {
        value.len() <= XATTR_VALUE_MAX
            && (name == b"security.capability"
                || name == b"system.posix_acl_access"
                || name == b"system.posix_acl_default"
                || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.")))
    })
}

/// Sets attributes; a filesystem that keeps none of a kind is no reason to fail (tmpfs without
/// `user.*`), as with every other extractor.
fn set_xattrs<'a>(
    fd: impl std::os::fd::AsFd,
    xattrs: impl IntoIterator<Item = &'a (Vec<u8>, Vec<u8>)>,
) -> io::Result<()> {
    for (name, value) in xattrs {
        match file::set_xattr(fd.as_fd(), name, value) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            other => other?,
        }
    }
    Ok(())
}

fn finish_directory(dir: &Dir, late: &Late) -> io::Result<u64> {
    file::set_owner(dir, late.uid, late.gid)?;
    file::set_mode(dir, late.mode)?;
    set_xattrs(dir, &late.xattrs)?;
    file::set_times(dir, late.modified)?;
    Ok(file::stat(dir)?.disk_bytes)
}

fn late_of(dir: &Dir) -> io::Result<Late> {
    let stat = file::stat(dir)?;
    Ok(Late {
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        modified: stat.modified,
        xattrs: portable_xattrs(dir)?,
    })
}

/// The attributes that travel in archives and copies, sorted.
pub(crate) fn portable_xattrs(fd: impl std::os::fd::AsFd) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut found = Vec::new();
    for name in file::xattr_names(fd.as_fd())? {
        let travels = name == b"security.capability"
            || name.starts_with(b"system.posix_acl_")
            || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."));
        if travels && let Some(value) = file::xattr(fd.as_fd(), &name)? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// Copies a regular file with everything that belongs to it; `stat` is the source's.
pub(crate) fn copy_file(
    from: &Dir,
    name: &[u8],
    to: &Dir,
    new_name: &[u8],
    stat: &Stat,
) -> io::Result<Stat> {
    let source = from.open_file(name)?;
    let mut copy = to.create_file(new_name, 0o600)?;
    io::copy(&mut (&source).take(stat.size), &mut copy)?;
    file::set_owner(&copy, stat.uid, stat.gid)?;
    file::set_mode(&copy, stat.mode)?;
    set_xattrs(&copy, &portable_xattrs(&source)?)?;
    file::set_times(&copy, stat.modified)?;
    file::stat(&copy)
}

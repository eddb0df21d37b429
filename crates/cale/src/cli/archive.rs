//! Tar archives of local files: packed for `cp` and `build`, unpacked for `cp`.
//!
//! What is unpacked comes from a container and may be hostile: every name is resolved by
//! descriptor beneath the target directory, links are never followed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sys::dir::{Dir, Links};
use sys::file::Time;

/// Packs `source` (a file or a directory) under the name `name`; with `contents` a directory's
/// entries come without it. `keep` says which relative paths of a directory belong in.
///
/// # Errors
/// The system's reason for a file that can't be read, or the writer's.
pub fn pack(
    source: &Path,
    name: &str,
    follow: bool,
    keep: &mut dyn FnMut(&str, bool) -> Keep,
    out: &mut dyn Write,
) -> io::Result<u64> {
    let mut builder = tar::Builder::new(out);
    builder.follow_symlinks(false);
    let mut packer = Packer { builder, keep, total: 0 };
    let meta = if follow { fs::metadata(source)? } else { fs::symlink_metadata(source)? };
    packer.entry(source, name, "", &meta)?;
    packer.builder.finish()?;
    Ok(packer.total)
}

/// Packs the content of a directory, preceded by files that don't lie in it (name and content).
///
/// # Errors
/// As [`pack`].
pub fn pack_with(
    source: &Path,
    first: &[(&str, &[u8])],
    keep: &mut dyn FnMut(&str, bool) -> Keep,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    for (name, content) in first {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content)?;
    }
    let mut packer = Packer { builder, keep, total: 0 };
    packer.entry(source, "", "", &fs::metadata(source)?)?;
    packer.builder.finish()
}

/// Whether an entry is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is, and what is below it is asked for.
    Yes,
    /// It isn't, but something below it may be.
    OnlyBelow,
    /// It isn't, nor anything below.
    No,
}

struct Packer<'a, 'w> {
    builder: tar::Builder<&'w mut dyn Write>,
    keep: &'a mut dyn FnMut(&str, bool) -> Keep,
    total: u64,
}

impl Packer<'_, '_> {
    fn entry(
        &mut self,
        path: &Path,
        name: &str,
        below: &str,
        meta: &fs::Metadata,
    ) -> io::Result<()> {
        let keep = if below.is_empty() { Keep::Yes } else { (self.keep)(below, meta.is_dir()) };
        if keep == Keep::No {
            return Ok(());
        }
        if keep == Keep::Yes {
            self.append(path, name, meta).map_err(|e| at(path, e))?;
        }
        if !meta.is_dir() {
            return Ok(());
        }
        let mut children: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
        children.sort();
        for child in children {
            let leaf = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let join =
                |base: &str| if base.is_empty() { leaf.clone() } else { format!("{base}/{leaf}") };
            let meta = fs::symlink_metadata(&child).map_err(|e| at(&child, e))?;
            self.entry(&child, &join(name.trim_end_matches('/')), &join(below), &meta)?;
        }
        Ok(())
    }

    fn append(&mut self, path: &Path, name: &str, meta: &fs::Metadata) -> io::Result<()> {
        if meta.file_type().is_socket() || (meta.is_dir() && matches!(name, "" | ".")) {
            return Ok(());
        }
        let mut header = tar::Header::new_gnu();
        header.set_metadata(meta);
        header.set_uid(u64::from(meta.uid()));
        header.set_gid(u64::from(meta.gid()));
        self.total += meta.len();
        if meta.file_type().is_symlink() {
            let target = fs::read_link(path)?;
            header.set_size(0);
            return self.builder.append_link(&mut header, name, target);
        }
        if meta.is_file() {
            let file = fs::File::open(path)?;
            // A file that grows meanwhile must not spoil the archive.
            return self.builder.append_data(&mut header, name, file.take(meta.len()));
        }
        header.set_size(0);
        let name = if meta.is_dir() { format!("{name}/") } else { name.to_owned() };
        self.builder.append_data(&mut header, name, io::empty())
    }
}

fn at(path: &Path, e: io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// How names are changed while unpacking: the archive's first component becomes another.
#[derive(Clone, Debug, Default)]
pub struct Rebase {
    /// First component in the archive.
    pub from: String,
    /// What it becomes; empty leaves names as they are.
    pub to: String,
}

impl Rebase {
    fn apply(&self, path: &Path) -> Option<Vec<Vec<u8>>> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for part in path.components() {
            match part {
                std::path::Component::Normal(name) => parts.push(name.as_bytes().to_vec()),
                std::path::Component::CurDir | std::path::Component::RootDir => {}
                std::path::Component::ParentDir | std::path::Component::Prefix(_) => return None,
            }
        }
        if !self.to.is_empty()
            && let Some(first) = parts.first_mut()
            && (self.from.is_empty() || *first == self.from.as_bytes())
        {
            *first = self.to.clone().into_bytes();
        }
        Some(parts)
    }
}

/// Unpacks an archive into `target`. With `owners` the archive's owners are kept, otherwise files
/// belong to us. Gives the number of bytes.
///
/// # Errors
/// The system's reasons, or a name that leads outside.
pub fn unpack(source: impl Read, target: &Path, rebase: &Rebase, owners: bool) -> io::Result<u64> {
    let root = Dir::open(target).map_err(|e| at(target, e))?;
    let mut archive = tar::Archive::new(source);
    let mut total = 0;
    // Directories get their times last, when nothing is written into them any more.
    let mut directories: Vec<(Vec<Vec<u8>>, Time, u32)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let shown = entry.path()?.into_owned();
        let Some(parts) = rebase.apply(&shown) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("archive entry {} leads outside of the target", shown.display()),
            ));
        };
        let Some((leaf, parents)) = parts.split_last() else { continue };
        let dir = open_parents(&root, parents).map_err(|e| at(&shown, e))?;
        let mode = entry.header().mode()? & 0o7777;
        let time =
            Time { seconds: i64::try_from(entry.header().mtime()?).unwrap_or(0), nanoseconds: 0 };
        total += entry.header().size()?;
        if entry.header().entry_type() == tar::EntryType::Directory {
            directories.push((parts.clone(), time, mode));
        }
        unpack_entry(&mut entry, &root, &dir, leaf, mode, rebase).map_err(|e| at(&shown, e))?;
        if owners {
            let (uid, gid) = (entry.header().uid()?, entry.header().gid()?);
            let id = |n: u64| u32::try_from(n).unwrap_or(u32::MAX - 1);
            dir.set_owner(leaf, id(uid), id(gid)).map_err(|e| at(&shown, e))?;
        }
        dir.set_times(leaf, time).map_err(|e| at(&shown, e))?;
    }
    for (parts, time, mode) in directories.into_iter().rev() {
        let Some((leaf, parents)) = parts.split_last() else { continue };
        let dir = open_parents(&root, parents)?;
        sys::file::set_mode(dir.resolve(leaf, Links::Refuse)?, mode)?;
        dir.set_times(leaf, time)?;
    }
    Ok(total)
}

fn open_parents(root: &Dir, parents: &[Vec<u8>]) -> io::Result<Dir> {
    let mut dir = root.try_clone()?;
    for name in parents {
        dir = match dir.open_dir(name) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                dir.make_dir(name, 0o755)?;
                dir.open_dir(name)?
            }
            other => other?,
        };
    }
    Ok(dir)
}

fn unpack_entry(
    entry: &mut tar::Entry<'_, impl Read>,
    root: &Dir,
    dir: &Dir,
    leaf: &[u8],
    mode: u32,
    rebase: &Rebase,
) -> io::Result<()> {
    use tar::EntryType as T;
    let clear = || match dir.unlink(leaf) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match entry.header().entry_type() {
        T::Directory => match dir.open_dir(leaf) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => dir.make_dir(leaf, 0o700),
            Err(e) => Err(e),
        },
        T::Regular | T::Continuous | T::GNUSparse => {
            clear()?;
            let mut file = dir.create_file(leaf, 0o600)?;
            io::copy(entry, &mut file)?;
            sys::file::set_mode(&file, mode)
        }
        T::Symlink => {
            clear()?;
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            dir.make_symlink(&target, leaf)
        }
        T::Link => {
            clear()?;
            let target = entry.link_name_bytes().unwrap_or_default().into_owned();
            let parts = rebase.apply(Path::new(OsStr::from_bytes(&target)));
            let Some((name, parents)) = parts.as_deref().and_then(<[_]>::split_last) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            open_parents(root, parents)?.link(dir, name, leaf)
        }
        T::Fifo => {
            clear()?;
            dir.make_node(leaf, sys::dir::Node::Fifo, mode)
        }
        T::Char | T::Block => {
            clear()?;
            let major = entry.header().device_major()?.unwrap_or(0);
            let minor = entry.header().device_minor()?.unwrap_or(0);
            let node = match entry.header().entry_type() {
                T::Char => sys::dir::Node::Character { major, minor },
                _ => sys::dir::Node::Block { major, minor },
            };
            dir.make_node(leaf, node, mode)
        }
        // Extended headers were applied by the reader.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(source: &Path, name: &str) -> Vec<u8> {
        let mut out = Vec::new();
        pack(source, name, false, &mut |_, _| Keep::Yes, &mut out).expect("packed");
        out
    }

    #[test]
    fn a_tree_survives_the_trip() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let source = dir.path().join("src");
        fs::create_dir_all(source.join("a/b")).expect("made");
        fs::write(source.join("a/b/file"), "text").expect("written");
        std::os::unix::fs::symlink("b/file", source.join("a/link")).expect("linked");
        let target = dir.path().join("dst");
        fs::create_dir(&target).expect("made");
        let rebase = Rebase { from: "src".into(), to: "new".into() };
        unpack(packed(&source, "src").as_slice(), &target, &rebase, true).expect("unpacked");
        assert_eq!(fs::read(target.join("new/a/b/file")).expect("read"), b"text");
        assert_eq!(fs::read_link(target.join("new/a/link")).expect("link"), Path::new("b/file"));
    }

    #[test]
    fn links_are_not_followed_out_of_the_target() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_mode(0o777);
        header.set_size(0);
        builder.append_link(&mut header, "out", dir.path()).expect("appended");
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(1);
        builder.append_data(&mut header, "out/evil", &b"x"[..]).expect("appended");
        let archive = builder.into_inner().expect("archive");
        let target = dir.path().join("target");
        fs::create_dir(&target).expect("made");
        let result = unpack(archive.as_slice(), &target, &Rebase::default(), false);
        assert!(result.is_err());
        assert!(!dir.path().join("evil").exists());
    }
}

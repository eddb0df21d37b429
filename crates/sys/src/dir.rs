//! Directories by fd: names are resolved beneath an open directory, never through a path string.
//!
//! Owns rooted resolution (openat2(2)) and the `*at` calls on one directory entry. A *name* is a
//! single component; [`Dir::resolve`] is the only function that takes several. Deliberately owns
//! no policy: which names an archive may have is the caller's business.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};

use crate::file::{FileKind, Stat, Time, stat_from};

/// How symbolic links met on the way are treated by [`Dir::resolve`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Any link, and any step above the directory, is an error (`ELOOP`, `EXDEV`).
    Refuse,
    /// Links are followed as if the directory were `/`, as a process chrooted there sees them.
    InRoot,
}

/// What [`Dir::make_node`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A named pipe.
    Fifo,
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

impl Dir {
    /// Opens the directory at a path of the engine's own (not one that others may change).
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(fs::open(path, OFlags::RDONLY | DIRECTORY, Mode::empty())?))
    }

    /// Takes over an fd that is known to be a directory.
    ///
    /// # Errors
    /// `ENOTDIR` if it isn't one; as fstat(2).
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        if stat_from(&fs::fstat(&fd)?).kind != FileKind::Directory {
            return Err(rustix::io::Errno::NOTDIR.into());
        }
        Ok(Self(fd))
    }

    /// Another fd of the same directory.
    ///
    /// # Errors
    /// As fcntl(2) `F_DUPFD_CLOEXEC`.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Opens the sub-directory `name`; a link is refused with `ENOTDIR`.
    ///
    /// # Errors
    /// As openat(2).
    pub fn open_dir(&self, name: &[u8]) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | DIRECTORY;
        Ok(Self(fs::openat(&self.0, name, flags, Mode::empty())?))
    }

    /// Opens the directory at `path` beneath this one; the empty path is this directory.
    ///
    /// # Errors
    /// As openat2(2): `ELOOP` for a link under [`Links::Refuse`], `EXDEV` for an escape.
    pub fn resolve(&self, path: &[u8], links: Links) -> io::Result<Self> {
        let path = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | DIRECTORY;
        Ok(Self(self.openat2(path, flags, Mode::empty(), links)?))
    }

    /// Opens for reading the file at `path` beneath this directory, without blocking on a pipe.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn resolve_file(&self, path: &[u8], links: Links) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(self.openat2(path, flags, Mode::empty(), links)?.into())
    }

    fn openat2(
        &self,
        path: &[u8],
        flags: OFlags,
        mode: Mode,
        links: Links,
    ) -> rustix::io::Result<OwnedFd> {
        let resolve = match links {
            Links::Refuse => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            Links::InRoot => ResolveFlags::IN_ROOT,
        } | ResolveFlags::NO_MAGICLINKS;
        loop {
            match fs::openat2(&self.0, path, flags, mode, resolve) {
                // The kernel saw a rename during the walk and could not vouch for it.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Makes the directory `name`.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn make_dir(&self, name: &[u8], mode: u32) -> io::Result<()> {
        Ok(fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode))?)
    }

    /// Makes and opens for writing the new file `name`; fails with `EEXIST` if anything is there.
    ///
    /// # Errors
    /// As openat(2).
    pub fn create_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Opens `name` for reading and writing, making it if it isn't there; links are refused.
    ///
    /// # Errors
    /// As openat(2).
    pub fn open_or_create_file(&self, name: &[u8], mode: u32) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(&self.0, name, flags, Mode::from_raw_mode(mode))?.into())
    }

    /// Opens `name` for reading; links are refused and a pipe doesn't block.
    ///
    /// # Errors
    /// As openat(2).
    pub fn open_file(&self, name: &[u8]) -> io::Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(fs::openat(&self.0, name, flags, Mode::empty())?.into())
    }

    /// Makes the symbolic link `name`.
    ///
    /// # Errors
    /// As symlinkat(2).
    pub fn make_symlink(&self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(fs::symlinkat(target, &self.0, name)?)
    }

    /// Makes the pipe or device `name`.
    ///
    /// # Errors
    /// As mknodat(2).
    pub fn make_node(&self, name: &[u8], node: Node, mode: u32) -> io::Result<()> {
        let (kind, device) = match node {
            Node::Fifo => (fs::FileType::Fifo, 0),
            Node::Character { major, minor } => {
                (fs::FileType::CharacterDevice, fs::makedev(major, minor))
            }
            Node::Block { major, minor } => (fs::FileType::BlockDevice, fs::makedev(major, minor)),
        };
        Ok(fs::mknodat(&self.0, name, kind, Mode::from_raw_mode(mode), device)?)
    }

    /// Makes `name` a hard link to the entry `target` of `from`; a symbolic link is linked itself.
    ///
    /// # Errors
    /// As linkat(2).
    pub fn link(&self, from: &Self, target: &[u8], name: &[u8]) -> io::Result<()> {
        Ok(fs::linkat(&from.0, target, &self.0, name, AtFlags::empty())?)
    }

    /// Removes the entry `name`, which is no directory.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Removes the empty directory `name`.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove_dir(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)?)
    }

    /// Renames `name` to `new_name` in `to`, replacing what is there if rename(2) would.
    ///
    /// # Errors
    /// As renameat(2).
    pub fn rename(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        Ok(fs::renameat(&self.0, name, &to.0, new_name)?)
    }

    /// Renames `name` to `new_name` in `to`; `EEXIST` if that is there.
    ///
    /// # Errors
    /// As renameat2(2).
    pub fn rename_new(&self, name: &[u8], to: &Self, new_name: &[u8]) -> io::Result<()> {
        Ok(fs::renameat_with(&self.0, name, &to.0, new_name, RenameFlags::NOREPLACE)?)
    }

    /// What the entry `name` is; links are not followed.
    ///
    /// # Errors
    /// As fstatat(2).
    pub fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        Ok(stat_from(&fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The target of the link `name`.
    ///
    /// # Errors
    /// As readlinkat(2).
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(&self.0, name, Vec::new())?.into_bytes())
    }

    /// The names in the directory, sorted by bytes, without `.` and `..`.
    ///
    /// # Errors
    /// As getdents64(2).
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        // `read_from` opens the directory anew, so two walks over one fd don't share an offset.
        for entry in fs::Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Sets owner and group of the entry `name` itself.
    ///
    /// # Errors
    /// As fchownat(2).
    pub fn set_owner(&self, name: &[u8], uid: u32, gid: u32) -> io::Result<()> {
        let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
        Ok(fs::chownat(&self.0, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Sets the mode of the pipe, socket or device `name` without opening it; a link is refused.
    ///
    /// # Errors
    /// As openat(2) with `O_PATH`, and chmod(2); needs /proc.
    pub fn set_node_mode(&self, name: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = fs::openat(&self.0, name, flags, Mode::empty())?;
        // fchmod(2) refuses an O_PATH fd; its link in /proc is the same inode whatever `name`
        // has become meanwhile, and a symbolic link's own gives `ELOOP` or `EOPNOTSUPP`.
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        Ok(fs::chmod(path, Mode::from_raw_mode(mode))?)
    }

    /// Sets access and modification time of the entry `name` itself.
    ///
    /// # Errors
    /// As utimensat(2).
    pub fn set_times(&self, name: &[u8], time: Time) -> io::Result<()> {
        let times = crate::file::timestamps(time);
        Ok(fs::utimensat(&self.0, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Makes the directory's entries durable.
    ///
    /// # Errors
    /// As fsync(2).
    pub fn sync(&self) -> io::Result<()> {
        Ok(fs::fsync(&self.0)?)
    }

    /// Makes everything written to the directory's filesystem durable (syncfs(2)).
    ///
    /// # Errors
    /// As syncfs(2).
    pub fn sync_filesystem(&self) -> io::Result<()> {
        Ok(fs::syncfs(&self.0)?)
    }

    /// Bytes free to this process and bytes in all, on the directory's filesystem.
    ///
    /// # Errors
    /// As fstatvfs(3).
    pub fn space(&self) -> io::Result<(u64, u64)> {
        let s = fs::fstatvfs(&self.0)?;
        Ok((s.f_bavail * s.f_frsize, s.f_blocks * s.f_frsize))
    }

    /// Removes the entry `name` and everything beneath it; nothing there is no error.
    ///
    /// # Errors
    /// As unlinkat(2), openat(2), getdents64(2).
    pub fn remove_tree(&self, name: &[u8]) -> io::Result<()> {
        match fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(rustix::io::Errno::ISDIR) => {}
            Err(error) => return Err(error.into()),
        }
        let dir = match self.open_dir(name) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        dir.remove_contents()?;
        match fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes everything in the directory. Keeps one fd open however deep the tree is: a
    /// sub-directory found full is moved up into this one and emptied in its turn.
    ///
    /// # Errors
    /// As [`Dir::remove_tree`].
    pub fn remove_contents(&self) -> io::Result<()> {
        let mut moved = 0u64;
        let mut todo = self.names()?;
        while let Some(name) = todo.pop() {
            match fs::unlinkat(&self.0, &name[..], AtFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOENT) => continue,
                Err(rustix::io::Errno::ISDIR) => {}
                Err(error) => return Err(error.into()),
            }
            if fs::unlinkat(&self.0, &name[..], AtFlags::REMOVEDIR).is_ok() {
                continue;
            }
            let sub = self.open_dir(&name)?;
            for child in sub.names()? {
                match fs::unlinkat(&sub.0, &child[..], AtFlags::empty()) {
                    Ok(()) | Err(rustix::io::Errno::NOENT) => continue,
                    Err(rustix::io::Errno::ISDIR) => {}
                    Err(error) => return Err(error.into()),
                }
                if fs::unlinkat(&sub.0, &child[..], AtFlags::REMOVEDIR).is_ok() {
                    continue;
                }
                loop {
                    let new_name = format!(".cale-removing-{moved}").into_bytes();
                    moved += 1;
                    match self.lift(&sub, &child, &new_name) {
                        Ok(()) => {
                            todo.push(new_name);
                            break;
                        }
                        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            drop(sub);
            fs::unlinkat(&self.0, &name[..], AtFlags::REMOVEDIR)?;
        }
        Ok(())
    }

    fn lift(&self, from: &Self, name: &[u8], new_name: &[u8]) -> io::Result<()> {
        Ok(fs::renameat_with(&from.0, name, &self.0, new_name, RenameFlags::NOREPLACE)?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolution_stays_beneath_the_directory() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(temp.path().join("root/in")).unwrap();
        std::fs::create_dir(temp.path().join("out")).unwrap();
        std::os::unix::fs::symlink("../../out", temp.path().join("root/in/up")).unwrap();
        std::os::unix::fs::symlink("/in", temp.path().join("root/abs")).unwrap();
        let root = Dir::open(&temp.path().join("root")).unwrap();
        assert!(root.resolve(b"in/up", Links::Refuse).is_err());
        assert!(root.resolve(b"../out", Links::Refuse).is_err());
        // Seen from the root, `..` of the root is the root, where there is no `out`.
        assert!(root.resolve(b"in/up", Links::InRoot).is_err());
        assert!(root.resolve(b"abs", Links::InRoot).is_ok());
    }

    #[test]
    fn a_deep_tree_is_removed() {
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut dir = Dir::open(temp.path()).unwrap();
        dir.make_dir(b"top", 0o700).unwrap();
        let base = dir.try_clone().unwrap();
        dir = dir.open_dir(b"top").unwrap();
        for _ in 0..3000 {
            dir.make_dir(b"d", 0o700).unwrap();
            dir.create_file(b"f", 0o600).unwrap();
            dir = dir.open_dir(b"d").unwrap();
        }
        drop(dir);
        base.remove_tree(b"top").unwrap();
        assert!(base.names().unwrap().is_empty());
    }
}

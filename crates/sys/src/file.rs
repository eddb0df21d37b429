//! Metadata of open files: owner, mode, times, extended attributes, locks.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{self, FlockOperation, Mode, Timestamps, XattrFlags};

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    Character,
    /// A block device.
    Block,
}

/// A point in time as a filesystem keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// The fields of stat(2) that Cale uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The entry's type.
    pub kind: FileKind,
    /// Permission bits with set-id and sticky (`07777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Space on disk in bytes (`st_blocks` × 512).
    pub disk_bytes: u64,
    /// Last change of the content.
    pub modified: Time,
    /// Device that holds the inode.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Number of names.
    pub links: u64,
    /// Major number, of a device node.
    pub major: u32,
    /// Minor number, of a device node.
    pub minor: u32,
}

impl Stat {
    /// Whether this is overlayfs's mark of a removed name: character device 0:0.
    pub fn is_whiteout(&self) -> bool {
        self.kind == FileKind::Character && self.major == 0 && self.minor == 0
    }
}

pub(crate) fn stat_from(s: &fs::Stat) -> Stat {
    let kind = match fs::FileType::from_raw_mode(s.st_mode) {
        fs::FileType::Directory => FileKind::Directory,
        fs::FileType::Symlink => FileKind::Symlink,
        fs::FileType::Fifo => FileKind::Fifo,
        fs::FileType::Socket => FileKind::Socket,
        fs::FileType::CharacterDevice => FileKind::Character,
        fs::FileType::BlockDevice => FileKind::Block,
        _ => FileKind::Regular,
    };
    Stat {
        kind,
        mode: s.st_mode & 0o7777,
        uid: s.st_uid,
        gid: s.st_gid,
        size: u64::try_from(s.st_size).unwrap_or(0),
        disk_bytes: u64::try_from(s.st_blocks).unwrap_or(0) * 512,
        modified: Time {
            seconds: s.st_mtime,
            nanoseconds: u32::try_from(s.st_mtime_nsec).unwrap_or(0),
        },
        device: s.st_dev,
        inode: s.st_ino,
        links: s.st_nlink,
        major: fs::major(s.st_rdev),
        minor: fs::minor(s.st_rdev),
    }
}

pub(crate) fn timestamps(time: Time) -> Timestamps {
    let stamp = fs::Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps { last_access: stamp, last_modification: stamp }
}

/// What `fd` is.
///
/// # Errors
/// As fstat(2).
pub fn stat(fd: impl AsFd) -> io::Result<Stat> {
    Ok(stat_from(&fs::fstat(fd)?))
}

/// Sets owner and group; clears set-id bits and file capabilities, so set those afterwards.
///
/// # Errors
/// As fchown(2).
pub fn set_owner(fd: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    Ok(fs::fchown(fd, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)))?)
}

/// Sets the permission bits (`07777`).
///
/// # Errors
/// As fchmod(2).
pub fn set_mode(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fs::fchmod(fd, Mode::from_raw_mode(mode))?)
}

/// Sets access and modification time.
///
/// # Errors
/// As futimens(3).
pub fn set_times(fd: impl AsFd, time: Time) -> io::Result<()> {
    Ok(fs::futimens(fd, &timestamps(time))?)
}

/// Sets one extended attribute.
///
/// # Errors
/// As fsetxattr(2): `EOPNOTSUPP` where the filesystem keeps none.
pub fn set_xattr(fd: impl AsFd, name: &[u8], value: &[u8]) -> io::Result<()> {
    Ok(fs::fsetxattr(fd, name, value, XattrFlags::empty())?)
}

/// Removes one extended attribute; absence is no error.
///
/// # Errors
/// As fremovexattr(2).
pub fn remove_xattr(fd: impl AsFd, name: &[u8]) -> io::Result<()> {
    match fs::fremovexattr(fd, name) {
        Ok(()) | Err(rustix::io::Errno::NODATA) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The value of one extended attribute, if it is set and the filesystem keeps such.
///
/// # Errors
/// As fgetxattr(2).
pub fn xattr(fd: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    // 64 KiB is the kernel's limit of a value (XATTR_SIZE_MAX); most are tiny.
    let mut small = [0u8; 256];
    match fs::fgetxattr(fd.as_fd(), name, &mut small) {
        Ok(length) => return Ok(Some(small[..length].to_vec())),
        Err(rustix::io::Errno::RANGE) => {}
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let mut large = vec![0u8; 65536];
    let length = fs::fgetxattr(fd, name, &mut large[..])?;
    large.truncate(length);
    Ok(Some(large))
}

/// The names of all extended attributes, sorted.
///
/// # Errors
/// As flistxattr(2).
pub fn xattr_names(fd: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut small = [0u8; 512];
    let list = match fs::flistxattr(fd.as_fd(), &mut small) {
        Ok(length) => small[..length].to_vec(),
        Err(rustix::io::Errno::RANGE) => {
            let mut large = vec![0u8; 65536];
            let length = fs::flistxattr(fd, &mut large[..])?;
            large.truncate(length);
            large
        }
        Err(rustix::io::Errno::OPNOTSUPP) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let mut names: Vec<Vec<u8>> =
        list.split(|&b| b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    names.sort_unstable();
    Ok(names)
}

/// Takes the exclusive flock(2) of an open file; false if another open file holds it.
///
/// # Errors
/// As flock(2).
pub fn try_lock(fd: impl AsFd) -> io::Result<bool> {
    match fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes the file's content durable.
///
/// # Errors
/// As fdatasync(2).
pub fn sync_data(fd: impl AsFd) -> io::Result<()> {
    Ok(fs::fdatasync(fd)?)
}

//! `tmpcopyup`: a new tmpfs starts with what the directory below it holds.
//!
//! Files, directories, links, with owner and mode; sockets, pipes and devices are left out. Buffers are on the stack.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Uid, chmodat, chownat, fchmod, fchown,
    fstat, mkdirat, openat, readlinkat_raw, statat, symlinkat,
};
use sys::Errno;

use super::child::Child;

/// Deepest directory that is copied; deeper is an error, not a silent loss.
const DEPTH_LIMIT: u32 = 64;

impl Child<'_> {
    pub(super) fn copy_up(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
        let from = open_dir(from, c".")?;
        let top = fstat(&from)?;
        copy_entries(&from, to, 0)?;
        let to = open_dir(to, c".")?;
        let (uid, gid) = owner(&top);
        fchown(&to, uid, gid)?;
        fchmod(&to, mode(&top))
    }
}

fn open_dir(at: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, name, flags, Mode::empty())
}

fn owner(stat: &Stat) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))
}

fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o7777)
}

fn copy_entries(from: &OwnedFd, to: BorrowedFd<'_>, depth: u32) -> Result<(), Errno> {
    if depth > DEPTH_LIMIT {
        return Err(Errno::NAMETOOLONG);
    }
    let mut space = [MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(from, &mut space);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let (uid, gid) = owner(&stat);
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                mkdirat(to, name, Mode::RWXU)?;
                let (inner, made) = (open_dir(from.as_fd(), name)?, open_dir(to, name)?);
                copy_entries(&inner, made.as_fd(), depth + 1)?;
                fchown(&made, uid, gid)?;
                fchmod(&made, mode(&stat))?;
            }
            FileType::RegularFile => copy_file(from, to, name, &stat)?,
            FileType::Symlink => {
                let mut space = [MaybeUninit::uninit(); 4096];
                let (content, rest) = readlinkat_raw(from, name, &mut space)?;
                rest.first_mut().ok_or(Errno::NAMETOOLONG)?.write(0);
                let len = content.len();
                let mut text = [0u8; 4096];
                text[..len].copy_from_slice(content);
                let content = CStr::from_bytes_until_nul(&text).map_err(|_| Errno::NAMETOOLONG)?;
                symlinkat(content, to, name)?;
                chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn copy_file(from: &OwnedFd, to: BorrowedFd<'_>, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = openat(from, name, flags, Mode::empty())?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let target = openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
    let mut buffer = [0u8; 8192];
    loop {
        let count = rustix::io::read(&source, &mut buffer)?;
        if count == 0 {
            break;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let written = rustix::io::write(&target, rest)?;
            rest = &rest[written..];
        }
    }
    let (uid, gid) = owner(stat);
    fchown(&target, uid, gid)?;
    chmodat(to, name, mode(stat), AtFlags::empty())
}

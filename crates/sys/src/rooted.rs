//! Paths inside a root that isn't ours: every lookup is `openat2(2)` with `RESOLVE_IN_ROOT`, so that neither `..` nor a
//! symbolic link leads out, and magic links (`/proc/PID/fd/N`) aren't followed.
//!
//! Nothing allocates: a forked child may call all of this. Paths are at most [`PATH_LIMIT`] bytes.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::check;

/// Longest path, with its end (`PATH_MAX`).
pub const PATH_LIMIT: usize = 4096;

const RESOLVE_NO_XDEV: u64 = 0x01;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;
const RESOLVE_IN_ROOT: u64 = 0x10;

fn openat2(
    at: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    // SAFETY: open_how is plain integers, zero is its default.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = mode.into();
    how.resolve = resolve;
    loop {
        // SAFETY: `how` and the string outlive the call.
        let result = check(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                at.as_raw_fd(),
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        });
        match result {
            // SAFETY: a new descriptor.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            // A rename elsewhere made the kernel unsure about `..`: ask again.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// `/proc/sys/…`-style paths come absolute; inside a root both spellings mean the same, and an empty one is the root.
fn inside(path: &CStr) -> &CStr {
    if path.is_empty() { c"." } else { path }
}

/// Opens `path` as seen from `root`, `flags` of open(2) (close-on-exec is added).
///
/// # Errors
/// As openat2(2).
pub fn open(root: impl AsFd, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    openat2(root.as_fd(), inside(path), flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
}

/// Opens `path` below `base` without following any link nor crossing any mount: for kernel file systems whose content
/// somebody else could have mounted over.
///
/// # Errors
/// As openat2(2); `EXDEV` for a mount on the way, `ELOOP` for a link.
pub fn open_strict(base: impl AsFd, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
    openat2(base.as_fd(), path, flags, 0, resolve)
}

/// Bytes of a path with room for its end, on the stack.
struct Buffer {
    bytes: [u8; PATH_LIMIT],
    len: usize,
}

impl Buffer {
    fn new() -> Buffer {
        Buffer { bytes: [0; PATH_LIMIT], len: 0 }
    }

    fn push(&mut self, part: &[u8]) -> Result<(), Errno> {
        let end = self.len + part.len() + 1;
        if end >= PATH_LIMIT {
            return Err(Errno::NAMETOOLONG);
        }
        self.bytes[self.len] = b'/';
        self.bytes[self.len + 1..end].copy_from_slice(part);
        self.bytes[end] = 0;
        self.len = end;
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.len = len;
        self.bytes[len] = 0;
    }

    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

fn c_str<'a>(buffer: &'a mut [u8; 256], name: &[u8]) -> Result<&'a CStr, Errno> {
    let place = buffer.get_mut(..=name.len()).ok_or(Errno::NAMETOOLONG)?;
    place[..name.len()].copy_from_slice(name);
    place[name.len()] = 0;
    CStr::from_bytes_until_nul(place).map_err(|_| Errno::INVAL)
}

/// Opens the directory `path` (`O_PATH`), making it and its parents with `mode` where they are missing.
///
/// A link to nothing is followed as seen from the root, and its target made.
///
/// # Errors
/// `ENOTDIR` for a file on the way, `ELOOP` for too many dangling links, what mkdirat(2) says.
pub fn make_dirs(root: impl AsFd, path: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    make_dirs_at(root.as_fd(), path.to_bytes(), mode, 0)
}

fn make_dirs_at(
    root: BorrowedFd<'_>,
    path: &[u8],
    mode: u32,
    depth: u32,
) -> Result<OwnedFd, Errno> {
    if depth > 8 {
        return Err(Errno::LOOP);
    }
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let mut so_far = Buffer::new();
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        so_far.push(part)?;
    }
    // Most of the time it is there.
    match open(root, so_far.as_c_str(), flags) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    so_far.truncate(0);
    let mut parent = open(root, c".", flags)?;
    for part in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        so_far.push(part)?;
        parent = match open(root, so_far.as_c_str(), flags) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => make_one(root, &parent, &so_far, part, mode, depth)?,
            Err(errno) => return Err(errno),
        };
    }
    Ok(parent)
}

fn make_one(
    root: BorrowedFd<'_>,
    parent: &OwnedFd,
    so_far: &Buffer,
    name: &[u8],
    mode: u32,
    depth: u32,
) -> Result<OwnedFd, Errno> {
    let mut space = [0; 256];
    let name = c_str(&mut space, name)?;
    match rustix::fs::mkdirat(parent, name, rustix::fs::Mode::from_raw_mode(mode)) {
        Ok(()) => {
            let fd = rustix::fs::openat(parent, name, path_only(), rustix::fs::Mode::empty())?;
            return Ok(fd);
        }
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    match open(root, so_far.as_c_str(), libc::O_PATH | libc::O_DIRECTORY) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    // A link whose target is missing.
    let mut target = [std::mem::MaybeUninit::uninit(); PATH_LIMIT];
    let (target, _) = rustix::fs::readlinkat_raw(parent, name, &mut target)?;
    if target.first() == Some(&b'/') {
        return make_dirs_at(root, target, mode, depth + 1);
    }
    let mut joined = Buffer::new();
    let bytes = so_far.as_c_str().to_bytes();
    let up = bytes.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    for part in bytes[..up].split(|b| *b == b'/').filter(|part| !part.is_empty()) {
        joined.push(part)?;
    }
    joined.push(target)?;
    make_dirs_at(root, joined.as_c_str().to_bytes(), mode, depth + 1)
}

fn path_only() -> rustix::fs::OFlags {
    use rustix::fs::OFlags;
    OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

/// Splits a path into its parent and last name; none for the root or a path that ends in `..`.
pub fn split(path: &CStr) -> Option<(&[u8], &[u8])> {
    let mut bytes = path.to_bytes();
    while let Some(shorter) = bytes.strip_suffix(b"/") {
        bytes = shorter;
    }
    let cut = bytes.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = match cut {
        Some(cut) => (&bytes[..cut], &bytes[cut + 1..]),
        None => (&bytes[..0], bytes),
    };
    (!name.is_empty() && name != b"." && name != b"..").then_some((parent, name))
}

/// Opens the parent directory of `path`, made with mode 0755 where missing, and calls `act` with it and the last name.
///
/// # Errors
/// `EINVAL` when the path has no last name; what `act` says.
pub fn in_parent<T>(
    root: impl AsFd,
    path: &CStr,
    act: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let (parent, name) = split(path).ok_or(Errno::INVAL)?;
    let parent = make_dirs_at(root.as_fd(), parent, 0o755, 0)?;
    let mut space = [0; 256];
    act(parent.as_fd(), c_str(&mut space, name)?)
}

/// Opens the file `path` (`O_PATH`), making an empty one with `mode` where nothing is.
///
/// # Errors
/// `ELOOP` for a dangling link: what it points to isn't made.
pub fn make_file(root: impl AsFd, path: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    use rustix::fs::{Mode, OFlags};
    match open(&root, path, libc::O_PATH) {
        Err(Errno::NOENT) => {}
        found => return found,
    }
    in_parent(&root, path, |parent, name| {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(mode)) {
            Ok(_) => Ok(()),
            Err(Errno::EXIST) => Err(Errno::LOOP),
            Err(errno) => Err(errno),
        }
    })?;
    open(&root, path, libc::O_PATH | libc::O_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("makes a directory");
        let path = CString::new(dir.path().to_str().expect("utf-8")).expect("no nul");
        let here = rustix::fs::CWD;
        let fd = rustix::fs::openat(here, path.as_c_str(), path_only(), rustix::fs::Mode::empty());
        (dir, fd.expect("opens"))
    }

    #[test]
    fn links_stay_inside() {
        let (dir, fd) = root();
        std::fs::create_dir(dir.path().join("etc")).expect("makes");
        std::fs::write(dir.path().join("etc/passwd"), "inside").expect("writes");
        symlink("/etc/passwd", dir.path().join("abs")).expect("links");
        symlink("../../../../etc/passwd", dir.path().join("rel")).expect("links");
        for name in [c"abs", c"rel", c"/../etc/passwd"] {
            let file = open(&fd, name, libc::O_RDONLY).expect("opens");
            let mut text = [0; 16];
            let count = rustix::io::read(&file, &mut text).expect("reads");
            assert_eq!(&text[..count], b"inside");
        }
    }

    #[test]
    fn directories_are_made_through_dangling_links() {
        let (dir, fd) = root();
        std::fs::create_dir(dir.path().join("var")).expect("makes");
        symlink("/run", dir.path().join("var/run")).expect("links");
        symlink("lib2", dir.path().join("lib")).expect("links");
        make_dirs(&fd, c"/var/run/a/b", 0o755).expect("makes");
        make_dirs(&fd, c"lib/x/", 0o755).expect("makes");
        assert!(dir.path().join("run/a/b").is_dir());
        assert!(dir.path().join("lib2/x").is_dir());
        symlink("loop2", dir.path().join("loop1")).expect("links");
        symlink("loop1", dir.path().join("loop2")).expect("links");
        assert_eq!(make_dirs(&fd, c"loop1/x", 0o755).expect_err("loops"), Errno::LOOP);
    }

    #[test]
    fn files_are_made_but_not_through_links() {
        let (dir, fd) = root();
        make_file(&fd, c"/a/b/c", 0o755).expect("makes");
        assert!(dir.path().join("a/b/c").is_file());
        symlink("/tmp/never", dir.path().join("evil")).expect("links");
        assert_eq!(make_file(&fd, c"/evil", 0o644).expect_err("refuses"), Errno::LOOP);
    }

    #[test]
    fn the_last_name() {
        assert_eq!(split(c"/a/b/"), Some((&b"/a"[..], &b"b"[..])));
        assert_eq!(split(c"x"), Some((&b""[..], &b"x"[..])));
        assert_eq!(split(c"/"), None);
        assert_eq!(split(c"/a/.."), None);
    }
}

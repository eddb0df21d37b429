//! The mount API: `fsopen(2)` and its family, `mount_setattr(2)`, `pivot_root(2)`, and the few uses left of `mount(2)`.
//!
//! Descriptors in, descriptors out; nothing allocates. Flags are the kernel's numbers, constants below where they are
//! needed by callers.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use crate::raw::check;

/// `MOUNT_ATTR_…` of mount_setattr(2).
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// No set-user-id.
    pub const NOSUID: u64 = 0x2;
    /// No devices.
    pub const NODEV: u64 = 0x4;
    /// No execution.
    pub const NOEXEC: u64 = 0x8;
    /// All access time bits.
    pub const ATIME: u64 = 0x70;
    /// No access times.
    pub const NOATIME: u64 = 0x10;
    /// Every access time.
    pub const STRICTATIME: u64 = 0x20;
    /// No access times of directories.
    pub const NODIRATIME: u64 = 0x80;
    /// Id mapping by a user namespace.
    pub const IDMAP: u64 = 0x10_0000;
    /// Symbolic links aren't followed.
    pub const NOSYMFOLLOW: u64 = 0x20_0000;
}

const AT_RECURSIVE: u32 = 0x8000;
const OPEN_TREE_CLONE: u32 = 1;
const CLOEXEC: u32 = libc::O_CLOEXEC as u32;

fn owned(result: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = check(result)?;
    // SAFETY: the callers pass results of calls that make a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens a file system context.
///
/// # Errors
/// `ENODEV` for an unknown type.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), 1) })
}

fn fsconfig(
    fs: BorrowedFd<'_>,
    command: u32,
    key: *const i8,
    value: *const i8,
    aux: i32,
) -> Result<(), Errno> {
    // SAFETY: the callers pass null or C strings that outlive the call.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), command, key, value, aux) })?;
    Ok(())
}

/// Sets a parameter with a value (at most 255 bytes).
///
/// # Errors
/// `EINVAL` for a parameter the file system doesn't take.
pub fn set_string(fs: impl AsFd, key: &CStr, value: &CStr) -> Result<(), Errno> {
    fsconfig(fs.as_fd(), 1, key.as_ptr(), value.as_ptr(), 0)
}

/// Sets a flag.
///
/// # Errors
/// `EINVAL` for a flag the file system doesn't take.
pub fn set_flag(fs: impl AsFd, key: &CStr) -> Result<(), Errno> {
    fsconfig(fs.as_fd(), 0, key.as_ptr(), std::ptr::null(), 0)
}

/// Makes the superblock.
///
/// # Errors
/// The file system's own.
pub fn create(fs: impl AsFd) -> Result<(), Errno> {
    fsconfig(fs.as_fd(), 6, std::ptr::null(), std::ptr::null(), 0)
}

/// A detached mount of a context that was created.
///
/// # Errors
/// As fsmount(2).
pub fn fsmount(fs: impl AsFd, attributes: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: plain integers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fs.as_fd().as_raw_fd(), 1, attributes as u32) })
}

/// A detached copy of the mount at `path` below `at`; an empty path is `at` itself.
///
/// # Errors
/// As open_tree(2).
pub fn clone_tree(at: BorrowedFd<'_>, path: &CStr, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OPEN_TREE_CLONE | CLOEXEC;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    if path.is_empty() {
        flags |= libc::AT_EMPTY_PATH as u32;
    }
    // SAFETY: a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, at.as_raw_fd(), path.as_ptr(), flags) })
}

/// Attaches a detached mount on what `target` refers to.
///
/// # Errors
/// As move_mount(2); `EINVAL` when `target` is in another mount namespace.
pub fn attach(tree: impl AsFd, target: impl AsFd) -> Result<(), Errno> {
    // F_EMPTY_PATH | T_EMPTY_PATH
    // SAFETY: constant C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            0x04 | 0x40,
        )
    })?;
    Ok(())
}

/// Changes attributes of the mount that `mount` is the root of (or lies in).
///
/// # Errors
/// As mount_setattr(2); `EINVAL` when `mount` isn't the root of its mount.
pub fn set_attributes(
    mount: impl AsFd,
    set: u64,
    clear: u64,
    propagation: u64,
    recursive: bool,
) -> Result<(), Errno> {
    set_attributes_at(mount.as_fd(), set, clear, propagation, 0, recursive)
}

/// Maps the ids of a detached mount by a user namespace.
///
/// # Errors
/// `EINVAL` when the file system can't, `EPERM` without privilege over it.
pub fn set_idmap(mount: impl AsFd, user_ns: impl AsFd, recursive: bool) -> Result<(), Errno> {
    let ns = user_ns.as_fd().as_raw_fd() as u64;
    set_attributes_at(mount.as_fd(), attr::IDMAP, 0, 0, ns, recursive)
}

fn set_attributes_at(
    fd: BorrowedFd<'_>,
    set: u64,
    clear: u64,
    propagation: u64,
    user_ns: u64,
    recursive: bool,
) -> Result<(), Errno> {
    let args = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: user_ns };
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `args` and the constant string outlive the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const args,
            size_of::<libc::mount_attr>(),
        )
    })?;
    Ok(())
}

/// `mount(2)` on a path, for what the new calls can't do (old kernels' overlay, propagation of `/`, moving a root).
///
/// # Errors
/// As mount(2).
pub fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: u64,
    data: &CStr,
) -> Result<(), Errno> {
    // SAFETY: C strings that outlive the call.
    let result = unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, data.as_ptr().cast())
    };
    check(result.into())?;
    Ok(())
}

/// Detaches the mount at `path` lazily.
///
/// # Errors
/// As umount2(2).
pub fn detach(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string that outlives the call.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }.into())?;
    Ok(())
}

/// `pivot_root(".", ".")`: the present directory becomes the root, the old root lies over it.
///
/// # Errors
/// As pivot_root(2).
pub fn pivot_here() -> Result<(), Errno> {
    // SAFETY: constant C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    Ok(())
}

/// Type of the file system that `fd` is on (`…_SUPER_MAGIC` of statfs(2)).
///
/// # Errors
/// As fstatfs(2).
pub fn filesystem(fd: impl AsFd) -> Result<u64, Errno> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as u64)
}

/// Whether the mount that `fd` is on is read-only.
///
/// # Errors
/// As fstatvfs(3).
pub fn is_read_only(fd: impl AsFd) -> Result<bool, Errno> {
    Ok(rustix::fs::fstatvfs(fd)?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

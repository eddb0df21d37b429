//! Files that live in memory only: memfd_create(2).

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;

/// An empty, anonymous, close-on-exec file; `name` shows in /proc only.
///
/// # Errors
/// memfd_create(2).
pub fn file(name: &CStr) -> io::Result<OwnedFd> {
    Ok(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?)
}

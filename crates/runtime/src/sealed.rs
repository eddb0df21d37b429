//! Running from a program file that nobody can write to, not even root of a container that finds it as
//! `/proc/PID/exe` (CVE-2019-5736).
//!
//! The program executes itself again from a detached, read-only mount of its own file: every later open of that link for
//! writing meets the read-only mount, which belongs to no namespace that a container could remount it in. It costs one
//! exec; a copy in memory would cost reading the whole file.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use sys::mount::{self, attr};
use sys::process::StringArray;

/// Sealing failed.
#[derive(Debug, thiserror::Error)]
#[error("run from a read-only mount of the own program: {action}")]
pub struct SealError {
    action: &'static str,
    source: std::io::Error,
}

/// Executes the program again unless it already runs from where it can't be written. Returns only then, or when the
/// process has no right to mount (then neither has its containers' root any over the host's files).
///
/// # Errors
/// What the kernel refuses.
pub fn ensure() -> Result<(), SealError> {
    let failed = |action| move |errno: sys::Errno| SealError { action, source: errno.into() };
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let own = openat(CWD, c"/proc/self/exe", flags, Mode::empty())
        .map_err(failed("open /proc/self/exe"))?;
    if mount::is_read_only(&own).map_err(failed("look at the mount"))? {
        return Ok(());
    }
    let tree = match mount::clone_tree(CWD, c"/proc/self/exe", false) {
        Err(sys::Errno::PERM) => return Ok(()),
        result => result.map_err(failed("clone the mount"))?,
    };
    mount::set_attributes(&tree, attr::RDONLY, 0, 0, false).map_err(failed("make it read-only"))?;
    let strings = |iter: &mut dyn Iterator<Item = Vec<u8>>| {
        iter.filter_map(|bytes| CString::new(bytes).ok()).collect::<Vec<_>>()
    };
    let argv = strings(&mut std::env::args_os().map(OsStringExt::into_vec));
    let env = strings(&mut std::env::vars_os().map(|(name, value)| {
        let mut bytes = name.into_vec();
        bytes.push(b'=');
        bytes.extend(value.into_vec());
        bytes
    }));
    let errno =
        sys::process::execute_fd(&tree, &StringArray::new(&argv, 1), &StringArray::new(&env, 1));
    Err(failed("execute")(errno))
}

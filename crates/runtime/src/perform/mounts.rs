//! Mounts below the root: made detached, restricted, and only then attached on a target that was found inside the root.
//!
//! Between finding and attaching the target is held by descriptor, so a swapped link doesn't matter (attacks A7, A8 of
//! the threat list: CVE-2021-30465, CVE-2024-45310).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use sys::Errno;
use sys::mount::{self, attr};
use sys::rooted;

use super::child::{About, Child, Failure};
use super::error::Detail;
use crate::plan::{BindMount, BindSource, MountAttr, NewMount};

const PROC_SUPER_MAGIC: u64 = 0x9fa0;
const O_PATH: i32 = 0o10_000_000;
const O_NOFOLLOW: i32 = 0o400_000;

impl Child<'_> {
    pub(super) fn mount(&mut self, new: &NewMount) -> Result<(), Failure> {
        let root = self.root()?;
        let tree = make(new)?;
        let target = rooted::make_dirs(root, &new.target, 0o755).about(Detail::Target)?;
        refuse_links(root, &new.target)?;
        refuse_proc(target.as_fd(), &new.target)?;
        if new.copy_up {
            self.copy_up(target.as_fd(), tree.as_fd()).about(Detail::CopyUp)?;
        }
        restrict(tree.as_fd(), &new.attr)?;
        mount::attach(&tree, &target).about(Detail::Attach)?;
        Ok(())
    }

    pub(super) fn bind(&mut self, bind: &BindMount) -> Result<(), Failure> {
        let root = self.root()?;
        let made;
        let tree: BorrowedFd<'_> = match &bind.source {
            BindSource::Tree(index) => {
                self.trees.get(usize::from(*index)).map(AsFd::as_fd).ok_or(Errno::BADF)?
            }
            BindSource::Path(path) => {
                match mount::clone_tree(rustix::fs::CWD, path, bind.recursive) {
                    Err(Errno::NOENT) if bind.optional => return Ok(()),
                    result => made = result.about(Detail::Source)?,
                }
                made.as_fd()
            }
            BindSource::Inside(path) => {
                let place = match rooted::open(root, path, O_PATH) {
                    Err(Errno::NOENT) if bind.optional => return Ok(()),
                    result => result.about(Detail::Source)?,
                };
                made =
                    mount::clone_tree(place.as_fd(), c"", bind.recursive).about(Detail::Source)?;
                made.as_fd()
            }
        };
        let stat = rustix::fs::fstat(tree)?;
        let is_dir = stat.st_mode & 0o170_000 == 0o040_000;
        let target = if is_dir {
            rooted::make_dirs(root, &bind.target, 0o755)
        } else {
            rooted::make_file(root, &bind.target, 0o755)
        };
        let target = target.about(Detail::Target)?;
        // A bind of procfs itself is how a host's pid namespace is shown.
        if mount::filesystem(tree)? != PROC_SUPER_MAGIC {
            refuse_proc(target.as_fd(), &bind.target)?;
        }
        restrict(tree, &bind.attr)?;
        mount::attach(tree, &target).about(Detail::Attach)?;
        Ok(())
    }

    pub(super) fn remount(&mut self, path: &CStr, change: &MountAttr) -> Result<(), Failure> {
        let place = rooted::open(self.root()?, path, O_PATH).about(Detail::Target)?;
        restrict(place.as_fd(), change)
    }
}

/// A new file system, detached.
fn make(new: &NewMount) -> Result<OwnedFd, Failure> {
    let fs = mount::fsopen(&new.kind).about(Detail::FsType)?;
    if !new.source.is_empty() {
        mount::set_string(&fs, c"source", &new.source).about(Detail::FsOption)?;
    }
    for param in &new.params {
        let result = match &param.value {
            Some(value) => mount::set_string(&fs, &param.key, value),
            None => mount::set_flag(&fs, &param.key),
        };
        result.about(Detail::FsOption)?;
    }
    mount::create(&fs).about(Detail::FsCreate)?;
    Ok(mount::fsmount(&fs, 0)?)
}

/// Applies attributes to a tree that nobody sees yet.
pub(super) fn restrict(tree: BorrowedFd<'_>, change: &MountAttr) -> Result<(), Failure> {
    const MS_REC: u64 = 0x4000;
    let apply = |set, clear, propagation, recursive| {
        match mount::set_attributes(tree, set, clear, propagation, recursive) {
            // Flags that the host locked can't be lifted in a user namespace: they stay, which is the safe side.
            Err(Errno::PERM) if clear & !attr::ATIME != 0 => {
                mount::set_attributes(tree, set, clear & attr::ATIME, propagation, recursive)
            }
            result => result,
        }
    };
    // An access time mode replaces the others: the kernel wants the whole field cleared with it.
    let clear_for = |set: u64, clear: u64| {
        if (set | clear) & attr::ATIME != 0 { clear | attr::ATIME } else { clear }
    };
    if change.set | change.clear != 0 {
        apply(change.set, clear_for(change.set, change.clear), 0, false)
            .about(Detail::Attributes)?;
    }
    if change.set_recursive | change.clear_recursive != 0 {
        let clear = clear_for(change.set_recursive, change.clear_recursive);
        apply(change.set_recursive, clear, 0, true).about(Detail::Attributes)?;
    }
    if change.propagation != 0 {
        let recursive = change.propagation & MS_REC != 0;
        apply(0, 0, change.propagation & !MS_REC, recursive).about(Detail::Propagation)?;
    }
    Ok(())
}

/// `/proc`, `/sys` and what is below `/dev` must be where they are named: a link there would put the engine's own mounts
/// elsewhere (CVE-2019-19921, CVE-2026-41579).
fn refuse_links(root: BorrowedFd<'_>, target: &CStr) -> Result<(), Failure> {
    let bytes = target.to_bytes();
    let sensitive = [&b"/proc"[..], b"/sys", b"/dev"].iter().any(|path| {
        bytes.strip_prefix(*path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    });
    if sensitive {
        let relative = CStr::from_bytes_with_nul(&target.to_bytes_with_nul()[1..])
            .map_err(|_| Errno::INVAL)?;
        open_without_links(root, relative).about(Detail::LinkedTarget)?;
    }
    Ok(())
}

/// Component by component without following links, mounts allowed.
fn open_without_links(root: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let end = path.to_bytes().len();
    let mut prefix = [0u8; rooted::PATH_LIMIT];
    prefix.get_mut(..end).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(path.to_bytes());
    for at in 1..=end {
        if at < end && prefix[at] != b'/' {
            continue;
        }
        let saved = prefix[at];
        prefix[at] = 0;
        let part = CStr::from_bytes_until_nul(&prefix).map_err(|_| Errno::INVAL)?;
        let fd = rooted::open(root, part, O_PATH | O_NOFOLLOW)?;
        if rustix::fs::fstat(&fd)?.st_mode & 0o170_000 == 0o120_000 {
            return Err(Errno::LOOP);
        }
        prefix[at] = saved;
    }
    Ok(())
}

/// Nothing may be mounted inside the container's procfs but on the files that the plan let through by name: a target
/// that only *resolves* there came by a link.
fn refuse_proc(target: BorrowedFd<'_>, path: &CStr) -> Result<(), Failure> {
    let named = path.to_bytes().starts_with(b"/proc");
    if !named && mount::filesystem(target)? == PROC_SUPER_MAGIC {
        return Err(Failure { errno: Errno::PERM, detail: Detail::InsideProc });
    }
    Ok(())
}

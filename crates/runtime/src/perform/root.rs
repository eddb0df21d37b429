//! The root file system: mounted in the child's mount namespace, so that the host sees no mount; entered at the end.
//!
//! It is attached over `/` of the child's namespace, which needs no mount point of its own; pivoting then drops the
//! host's tree below it.

use std::ffi::CStr;

use sys::Errno;
use sys::mount;

use super::child::{About, Child, Failure};
use super::error::Detail;
use crate::plan::{Overlay, RootSource};

const MS_REC: u64 = 0x4000;
const MS_SHARED: u64 = 1 << 20;
const MS_SLAVE: u64 = 1 << 19;
const MS_MOVE: u64 = 0x2000;

impl Child<'_> {
    pub(super) fn mount_root(
        &mut self,
        source: &RootSource,
        host: u64,
        root: u64,
    ) -> Result<(), Failure> {
        let here = rustix::fs::CWD;
        let tree = match source {
            // Cloned before the host's tree becomes a slave, so that a shared root stays shared.
            RootSource::Path(path) => {
                let tree = mount::clone_tree(here, path, true).about(Detail::RootSource)?;
                if root == 0 {
                    mount::set_attributes(&tree, 0, 0, MS_SLAVE, true)?;
                }
                Some(tree)
            }
            RootSource::Overlay(overlay) => match new_overlay(overlay) {
                Err(Errno::INVAL) => None,
                result => Some(result.about(Detail::Overlay)?),
            },
        };
        mount::mount(c"", c"/", c"", host, c"").about(Detail::Propagation)?;
        let tree = match tree {
            Some(tree) => {
                mount::attach(&tree, &slash()?).about(Detail::AttachRoot)?;
                tree
            }
            // Kernels before 6.5 don't know `lowerdir+`.
            None => {
                let (flags, data) = (0, self.overlay_data);
                mount::mount(c"overlay", c"/", c"overlay", flags, data).about(Detail::Overlay)?;
                over_slash()?
            }
        };
        if root != 0 {
            // A shared root was cloned as a peer of the host's; anything else applies to the copy alone.
            let recursive = root & MS_REC != 0;
            if root & MS_SHARED == 0 {
                mount::set_attributes(&tree, 0, 0, root & !MS_REC, recursive)
                    .about(Detail::Propagation)?;
            }
        }
        self.root = Some(tree);
        Ok(())
    }

    pub(super) fn use_root(&mut self) -> Result<(), Failure> {
        self.root = Some(slash()?);
        Ok(())
    }

    pub(super) fn pivot(&mut self) -> Result<(), Failure> {
        rustix::process::fchdir(self.root()?)?;
        mount::pivot_here().about(Detail::Pivot)?;
        // The old root lies over the new one now; its unmounts must not travel to the host.
        mount::mount(c"", c".", c"", MS_SLAVE | MS_REC, c"").about(Detail::Propagation)?;
        mount::detach(c".").about(Detail::Detach)?;
        rustix::process::chdir(c"/")?;
        Ok(())
    }

    pub(super) fn move_root(&mut self) -> Result<(), Failure> {
        rustix::process::fchdir(self.root()?)?;
        mount::mount(c".", c"/", c"", MS_MOVE, c"").or_else(|errno| match errno {
            // It lies over `/` already.
            Errno::INVAL | Errno::BUSY => Ok(()),
            errno => Err(errno),
        })?;
        sys::process::change_root(c".")?;
        rustix::process::chdir(c"/")?;
        Ok(())
    }

    pub(super) fn chroot(&mut self, path: &CStr) -> Result<(), Failure> {
        sys::process::change_root(path).about(Detail::RootSource)?;
        rustix::process::chdir(c"/")?;
        self.root = Some(slash()?);
        Ok(())
    }
}

fn directory() -> rustix::fs::OFlags {
    use rustix::fs::OFlags;
    OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn slash() -> Result<std::os::fd::OwnedFd, Errno> {
    rustix::fs::openat(rustix::fs::CWD, c"/", directory(), rustix::fs::Mode::empty())
}

/// What is mounted over the root directory: `..` of a root is the top mount there.
fn over_slash() -> Result<std::os::fd::OwnedFd, Errno> {
    rustix::fs::openat(rustix::fs::CWD, c"/..", directory(), rustix::fs::Mode::empty())
}

fn new_overlay(overlay: &Overlay) -> Result<std::os::fd::OwnedFd, Errno> {
    let fs = mount::fsopen(c"overlay")?;
    mount::set_string(&fs, c"source", c"overlay")?;
    for lower in &overlay.lowers {
        mount::set_string(&fs, c"lowerdir+", lower)?;
    }
    if let (Some(upper), Some(work)) = (&overlay.upper, &overlay.work) {
        mount::set_string(&fs, c"upperdir", upper)?;
        mount::set_string(&fs, c"workdir", work)?;
        if overlay.volatile {
            mount::set_flag(&fs, c"volatile")?;
        }
    }
    for (key, value) in &overlay.options {
        if value.is_empty() {
            mount::set_flag(&fs, key)?;
        } else {
            mount::set_string(&fs, key, value)?;
        }
    }
    mount::create(&fs)?;
    mount::fsmount(&fs, if overlay.upper.is_none() { mount::attr::RDONLY } else { 0 })
}

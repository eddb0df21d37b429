//! Masked and read-only paths.
//!
//! A path is held by descriptor from lookup to attach, and one that is missing costs a lookup only: closing an unused
//! clone of a mount costs an unmount.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, fstat};
use sys::mount::{self, attr};
use sys::{Errno, rooted};

use super::child::{About, Child, Failure};
use super::error::Detail;
use super::mounts::restrict;
use crate::plan::MountAttr;

const O_PATH: i32 = 0o10_000_000;

impl Child<'_> {
    pub(super) fn readonly(&mut self, paths: &[CString]) -> Result<(), Failure> {
        for path in paths {
            let Some(place) = self.find(path)? else { continue };
            let tree = mount::clone_tree(place.as_fd(), c"", true).about(Detail::Source)?;
            let change = MountAttr { set_recursive: attr::RDONLY, ..MountAttr::default() };
            restrict(tree.as_fd(), &change)?;
            mount::attach(&tree, &place).about(Detail::Attach)?;
        }
        Ok(())
    }

    pub(super) fn mask(&mut self, paths: &[CString]) -> Result<(), Failure> {
        for path in paths {
            let Some(place) = self.find(path)? else { continue };
            let kind = FileType::from_raw_mode(fstat(&place)?.st_mode);
            let cover = if kind == FileType::Directory {
                self.empty_directory()?
            } else {
                self.null_device()?
            };
            mount::attach(&cover, &place).about(Detail::Attach)?;
        }
        Ok(())
    }

    fn find(&self, path: &CStr) -> Result<Option<OwnedFd>, Failure> {
        match rooted::open(self.root()?, path, O_PATH) {
            Ok(place) => Ok(Some(place)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno).about(Detail::Target),
        }
    }

    /// One read-only tmpfs stands behind all masked directories.
    fn empty_directory(&mut self) -> Result<OwnedFd, Failure> {
        if let Some(empty) = &self.empty {
            return mount::clone_tree(empty.as_fd(), c"", false).about(Detail::Source);
        }
        let fs = mount::fsopen(c"tmpfs").about(Detail::FsType)?;
        mount::set_string(&fs, c"source", c"tmpfs")?;
        mount::set_string(&fs, c"mode", c"755")?;
        mount::set_string(&fs, c"nr_inodes", c"1")?;
        mount::create(&fs).about(Detail::FsCreate)?;
        let all = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC;
        let first = mount::fsmount(&fs, all)?;
        // Kept attached as the model: a detached tree can't be cloned on older kernels.
        self.empty = Some(rustix::io::fcntl_dupfd_cloexec(&first, 3)?);
        Ok(first)
    }

    /// The container's `/dev/null`, or the host's, but only if it is the null device (CVE-2025-31133).
    fn null_device(&self) -> Result<OwnedFd, Failure> {
        let place = rooted::open(self.root()?, c"/dev/null", O_PATH).about(Detail::NullDevice)?;
        check_null(place.as_fd()).about(Detail::NullDevice)?;
        mount::clone_tree(place.as_fd(), c"", false).about(Detail::NullDevice)
    }
}

fn check_null(place: BorrowedFd<'_>) -> Result<(), Errno> {
    let stat = fstat(place)?;
    let is_null = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3);
    if is_null { Ok(()) } else { Err(Errno::NODEV) }
}

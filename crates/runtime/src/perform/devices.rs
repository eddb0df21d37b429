//! Device nodes and links of `/dev`, made by descriptor of the parent directory.

use std::ffi::CStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, makedev, mknodat, statat};
use sys::Errno;
use sys::{mount, rooted};

use super::child::{About, Child, Failure};
use super::error::Detail;
use crate::plan::DeviceNode;

impl Child<'_> {
    pub(super) fn device(&mut self, node: &DeviceNode) -> Result<(), Failure> {
        let root = self.root()?;
        if node.bind {
            return self.bind_device(node);
        }
        let made = rooted::in_parent(root, &node.path, |parent, name| {
            let kind = FileType::from_raw_mode(node.mode);
            let mode = Mode::from_raw_mode(node.mode & 0o7777);
            let dev = makedev(node.major, node.minor);
            match mknodat(parent, name, kind, mode, dev) {
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    let there = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    let same = FileType::from_raw_mode(there.st_mode) == kind;
                    if !same || there.st_rdev != dev {
                        return Err(Errno::EXIST);
                    }
                }
                Err(errno) => return Err(errno),
            }
            if node.uid != 0 || node.gid != 0 {
                let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
                chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            Ok(())
        });
        match made {
            // A user namespace that nobody announced (rootless in a container): take the host's.
            Err(Errno::PERM) => self.bind_device(node),
            result => result.about(Detail::Node),
        }
    }

    fn bind_device(&mut self, node: &DeviceNode) -> Result<(), Failure> {
        let tree = mount::clone_tree(rustix::fs::CWD, &node.path, false).about(Detail::Source)?;
        let target = rooted::make_file(self.root()?, &node.path, 0o644).about(Detail::Target)?;
        mount::attach(&tree, target.as_fd()).about(Detail::Attach)?;
        Ok(())
    }

    pub(super) fn symlink(&mut self, content: &CStr, path: &CStr) -> Result<(), Failure> {
        let root = self.root()?;
        let made = rooted::in_parent(root, path, |parent, name| {
            rustix::fs::symlinkat(content, parent, name)
        });
        match made {
            Err(Errno::EXIST) => Ok(()),
            result => result.about(Detail::Node),
        }
    }
}

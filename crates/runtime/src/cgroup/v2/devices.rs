//! Device rules on v2: a program attached to the group.

use std::fs::File;
use std::os::fd::AsFd;

use crate::spec::LinuxDeviceCgroup;

use super::super::device_rules::rules;
use super::super::{CgroupError, Result};
use super::V2;
use super::program::device_program;

impl V2 {
    /// Loads the program and puts it in place of an earlier one. At no moment are there
    /// fewer rules than before or after: a single program is replaced at once, and
    /// several are joined before they go (every one must agree).
    pub(super) fn apply_devices(&self, list: &[LinuxDeviceCgroup]) -> Result<()> {
        if list.is_empty() {
            return Ok(());
        }
        let code = device_program(&rules(list)?);
        let path = self.dir.path();
        let failed = |action| {
            let path = path.to_owned();
            move |errno: sys::Errno| CgroupError::DeviceProgram {
                action,
                path,
                source: errno.into(),
            }
        };
        let group = File::open(path)
            .map_err(|source| CgroupError::Read { path: path.to_owned(), source })?;
        let program = sys::bpf::load_device_program(&code).map_err(failed("load"))?;
        let old = sys::bpf::device_programs(group.as_fd()).map_err(failed("look up"))?;
        let single = match old.as_slice() {
            [single] => Some(single.as_fd()),
            _ => None,
        };
        sys::bpf::attach_device_program(group.as_fd(), program.as_fd(), single)
            .map_err(failed("attach"))?;
        if single.is_none() {
            for program in &old {
                sys::bpf::detach_device_program(group.as_fd(), program.as_fd())
                    .map_err(failed("detach"))?;
            }
        }
        Ok(())
    }
}

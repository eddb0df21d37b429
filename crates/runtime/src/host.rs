//! What the host offers to plans: read from the running system, once per process of the engine.

use std::path::Path;

use crate::cgroup::{CgroupError, GroupPath, Hierarchies};
use crate::plan::{CgroupView, HostFacts, LegacyHierarchy};

impl HostFacts {
    /// Looks at the kernel and at the rights of the calling process. What can't be read isn't there.
    pub fn detect() -> HostFacts {
        let lsm = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let has = |name: &str| lsm.trim().split(',').any(|known| known == name);
        let permitted = sys::credentials::capabilities().map_or(0, |(_, permitted, _)| permitted);
        let bounded = |number: &u32| sys::credentials::is_bounded(*number) == Ok(true);
        let bounding = (0..64).filter(bounded).fold(0, |mask, number| mask | 1u64 << number);
        let enabled =
            |path: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() != "N");
        HostFacts {
            apparmor: has("apparmor")
                || (lsm.is_empty() && enabled("/sys/module/apparmor/parameters/enabled")),
            selinux: has("selinux")
                || (lsm.is_empty() && Path::new("/sys/fs/selinux/status").exists()),
            capabilities: permitted & bounding,
            rootless: !rustix::process::geteuid().is_root(),
        }
    }
}

impl CgroupView {
    /// The host's hierarchies as a container in `group` sees them. `hierarchies` are those that hold groups of
    /// containers; a named hierarchy that they leave out is left out of the view too.
    ///
    /// # Errors
    /// A path with a NUL byte.
    pub fn of(hierarchies: &Hierarchies, group: &GroupPath) -> Result<CgroupView, CgroupError> {
        let below = |mount: &Path| {
            let path = group.below(mount);
            std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).map_err(|_| {
                CgroupError::Invalid {
                    setting: "cgroupsPath".into(),
                    value: path.display().to_string(),
                    reason: "contains a NUL byte",
                }
            })
        };
        let mut view = CgroupView::default();
        for tree in &hierarchies.v1 {
            let name = tree.mount.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let option = if tree.controllers.is_empty() {
                format!("name={name}")
            } else {
                tree.controllers.iter().cloned().collect::<Vec<_>>().join(",")
            };
            view.legacy.push(LegacyHierarchy { name, option, path: below(&tree.mount)? });
        }
        view.unified = hierarchies.v2.as_ref().map(|tree| below(&tree.mount)).transpose()?;
        Ok(view)
    }
}

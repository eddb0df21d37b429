//! Mounts of type `cgroup`: the container's view of its control groups.
//!
//! With a cgroup namespace the hierarchy is mounted and shows the container's group as its root; without one the group's
//! directory is bound. v1 has a tmpfs with a directory for each hierarchy; hybrid adds `unified` to it.

use super::{
    BindMount, BindSource, CgroupView, MountAttr, NewMount, Param, PlanError, Step, c_string,
    invalid,
};
use sys::mount::attr;

/// Steps for one such mount on `target`, with the mount's own attributes.
pub(super) fn steps(
    target: &str,
    view: &CgroupView,
    change: MountAttr,
    namespaced: bool,
) -> Result<Vec<Step>, PlanError> {
    if view.legacy.is_empty() {
        let unified = view
            .unified
            .as_ref()
            .ok_or_else(|| invalid("mounts", "the host has no control groups to mount"))?;
        return Ok(vec![hierarchy(target, "cgroup2", Vec::new(), unified, change, namespaced)?]);
    }
    let all = attr::NOSUID | attr::NODEV | attr::NOEXEC;
    let mut steps = vec![Step::Mount(NewMount {
        kind: c_string("mounts", "tmpfs")?,
        source: c_string("mounts", "tmpfs")?,
        target: c_string("mounts", target)?,
        params: vec![param("mode", Some("755"))?],
        attr: MountAttr { set: all, ..MountAttr::default() },
        copy_up: false,
    })];
    for legacy in &view.legacy {
        let place = format!("{target}/{}", legacy.name);
        let params = match legacy.option.strip_prefix("name=") {
            Some(name) => vec![param("none", None)?, param("name", Some(name))?],
            None => {
                legacy.option.split(',').map(|name| param(name, None)).collect::<Result<_, _>>()?
            }
        };
        steps.push(hierarchy(&place, "cgroup", params, &legacy.path, change, namespaced)?);
        if legacy.name.contains(',') {
            for alias in legacy.name.split(',') {
                let link = format!("{target}/{alias}");
                let content = c_string("mounts", legacy.name.as_str())?;
                steps.push(Step::Symlink(content, c_string("mounts", link)?));
            }
        }
    }
    if let Some(unified) = &view.unified {
        let place = format!("{target}/unified");
        steps.push(hierarchy(&place, "cgroup2", Vec::new(), unified, change, namespaced)?);
    }
    if change.set & attr::RDONLY != 0 {
        let readonly = MountAttr { set: attr::RDONLY, ..MountAttr::default() };
        steps.push(Step::Remount(c_string("mounts", target)?, readonly));
    }
    Ok(steps)
}

fn param(key: &str, value: Option<&str>) -> Result<Param, PlanError> {
    let value = value.map(|value| c_string("mounts", value)).transpose()?;
    Ok(Param { key: c_string("mounts", key)?, value })
}

fn hierarchy(
    target: &str,
    kind: &str,
    params: Vec<Param>,
    path: &std::ffi::CString,
    change: MountAttr,
    namespaced: bool,
) -> Result<Step, PlanError> {
    let all = attr::NOSUID | attr::NODEV | attr::NOEXEC;
    let attr = MountAttr { set: change.set | all, ..change };
    let target = c_string("mounts", target)?;
    if namespaced {
        let kind_name = c_string("mounts", kind)?;
        let source = kind_name.clone();
        let mount = NewMount { kind: kind_name, source, target, params, attr, copy_up: false };
        return Ok(Step::Mount(mount));
    }
    let source = BindSource::Path(path.clone());
    Ok(Step::Bind(BindMount { source, target, recursive: true, attr, optional: false }))
}

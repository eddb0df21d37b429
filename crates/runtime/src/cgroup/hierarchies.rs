//! What the host has mounted, looked up once.
//!
//! Reads `/proc/self/mountinfo`, `/proc/self/cgroup` and `cgroup.controllers`; changes
//! nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{CgroupError, Result};

/// Which generation holds the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One v2 tree.
    Unified,
    /// v1 trees only.
    Legacy,
    /// v1 trees, with a v2 tree beside them.
    Hybrid,
}

/// One mounted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The kernel's names: `memory`, `cpu`, … Empty for a named v1 tree.
    pub controllers: BTreeSet<String>,
}

impl Hierarchy {
    /// Whether `controller` is in this tree.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.contains(controller)
    }
}

/// All trees of the host that containers get a group in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    /// v1 trees in mount order.
    pub v1: Vec<Hierarchy>,
    /// The v2 tree.
    pub v2: Option<Hierarchy>,
}

impl Hierarchies {
    /// Looks at the running system.
    ///
    /// # Errors
    /// [`CgroupError::Detect`] or [`CgroupError::Read`] when files under `/proc` or a
    /// tree's root can't be read, [`CgroupError::NoHierarchy`] when nothing is mounted.
    pub fn detect() -> Result<Self> {
        let read = |path: &str| {
            fs::read_to_string(path)
                .map_err(|source| CgroupError::Detect { path: path.into(), source })
        };
        let mut found = parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)?;
        if let Some(v2) = &mut found.v2 {
            let path = v2.mount.join("cgroup.controllers");
            let list =
                fs::read_to_string(&path).map_err(|source| CgroupError::Read { path, source })?;
            v2.controllers = list.split_whitespace().map(str::to_owned).collect();
        }
        Ok(found)
    }

    /// Which generation holds the controllers.
    pub fn layout(&self) -> Layout {
        match (self.v1.iter().any(|tree| !tree.controllers.is_empty()), &self.v2) {
            (true, Some(_)) => Layout::Hybrid,
            (false, Some(_)) => Layout::Unified,
            (_, None) => Layout::Legacy,
        }
    }

    /// The v1 tree that holds `controller`.
    pub fn v1_with(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|tree| tree.has(controller))
    }

    /// Whether any tree holds `controller`.
    pub fn has(&self, controller: &str) -> bool {
        self.v1_with(controller).is_some()
            || self.v2.as_ref().is_some_and(|tree| tree.has(controller))
    }
}

/// The pure part of [`Hierarchies::detect`]; v2 controllers are still missing in it.
fn parse(mountinfo: &str, own_groups: &str) -> Result<Hierarchies> {
    let (mut v1, mut v2): (Vec<Hierarchy>, Option<Hierarchy>) = (Vec::new(), None);
    for (mount, kind, options) in mountinfo.lines().filter_map(cgroup_mount) {
        if kind == "cgroup2" {
            // Of several mounts of the one v2 tree, the usual place is the one to use.
            if v2.is_none() || (mount.starts_with("/sys/fs/cgroup") && !in_usual_place(&v2)) {
                v2 = Some(Hierarchy { mount, controllers: BTreeSet::new() });
            }
            continue;
        }
        let named = options.split(',').find(|option| option.starts_with("name="));
        let controllers: BTreeSet<String> =
            options.split(',').filter(|option| is_controller(option)).map(str::to_owned).collect();
        // A named tree limits nothing, but a service manager kills by it: children must
        // leave the engine's own group there, or stopping the engine's service kills them.
        let wanted = match named {
            Some(name) => own_path(own_groups, name).is_some_and(|path| path != "/"),
            None => !controllers.is_empty(),
        };
        let known = v1.iter().any(|tree| {
            tree.controllers == controllers && (named.is_none() || tree.mount == mount)
        });
        if wanted && !known {
            v1.push(Hierarchy { mount, controllers });
        }
    }
    if v1.is_empty() && v2.is_none() {
        return Err(CgroupError::NoHierarchy);
    }
    Ok(Hierarchies { v1, v2 })
}

fn in_usual_place(tree: &Option<Hierarchy>) -> bool {
    tree.as_ref().is_some_and(|tree| tree.mount.starts_with("/sys/fs/cgroup"))
}

/// `(mount point, file system, super options)` of a mountinfo line (proc_pid_mountinfo(5))
/// if it is a cgroup mount.
fn cgroup_mount(line: &str) -> Option<(PathBuf, &str, &str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut right = right.split(' ');
    let kind = right.next()?;
    if kind != "cgroup" && kind != "cgroup2" {
        return None;
    }
    let mount = unescape(left.split(' ').nth(4)?);
    Some((Path::new(&mount).to_owned(), kind, right.nth(1).unwrap_or("")))
}

/// Blanks in mountinfo are octal escapes.
fn unescape(field: &str) -> String {
    field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// v1 super options are controllers, `name=…`, and a few flags.
fn is_controller(option: &str) -> bool {
    const FLAGS: [&str; 8] = [
        "rw",
        "ro",
        "none",
        "xattr",
        "noprefix",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
    ];
    !option.is_empty() && !option.contains('=') && !FLAGS.contains(&option)
}

/// Own group in the tree called `name` (`name=systemd`), from `/proc/self/cgroup`.
fn own_path<'a>(own_groups: &'a str, name: &str) -> Option<&'a str> {
    own_groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        (fields.nth(1)? == name).then(|| fields.next()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
36 31 0:32 / /elsewhere/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn hybrid_with_comounted_and_repeated_trees() {
        let found = parse(HYBRID, "3:name=systemd:/\n0::/\n").unwrap();
        let mounts: Vec<_> = found.v1.iter().map(|tree| tree.mount.to_str().unwrap()).collect();
        assert_eq!(mounts, ["/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory"]);
        assert!(found.v1_with("cpuacct").is_some() && !found.has("pids"));
        assert_eq!(found.v2.as_ref().unwrap().mount, Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(found.layout(), Layout::Hybrid);
    }

    #[test]
    fn a_service_managers_tree_counts_when_it_holds_us() {
        let found = parse(HYBRID, "3:name=systemd:/system.slice/cale.service\n").unwrap();
        assert!(
            found
                .v1
                .iter()
                .any(|tree| tree.mount.ends_with("systemd") && tree.controllers.is_empty())
        );
    }

    #[test]
    fn unified_prefers_the_usual_place() {
        let text = "1 0 0:1 / /mnt/a\\040b rw - cgroup2 none rw\n2 0 0:1 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let found = parse(text, "0::/\n").unwrap();
        assert_eq!(
            (found.layout(), found.v2.unwrap().mount),
            (Layout::Unified, "/sys/fs/cgroup".into())
        );
        let odd = parse(text.lines().next().unwrap(), "").unwrap();
        assert_eq!(odd.v2.unwrap().mount, Path::new("/mnt/a b"));
    }

    #[test]
    fn nothing_mounted_is_an_error() {
        assert!(matches!(
            parse("1 0 0:1 / / rw - ext4 /dev/x rw\n", ""),
            Err(CgroupError::NoHierarchy)
        ));
    }
}

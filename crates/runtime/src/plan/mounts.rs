//! `mounts` of the specification → steps: options are sorted into attributes of the mount, flags and parameters of the
//! file system, propagation, and the runtime's own words (`config.md`, "Mounts", "Linux mount options").

use std::path::{Component, Path};

use sys::mount::attr;

use super::{
    BindMount, BindSource, Idmap, MountAttr, NamespaceKind, NewMount, Param, PlanContext,
    PlanError, Step, Tree, c_string, invalid,
};
use crate::spec::{IdMapping, Mount, Spec};

const MS_REC: u64 = 0x4000;
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// `private`, `rslave`, … as `MS_…` bits.
pub(super) fn propagation(word: &str) -> Option<u64> {
    let (bare, recursive) = match word {
        "rprivate" | "rslave" | "rshared" | "runbindable" => (&word[1..], MS_REC),
        _ => (word, 0),
    };
    let kind = match bare {
        "private" => MS_PRIVATE,
        "slave" => MS_SLAVE,
        "shared" => MS_SHARED,
        "unbindable" => MS_UNBINDABLE,
        _ => return None,
    };
    Some(kind | recursive)
}

/// Set and clear bits of one attribute word.
fn attribute(word: &str) -> Option<(u64, u64)> {
    Some(match word {
        "ro" => (attr::RDONLY, 0),
        "rw" => (0, attr::RDONLY),
        "nosuid" => (attr::NOSUID, 0),
        "suid" => (0, attr::NOSUID),
        "nodev" => (attr::NODEV, 0),
        "dev" => (0, attr::NODEV),
        "noexec" => (attr::NOEXEC, 0),
        "exec" => (0, attr::NOEXEC),
        "noatime" => (attr::NOATIME, 0),
        "strictatime" => (attr::STRICTATIME, 0),
        // Relative access times are the zero of the field.
        "atime" | "relatime" | "norelatime" | "nostrictatime" => (0, attr::ATIME),
        "nodiratime" => (attr::NODIRATIME, 0),
        "diratime" => (0, attr::NODIRATIME),
        "nosymfollow" => (attr::NOSYMFOLLOW, 0),
        "symfollow" => (0, attr::NOSYMFOLLOW),
        _ => return None,
    })
}

/// The options of one mount, sorted.
#[derive(Debug, Default)]
struct Options {
    attr: MountAttr,
    bind: bool,
    recursive: bool,
    copy_up: bool,
    /// Some: recursive?
    idmap: Option<bool>,
    remount: bool,
    params: Vec<(String, Option<String>)>,
}

impl Options {
    fn parse(field: &str, words: &[String]) -> Result<Options, PlanError> {
        let mut options = Options::default();
        for word in words {
            options.take(field, word)?;
        }
        Ok(options)
    }

    fn take(&mut self, field: &str, word: &str) -> Result<(), PlanError> {
        if let Some((set, clear)) = attribute(word) {
            let attr = &mut self.attr;
            (attr.set, attr.clear) = (attr.set & !clear | set, attr.clear & !set | clear);
            return Ok(());
        }
        if let Some(kind) = propagation(word) {
            self.attr.propagation = kind;
            return Ok(());
        }
        if let Some((set, clear)) = word.strip_prefix('r').and_then(attribute) {
            let attr = &mut self.attr;
            attr.set_recursive = attr.set_recursive & !clear | set;
            attr.clear_recursive = attr.clear_recursive & !set | clear;
            return Ok(());
        }
        match word {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "tmpcopyup" => self.copy_up = true,
            "idmap" => self.idmap = Some(false),
            "ridmap" => self.idmap = Some(true),
            "remount" => self.remount = true,
            "" | "defaults" | "async" | "nomand" | "noiversion" | "nolazytime" | "loud"
            | "silent" => {}
            _ => match word.split_once('=') {
                Some(("", _)) => return Err(invalid(field, format!("mount option {word:?}"))),
                Some((key, value)) => self.params.push((key.into(), Some(value.into()))),
                None => self.params.push((word.into(), None)),
            },
        }
        Ok(())
    }
}

/// What mounts add to a plan.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub steps: Vec<Step>,
    pub trees: Vec<Tree>,
    /// Attributes that wait until the mount has been filled.
    pub late: Vec<Step>,
    /// `/dev` is a bind: it is the caller's, nothing is made in it.
    pub dev_is_bound: bool,
    pub warnings: Vec<String>,
}

/// Plans all mounts in order. `user_ns`: the child can't reach sources by itself.
pub(super) fn plan(
    spec: &Spec,
    context: &PlanContext,
    created: &[NamespaceKind],
    user_ns: bool,
) -> Result<Mounts, PlanError> {
    let mut mounts = Mounts::default();
    for (index, mount) in spec.mounts.iter().enumerate() {
        let field = format!("mounts[{index}]");
        let target = clean(&field, &mount.destination)?;
        let options = Options::parse(&field, &mount.options)?;
        let is_bind = options.bind || mount.kind == "bind";
        check_proc(&field, &target, mount, is_bind)?;
        if options.remount {
            let target = c_string(&field, target)?;
            mounts.steps.push(Step::Remount(target, options.attr));
        } else if is_bind {
            mounts.dev_is_bound |= target == "/dev";
            mounts.bind(&field, target, mount, options, context, user_ns)?;
        } else if mount.kind == "cgroup" || mount.kind == "cgroup2" {
            let namespaced = created.contains(&NamespaceKind::Cgroup);
            let steps = super::cgroups::steps(&target, &context.cgroups, options.attr, namespaced)?;
            mounts.steps.extend(steps);
        } else {
            mounts.file_system(&field, target, mount, options, spec)?;
        }
    }
    Ok(mounts)
}

impl Mounts {
    fn bind(
        &mut self,
        field: &str,
        target: String,
        mount: &Mount,
        options: Options,
        context: &PlanContext,
        user_ns: bool,
    ) -> Result<(), PlanError> {
        if mount.source.is_empty() {
            return Err(invalid(field, "a bind mount needs a source"));
        }
        for (name, _) in &options.params {
            self.warnings.push(format!("{field}: option {name:?} means nothing for a bind mount"));
        }
        let source = context.bundle.join(&mount.source);
        let source = c_string(field, source.as_os_str().as_encoded_bytes())?;
        let idmap = idmap(field, mount, options.idmap)?;
        let source = if user_ns || idmap.is_some() {
            let recursive = options.recursive;
            self.trees.push(Tree { source, recursive, idmap });
            BindSource::Tree((self.trees.len() - 1) as u16)
        } else {
            BindSource::Path(source)
        };
        let (attr, recursive) = (options.attr, options.recursive);
        let target = c_string(field, target)?;
        self.steps.push(Step::Bind(BindMount { source, target, recursive, attr, optional: false }));
        Ok(())
    }

    fn file_system(
        &mut self,
        field: &str,
        target: String,
        mount: &Mount,
        mut options: Options,
        spec: &Spec,
    ) -> Result<(), PlanError> {
        if mount.kind.is_empty() {
            return Err(invalid(field, "a mount needs a type"));
        }
        if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
            return Err(invalid(field, "id mappings are for bind mounts"));
        }
        // Of a file system in memory only the mount is read-only; of one on a device the superblock must be.
        const VIRTUAL: [&str; 7] =
            ["proc", "sysfs", "tmpfs", "mqueue", "devpts", "ramfs", "overlay"];
        let mut params = Vec::new();
        if options.attr.set & attr::RDONLY != 0 && !VIRTUAL.contains(&mount.kind.as_str()) {
            params.push(Param { key: c_string(field, "ro")?, value: None });
        }
        let label = &spec.linux().mount_label;
        if !label.is_empty() && !["proc", "sysfs"].contains(&mount.kind.as_str()) {
            options.params.push(("context".into(), Some(label.clone())));
        }
        for (key, value) in options.params {
            let value = value.map(|value| c_string(field, value)).transpose()?;
            params.push(Param { key: c_string(field, key)?, value });
        }
        // Nodes are made in /dev after it is mounted.
        if target == "/dev" && options.attr.set & attr::RDONLY != 0 {
            options.attr.set &= !attr::RDONLY;
            let readonly = MountAttr { set: attr::RDONLY, ..MountAttr::default() };
            self.late.push(Step::Remount(c_string(field, "/dev")?, readonly));
        }
        self.steps.push(Step::Mount(NewMount {
            kind: c_string(field, mount.kind.as_str())?,
            source: c_string(field, mount.source.as_str())?,
            target: c_string(field, target)?,
            params,
            attr: options.attr,
            copy_up: options.copy_up,
        }));
        Ok(())
    }
}

/// An absolute destination without `.`, `..` and doubled slashes; relative ones start at the root, as they always did.
fn clean(field: &str, destination: &str) -> Result<String, PlanError> {
    let mut clean = String::new();
    for part in Path::new(destination).components() {
        match part {
            Component::Normal(name) => {
                clean.push('/');
                clean.push_str(&name.to_string_lossy());
            }
            Component::ParentDir => {
                clean.truncate(clean.rfind('/').unwrap_or(0));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean.is_empty() {
        return Err(invalid(field, format!("destination {destination:?} is the root itself")));
    }
    Ok(clean)
}

/// Inside `/proc` only the files that container tools are known to replace (LXCFS and the like) may be mounted over: any
/// other cover could redirect what is written there (CVE-2019-16884).
fn check_proc(field: &str, target: &str, mount: &Mount, bind: bool) -> Result<(), PlanError> {
    const ALLOWED: [&str; 12] = [
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo",
        "/proc/net/dev",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/fs/binfmt_misc",
    ];
    let inside = target.starts_with("/proc/");
    if inside && !ALLOWED.contains(&target) {
        return Err(invalid(
            field,
            format!("{target:?} cannot be mounted because it is inside /proc"),
        ));
    }
    if target == "/proc" && mount.kind != "proc" && !(bind && mount.source == "/proc") {
        return Err(invalid(field, "only procfs can be mounted on /proc"));
    }
    Ok(())
}

fn idmap(field: &str, mount: &Mount, word: Option<bool>) -> Result<Option<Idmap>, PlanError> {
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    if uids.is_empty() && gids.is_empty() {
        return match word {
            None => Ok(None),
            Some(_) => Err(invalid(field, "an id-mapped mount needs uidMappings and gidMappings")),
        };
    }
    if uids.is_empty() || gids.is_empty() {
        return Err(invalid(field, "uidMappings and gidMappings go together"));
    }
    let recursive = word.unwrap_or(false);
    Ok(Some(Idmap { uids: map_lines(uids), gids: map_lines(gids), recursive }))
}

/// Lines of `uid_map`.
pub(super) fn map_lines(mappings: &[IdMapping]) -> String {
    let line = |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size);
    mappings.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_sorted() {
        let words = ["ro", "nosuid", "rnoexec", "rslave", "size=64k", "rbind", "suid", "relatime"];
        let words: Vec<String> = words.map(String::from).to_vec();
        let options = Options::parse("m", &words).expect("parses");
        assert_eq!(options.attr.set, attr::RDONLY);
        assert_eq!(options.attr.clear, attr::NOSUID | attr::ATIME);
        assert_eq!(options.attr.set_recursive, attr::NOEXEC);
        assert_eq!(options.attr.propagation, MS_SLAVE | MS_REC);
        assert!(options.bind && options.recursive);
        assert_eq!(options.params, [("size".into(), Some("64k".into()))]);
    }

    #[test]
    fn destinations_are_cleaned() {
        assert_eq!(clean("m", "//a/./b/../c/").expect("cleans"), "/a/c");
        assert_eq!(clean("m", "a").expect("cleans"), "/a");
        assert!(clean("m", "/../..").is_err());
    }

    #[test]
    fn procfs_is_guarded() {
        let mount = |kind: &str, source: &str| Mount {
            kind: kind.into(),
            source: source.into(),
            ..Mount::default()
        };
        assert!(check_proc("m", "/proc", &mount("proc", "proc"), false).is_ok());
        assert!(check_proc("m", "/proc", &mount("bind", "/srv"), true).is_err());
        assert!(check_proc("m", "/proc/self/attr", &mount("tmpfs", ""), false).is_err());
        assert!(check_proc("m", "/proc/meminfo", &mount("bind", "/x"), true).is_ok());
    }
}

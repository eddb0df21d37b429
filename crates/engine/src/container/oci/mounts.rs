//! The mounts of a container, in the order in which they are made: parents before children.

use std::path::PathBuf;

use model::{
    mount::{MountSource, Propagation, ReadonlyRecursion},
    network::NetworkMode,
};
use runtime::spec::Mount;

use super::{Inputs, mount, security};
use crate::{Error, Result, container::Record};

/// A mount with its source found on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostMount {
    /// What was asked for.
    pub mount: model::mount::Mount,
    /// The file or directory on the host; empty for tmpfs.
    pub source: PathBuf,
    /// Several directories, topmost first: an image's layers, shown as one.
    pub layers: Vec<PathBuf>,
}

/// Where /dev/shm comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shm {
    /// A tmpfs of this many bytes.
    Own(u64),
    /// A directory of the host (the host's own, or that of another container).
    Bind(PathBuf),
    /// None.
    #[default]
    Absent,
}

/// All mounts.
pub fn all(record: &Record, inputs: &Inputs) -> Result<Vec<Mount>> {
    let host = &record.spec.host;
    let mut mounts = system(record, inputs)?;
    mounts.extend(files(record, inputs));
    for (target, options) in &host.tmpfs {
        mounts.push(tmpfs_text(target, options)?);
    }
    for entry in &inputs.mounts {
        mounts.push(user(entry)?);
    }
    // A mount asked for replaces the engine's own at the same place; the later of two wins.
    let mut unique: Vec<Mount> = Vec::with_capacity(mounts.len());
    for mount in mounts {
        unique.retain(|other| other.destination != mount.destination);
        unique.push(mount);
    }
    let fixed = unique.iter().take_while(|m| is_system(&m.destination)).count();
    unique[fixed..].sort_by_key(|mount| mount.destination.matches('/').count());
    Ok(unique)
}

fn is_system(target: &str) -> bool {
    matches!(target, "/proc" | "/dev" | "/sys")
        || target.starts_with("/dev/")
        || target.starts_with("/sys/")
}

fn system(record: &Record, inputs: &Inputs) -> Result<Vec<Mount>> {
    let host = &record.spec.host;
    let writable_cgroups = host.privileged || security::read(&host.security_opt)?.writable_cgroups;
    let access = |writable: bool| if writable { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
    ];
    // sysfs shows the devices of the network namespace it is mounted in; the kernel refuses a
    // new one where that isn't ours, so the host's is shown then.
    let sys = access(host.privileged);
    if host.network_mode == NetworkMode::Host {
        mounts.push(mount("/sys", "bind", "/sys", &["rbind", "nosuid", "noexec", "nodev", sys]));
    } else {
        mounts.push(mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", sys]));
    }
    let cgroup = ["nosuid", "noexec", "nodev", access(writable_cgroups)];
    mounts.push(mount("/sys/fs/cgroup", "cgroup", "cgroup", &cgroup));
    // A new instance shows the queues of the IPC namespace it is mounted in, the host's included.
    mounts.push(mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]));
    match &inputs.shm {
        Shm::Own(bytes) => {
            let size = format!("size={bytes}");
            let options = ["nosuid", "noexec", "nodev", "mode=1777", size.as_str()];
            mounts.push(mount("/dev/shm", "tmpfs", "shm", &options));
        }
        Shm::Bind(path) => {
            let source = path.to_string_lossy();
            let options = ["rbind", "rprivate", "nosuid", "noexec", "nodev"];
            mounts.push(mount("/dev/shm", "bind", &source, &options));
        }
        Shm::Absent => {}
    }
    Ok(mounts)
}

fn files(record: &Record, inputs: &Inputs) -> Vec<Mount> {
    let readonly = record.spec.host.readonly_rootfs;
    let entry = |target: &str, source: &Option<PathBuf>| {
        source.as_ref().map(|path| {
            let access = if readonly { "ro" } else { "rw" };
            mount(target, "bind", &path.to_string_lossy(), &["rbind", "rprivate", access])
        })
    };
    [
        entry("/etc/resolv.conf", &inputs.resolv_conf),
        entry("/etc/hostname", &inputs.hostname),
        entry("/etc/hosts", &inputs.hosts),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn tmpfs_text(target: &str, text: &str) -> Result<Mount> {
    let asked = text.split(',').filter(|option| !option.is_empty());
    let mut options = vec!["noexec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
    for option in asked {
        let opposite = match option.strip_prefix("no") {
            Some(positive) => positive.to_owned(),
            None => format!("no{option}"),
        };
        options.retain(|have| *have != opposite && have != option);
        options.push(option.to_owned());
    }
    let valid = |option: &String| {
        let key = option.split('=').next().unwrap_or_default();
        const FLAGS: [&str; 16] = [
            "ro",
            "rw",
            "exec",
            "noexec",
            "suid",
            "nosuid",
            "dev",
            "nodev",
            "atime",
            "noatime",
            "relatime",
            "strictatime",
            "nodiratime",
            "sync",
            "async",
            "defaults",
        ];
        const KEYS: [&str; 8] =
            ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"];
        FLAGS.contains(&option.as_str()) || KEYS.contains(&key)
    };
    if let Some(bad) = options.iter().find(|option| !valid(option)) {
        return Err(Error::Invalid(format!("invalid tmpfs option {bad:?}")));
    }
    options.retain(|option| option != "defaults");
    Ok(Mount {
        destination: target.to_owned(),
        kind: "tmpfs".to_owned(),
        source: "tmpfs".to_owned(),
        options,
        ..Mount::default()
    })
}

fn user(entry: &HostMount) -> Result<Mount> {
    let asked = &entry.mount;
    let access = if asked.readonly { "ro" } else { "rw" };
    let source = entry.source.to_string_lossy();
    let bind = |options: &[&str]| mount(&asked.target, "bind", &source, options);
    Ok(match &asked.source {
        MountSource::Bind { propagation, recursive, readonly_recursion, .. } => {
            let mut options = vec![if *recursive { "rbind" } else { "bind" }, access];
            options.push(propagation_word(*propagation));
            if asked.readonly {
                match readonly_recursion {
                    ReadonlyRecursion::Off => {}
                    ReadonlyRecursion::IfPossible | ReadonlyRecursion::Required => {
                        options.push("rro");
                    }
                }
            }
            bind(&options)
        }
        MountSource::Volume { .. } => bind(&["rbind", access, "rprivate"]),
        MountSource::Image { .. } if entry.layers.len() > 1 => {
            let lower: Vec<_> = entry.layers.iter().map(|dir| dir.to_string_lossy()).collect();
            let option = format!("lowerdir={}", lower.join(":"));
            mount(&asked.target, "overlay", "overlay", &["ro", &option])
        }
        MountSource::Image { .. } => bind(&["rbind", "ro", "rprivate"]),
        MountSource::Tmpfs { size, mode, options } => {
            let mut words = vec!["noexec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
            words.extend(size.map(|bytes| format!("size={bytes}")));
            words.extend(mode.map(|bits| format!("mode={bits:o}")));
            words.extend(options.iter().map(|option| option.join("=")));
            if asked.readonly {
                words.push("ro".to_owned());
            }
            tmpfs_text(&asked.target, &words.join(","))?
        }
    })
}

fn propagation_word(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Unset | Propagation::Rprivate => "rprivate",
        Propagation::Private => "private",
        Propagation::Shared => "shared",
        Propagation::Rshared => "rshared",
        Propagation::Slave => "slave",
        Propagation::Rslave => "rslave",
    }
}

/// The root must let through what one of its binds wants to receive or give.
pub fn root_propagation(mounts: &[HostMount]) -> String {
    let wants = |test: fn(Propagation) -> bool| {
        mounts.iter().any(|entry| match &entry.mount.source {
            MountSource::Bind { propagation, .. } => test(*propagation),
            _ => false,
        })
    };
    if wants(|p| matches!(p, Propagation::Shared | Propagation::Rshared)) {
        "shared".to_owned()
    } else if wants(|p| matches!(p, Propagation::Slave | Propagation::Rslave)) {
        "rslave".to_owned()
    } else {
        String::new()
    }
}

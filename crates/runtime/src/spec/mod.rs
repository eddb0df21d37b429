//! The OCI runtime specification's `config.json` (version 1.2) as serde types.
//!
//! Owns the shape of the file only: what a value means is decided in `crate::plan`, which refuses what it does not
//! know. Unknown fields are ignored, as the specification asks (`config.md`, "Extensibility"). Field names follow the
//! specification; units are those of the specification (bytes, seconds, microseconds) and are named there.

mod linux;
mod resources;
mod seccomp;

pub use linux::*;
pub use resources::*;
pub use seccomp::*;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Go writes an empty list or map as `null`.
pub(crate) fn null_as_default<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Reading `config.json` failed.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file could not be read.
    #[error("read specification {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a runtime specification.
    #[error("parse specification {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// One `config.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Version of the specification that the file follows.
    pub oci_version: String,
    /// The process to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root filesystem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// UTS host name.
    #[serde(skip_serializing_if = "is_default")]
    pub hostname: String,
    /// UTS domain name.
    #[serde(skip_serializing_if = "is_default")]
    pub domainname: String,
    /// Mounts below the root, in order.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub mounts: Vec<Mount>,
    /// Programs to run at points of the container's life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Free-form data, handed through to hooks and state.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
}

impl Spec {
    /// Reads `config.json` at `path`.
    pub fn load(path: &Path) -> Result<Spec, SpecError> {
        let bytes =
            std::fs::read(path).map_err(|source| SpecError::Read { path: path.into(), source })?;
        serde_json::from_slice(&bytes)
            .map_err(|source| SpecError::Parse { path: path.into(), source })
    }

    /// The Linux section, or an empty one.
    pub fn linux(&self) -> std::borrow::Cow<'_, Linux> {
        self.linux
            .as_ref()
            .map_or_else(|| std::borrow::Cow::Owned(Linux::default()), std::borrow::Cow::Borrowed)
    }
}

/// A process: the container's first one, or one executed in it later (`exec --process`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// Whether the process gets a pseudo terminal.
    #[serde(skip_serializing_if = "is_default")]
    pub terminal: bool,
    /// Size of that terminal, characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Ids the process runs with.
    pub user: User,
    /// Program and its arguments.
    #[serde(deserialize_with = "null_as_default")]
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Working directory, absolute.
    pub cwd: String,
    /// Capability sets; absent means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Resource limits of the process.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub rlimits: Vec<Rlimit>,
    /// `no_new_privs`.
    #[serde(skip_serializing_if = "is_default")]
    pub no_new_privileges: bool,
    /// AppArmor profile's name.
    #[serde(skip_serializing_if = "is_default")]
    pub apparmor_profile: String,
    /// `oom_score_adj`, −1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// CPU scheduling (`sched_setattr(2)`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// SELinux label.
    #[serde(skip_serializing_if = "is_default")]
    pub selinux_label: String,
    /// I/O scheduling (`ioprio_set(2)`).
    #[serde(rename = "ioPriority", skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// CPUs the executed process may run on before and after it joins the control group.
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// Size of a terminal, characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Ids of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// File mode mask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub additional_gids: Vec<u32>,
    /// Windows only.
    #[serde(skip_serializing_if = "is_default")]
    pub username: String,
}

/// The five capability sets, names as `CAP_CHOWN`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Limit of what can be gained by exec.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub bounding: Vec<String>,
    /// Checked by the kernel.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub effective: Vec<String>,
    /// Kept over exec with file capabilities.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub inheritable: Vec<String>,
    /// May be made effective.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub permitted: Vec<String>,
    /// Kept over exec without file capabilities.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub ambient: Vec<String>,
}

/// One resource limit (`setrlimit(2)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rlimit {
    /// Name, as `RLIMIT_NOFILE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ceiling.
    pub hard: u64,
    /// Limit in force.
    pub soft: u64,
}

/// CPU scheduling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// `SCHED_OTHER`, `SCHED_FIFO`, …
    pub policy: String,
    /// Nice value.
    pub nice: i32,
    /// Real-time priority.
    pub priority: i32,
    /// `SCHED_FLAG_…` names.
    pub flags: Vec<String>,
    /// Deadline policy: runtime, ns.
    pub runtime: u64,
    /// Deadline policy: deadline, ns.
    pub deadline: u64,
    /// Deadline policy: period, ns.
    pub period: u64,
}

/// I/O scheduling.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub class: String,
    /// Level within the class, 0 to 7.
    pub priority: i32,
}

/// CPU lists around the move into the control group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuAffinity {
    /// While joining.
    pub initial: String,
    /// From then on.
    #[serde(rename = "final")]
    pub last: String,
}

/// The root filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    /// Whether the container sees it read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub readonly: bool,
}

/// One mount below the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    /// Where, absolute inside the container.
    pub destination: String,
    /// Filesystem type; `bind` or none for a bind mount.
    #[serde(rename = "type", skip_serializing_if = "is_default")]
    pub kind: String,
    /// Device, directory or file on the host.
    #[serde(skip_serializing_if = "is_default")]
    pub source: String,
    /// Options as in `mount(8)`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub options: Vec<String>,
    /// Id mapping of the mount: users.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// Id mapping of the mount: groups.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub gid_mappings: Vec<IdMapping>,
}

/// Programs run at points of the container's life, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// Deprecated twin of `create_runtime`, run before it.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub prestart: Vec<Hook>,
    /// Runtime's namespaces, after the container's exist, before its root is entered.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub create_runtime: Vec<Hook>,
    /// Container's namespaces, before its root is entered.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub create_container: Vec<Hook>,
    /// Container's namespaces and root, before the program runs.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub start_container: Vec<Hook>,
    /// Runtime's namespaces, after the program runs.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub poststart: Vec<Hook>,
    /// Runtime's namespaces, after the container is deleted.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub poststop: Vec<Hook>,
}

/// One program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Absolute path.
    pub path: String,
    /// Arguments, with the program's name.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub args: Vec<String>,
    /// Environment, complete.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub env: Vec<String>,
    /// Seconds until it is killed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_survives_a_round_trip() {
        let text = r#"{"ociVersion":"1.0.2","process":{"user":{"uid":1,"gid":2,"additionalGids":[5]},"args":["sh"],
          "cwd":"/","rlimits":[{"type":"RLIMIT_NOFILE","hard":2,"soft":1}],"execCPUAffinity":{"initial":"0","final":"1"}},
          "root":{"path":"rootfs","readonly":true},"mounts":[{"destination":"/proc","type":"proc","source":"proc"}],
          "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/x"}],"intelRdt":{"closID":"a"},
          "resources":{"memory":{"limit":-1},"devices":[{"allow":false,"access":"rwm"}],"pids":{"limit":0}}},
          "vm":{"unknown":1}}"#;
        let spec: Spec = serde_json::from_str(text).expect("parses");
        let again: Spec = serde_json::from_str(&serde_json::to_string(&spec).expect("prints"))
            .expect("parses again");
        assert_eq!(spec, again);
        assert_eq!(spec.linux().namespaces[1].path, "/x");
        assert_eq!(
            spec.linux().resources.as_ref().and_then(|r| r.memory.as_ref()).and_then(|m| m.limit),
            Some(-1)
        );
    }
}

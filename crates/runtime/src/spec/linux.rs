//! The `linux` section of the specification (`config-linux.md`) except resources and seccomp.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LinuxResources, LinuxSeccomp, is_default};

/// What only Linux has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    /// User mappings of the user namespace.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// Group mappings of the user namespace.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters, dotted or slashed.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub sysctl: BTreeMap<String, String>,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<LinuxResources>,
    /// Where in the control group hierarchies; the meaning depends on the driver.
    #[serde(skip_serializing_if = "is_default")]
    pub cgroups_path: String,
    /// Namespaces to create or to join.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub namespaces: Vec<Namespace>,
    /// Device nodes to make.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub devices: Vec<Device>,
    /// Network devices to move into the container, by host name.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// System call filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<LinuxSeccomp>,
    /// Propagation of the root mount.
    #[serde(skip_serializing_if = "is_default")]
    pub rootfs_propagation: String,
    /// Paths to hide.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub masked_paths: Vec<String>,
    /// Paths to make read-only.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub readonly_paths: Vec<String>,
    /// SELinux label of mounts.
    #[serde(skip_serializing_if = "is_default")]
    pub mount_label: String,
    /// Cache allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// Execution domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// Clock offsets of the time namespace: `monotonic`, `boottime`.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
}

/// One range of a user namespace's mapping.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdMapping {
    /// First id inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First id outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// A namespace to create, or to join when `path` is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// `pid`, `network`, `mount`, `ipc`, `uts`, `user`, `cgroup`, `time`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Existing namespace.
    #[serde(skip_serializing_if = "is_default")]
    pub path: String,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// `c`, `b`, `u` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where.
    pub path: String,
    /// Major number.
    pub major: i64,
    /// Minor number.
    pub minor: i64,
    /// Permission bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// Owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// A network device moved into the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetDevice {
    /// Name inside; empty keeps the name.
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
}

/// Cache allocation (`resctrl`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntelRdt {
    /// Class of service.
    #[serde(rename = "closID", skip_serializing_if = "is_default")]
    pub clos_id: String,
    /// L3 schema line.
    #[serde(skip_serializing_if = "is_default")]
    pub l3_cache_schema: String,
    /// Memory bandwidth schema line.
    #[serde(skip_serializing_if = "is_default")]
    pub mem_bw_schema: String,
    /// Schemata lines.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub schemata: Vec<String>,
    /// Make a monitoring group.
    #[serde(skip_serializing_if = "is_default")]
    pub enable_monitoring: bool,
}

/// Execution domain (`personality(2)`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
    /// None is defined yet.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "super::null_as_default")]
    pub flags: Vec<String>,
}

/// One clock's offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimeOffset {
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds.
    pub nanosecs: u32,
}

//! What a container shall be: everything a create request may ask for, validated.
//!
//! `ContainerSpec` is what the engine stores and acts on. The Engine API's `Config`, `HostConfig`
//! and `NetworkingConfig` are converted to and from it at the edge (`api::convert`).
//!
//! Three kinds of absence are kept apart everywhere: `None` = not said (image or engine default
//! holds), an empty collection = said to be empty, a value = said.

use std::{fmt, str::FromStr, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{
    mount::{Mount, VolumesFrom},
    network::{EndpointSpec, NetworkMode},
    port::{ContainerPort, PortBinding},
    resources::{DeviceMapping, Resources, Ulimit},
};

/// A container as asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// The image as typed; resolved to an id by the engine.
    pub image: String,
    /// The platform asked for, `linux/arm64`; `None` takes the host's.
    pub platform: Option<String>,
    /// What runs.
    pub process: ProcessSpec,
    /// `None`: the short container id.
    pub hostname: Option<String>,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Labels, in the order given.
    pub labels: IndexMap<String, String>,
    /// OCI annotations, handed to the runtime.
    pub annotations: IndexMap<String, String>,
    /// Ports that the container offers, published or not.
    pub exposed_ports: Vec<ContainerPort>,
    /// Anonymous volumes: absolute paths in the container.
    pub volumes: Vec<String>,
    /// `None`: the image's.
    pub healthcheck: Option<HealthCheck>,
    /// Where and within which bounds it runs.
    pub host: HostSpec,
    /// Endpoints by network name or id, in connection order.
    pub endpoints: IndexMap<String, EndpointSpec>,
    /// MAC address for the first network (API < 1.44 had it in the config).
    pub mac_address: Option<String>,
    /// No network at all (classic builder).
    pub network_disabled: bool,
}

/// The process part of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessSpec {
    /// `None`: the image's; `Some(empty)`: none, also not the image's.
    pub entrypoint: Option<Vec<String>>,
    /// `None`: the image's (unless the entrypoint was replaced).
    pub cmd: Option<Vec<String>>,
    /// `KEY=value`; `KEY` alone removes the image's value.
    pub env: Vec<String>,
    /// `None`: the image's, else `/`.
    pub working_dir: Option<String>,
    /// `user[:group]`; `None`: the image's, else root.
    pub user: Option<String>,
    /// Has a terminal.
    pub tty: bool,
    /// Standard input stays open without a client.
    pub open_stdin: bool,
    /// Standard input is closed when the first attached client leaves.
    pub stdin_once: bool,
    /// What the creating client meant to attach (shown in inspect, no effect on the process).
    pub attach: AttachFlags,
    /// Signal that asks the process to end; `None`: the image's, else SIGTERM.
    pub stop_signal: Option<String>,
    /// Seconds between the stop signal and SIGKILL; `None`: 10; negative: for ever.
    pub stop_timeout_s: Option<i64>,
    /// Shell of shell-form instructions.
    pub shell: Option<Vec<String>>,
    /// Windows only; kept for inspect.
    pub args_escaped: bool,
}

/// Which streams the creating client attaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttachFlags {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// A health check as Docker's image configuration and Engine API write it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    /// `[]` inherit, `["NONE"]` off, `["CMD", args…]`, `["CMD-SHELL", text]`.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::image::null_default"
    )]
    pub test: Vec<String>,
    /// Nanoseconds between probes; 0: 30 s.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Nanoseconds that one probe may take; 0: 30 s.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Nanoseconds after the start in which failures don't count.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Nanoseconds between probes in the start period; 0: 5 s.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make it unhealthy; 0: 3.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// Where a container runs and what bounds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostSpec {
    /// Bind mounts, volumes, tmpfs and image mounts. A mount that came as a `Binds` text says so.
    pub mounts: Vec<Mount>,
    /// Volumes of other containers.
    pub volumes_from: Vec<VolumesFrom>,
    /// Default driver for volumes made on the way.
    pub volume_driver: Option<String>,
    /// `--tmpfs`: path → mount options as typed.
    pub tmpfs: IndexMap<String, String>,
    /// File that gets the container's id (shown only; the client writes it).
    pub container_id_file: String,
    /// Main network.
    pub network_mode: NetworkMode,
    /// Ports published on the host.
    pub port_bindings: Vec<PortBinding>,
    /// Publish every exposed port on a random host port.
    pub publish_all_ports: bool,
    /// What happens after the process has ended.
    pub restart_policy: RestartPolicy,
    /// Remove the container after it has ended.
    pub auto_remove: bool,
    /// All capabilities, all devices, no seccomp, writable /sys.
    pub privileged: bool,
    /// Read-only root filesystem.
    pub readonly_rootfs: bool,
    /// Run a reaping init as process 1; `None`: the engine's default.
    pub init: Option<bool>,
    /// Capabilities added, `ALL` or names without `CAP_`.
    pub cap_add: Vec<String>,
    /// Capabilities dropped.
    pub cap_drop: Vec<String>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// `key=value` security options as typed: seccomp, apparmor, label, no-new-privileges, …
    pub security_opt: Vec<String>,
    /// Name servers.
    pub dns: Vec<std::net::IpAddr>,
    /// resolv.conf options.
    pub dns_options: Vec<String>,
    /// resolv.conf search domains.
    pub dns_search: Vec<String>,
    /// `host:address` lines for /etc/hosts, `host-gateway` allowed.
    pub extra_hosts: Vec<String>,
    /// Legacy links, `container:alias`.
    pub links: Vec<String>,
    /// Namespace choices.
    pub namespaces: NamespaceModes,
    /// Kernel parameters.
    pub sysctls: IndexMap<String, String>,
    /// Limits.
    pub resources: Resources,
    /// Devices.
    pub devices: Vec<DeviceMapping>,
    /// Device requests (GPUs, CDI) as the API writes them; refused at start where nothing serves them.
    pub device_requests: Vec<serde_json::Value>,
    /// Device cgroup rules as typed, `c 42:* rmw`.
    pub device_cgroup_rules: Vec<String>,
    /// Process limits.
    pub ulimits: Vec<Ulimit>,
    /// −1000 … 1000.
    pub oom_score_adj: i32,
    /// Bytes of /dev/shm; `None`: 64 MiB.
    pub shm_size: Option<u64>,
    /// Parent control group; empty: the engine's.
    pub cgroup_parent: String,
    /// Log driver and options.
    pub log: LogConfig,
    /// Runtime name; empty: the engine's own.
    pub runtime: String,
    /// Paths hidden; `None`: the default list; `Some(empty)`: none.
    pub masked_paths: Option<Vec<String>>,
    /// Paths made read-only; as above.
    pub readonly_paths: Option<Vec<String>>,
    /// Root filesystem options, `size=…`.
    pub storage_opt: IndexMap<String, String>,
    /// Terminal height and width at the start.
    pub console_size: Option<(u16, u16)>,
}

/// Where the log of a container goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// `json-file`, `local`, `none`, …; empty: the engine's default.
    pub driver: String,
    /// Driver options.
    pub options: IndexMap<String, String>,
}

/// Which namespaces are shared with whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceModes {
    /// `--pid`
    pub pid: NamespaceMode,
    /// `--ipc`
    pub ipc: IpcMode,
    /// `--uts`
    pub uts: NamespaceMode,
    /// `--userns`: empty, `host`, `auto`, `keep-id`, maps.
    pub user: String,
    /// `--cgroupns`; `None`: private on v2, host on v1 (as Docker does).
    pub cgroup: Option<CgroupNamespace>,
}

/// A namespace of its own, the host's, or another container's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
}

/// IPC namespace choices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpcMode {
    /// Not said: the engine's default (private).
    #[default]
    Default,
    /// Its own without /dev/shm.
    None,
    /// Its own.
    Private,
    /// Its own, which others may join.
    Shareable,
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
}

/// Control group namespace choices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CgroupNamespace {
    /// Its own.
    Private,
    /// The host's.
    Host,
}

/// A mode text that names nothing known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what}: {text:?}")]
pub struct ModeError {
    /// Which setting.
    pub what: &'static str,
    /// What was given.
    pub text: String,
}

impl NamespaceMode {
    /// Reads `""`, `private`, `host` or `container:NAME`; `what` names the setting in errors.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, ModeError> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            other => match other.strip_prefix("container:") {
                Some(name) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
                _ => Err(ModeError { what, text: text.to_owned() }),
            },
        }
    }
}

impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => Ok(()),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

impl FromStr for IpcMode {
    type Err = ModeError;
    fn from_str(text: &str) -> Result<Self, ModeError> {
        Ok(match text {
            "" => Self::Default,
            "none" => Self::None,
            "private" => Self::Private,
            "shareable" => Self::Shareable,
            "host" => Self::Host,
            other => match other.strip_prefix("container:") {
                Some(name) if !name.is_empty() => Self::Container(name.to_owned()),
                _ => return Err(ModeError { what: "IPC mode", text: text.to_owned() }),
            },
        })
    }
}

impl fmt::Display for IpcMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::None => f.write_str("none"),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
        }
    }
}

/// What happens after a container's process has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Always again, also after an engine start unless stopped by hand before it… and then too.
    Always,
    /// Always again, but after an engine start only if it wasn't stopped by hand.
    UnlessStopped,
    /// Again after a failure, at most `max_retries` times (0: no bound).
    OnFailure {
        /// Bound on the restarts in a row.
        max_retries: u32,
    },
}

impl RestartPolicy {
    /// The Engine API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure { .. } => "on-failure",
        }
    }
}

/// The time a running container gets between stop signal and SIGKILL, if nothing else is said.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of /dev/shm if nothing is said.
pub const DEFAULT_SHM_SIZE: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_as_written() {
        for text in ["", "host", "container:db"] {
            assert_eq!(NamespaceMode::parse("PID mode", text).unwrap().to_string(), text);
        }
        for text in ["", "none", "private", "shareable", "host", "container:db"] {
            assert_eq!(text.parse::<IpcMode>().unwrap().to_string(), text);
        }
        assert!(NamespaceMode::parse("PID mode", "container:").is_err());
        assert!("bogus".parse::<IpcMode>().is_err());
    }
}

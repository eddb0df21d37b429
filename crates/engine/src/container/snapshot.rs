//! What readers see of a container: immutable copies of one moment.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use indexmap::IndexMap;
use model::{
    ContainerId, Digest, NetworkId,
    container::ContainerSpec,
    image::Platform,
    mount::{Mount, Propagation},
    name::ContainerName,
    network::EndpointSpec,
    port::ContainerPort,
    state::{ExitStatus, Health, Status},
};
use serde::{Deserialize, Serialize};

/// Everything about a container at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What changes only by request.
    pub record: Arc<Record>,
    /// What changes by itself.
    pub state: State,
}

/// The durable part of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// For ever.
    pub id: ContainerId,
    /// Unique.
    pub name: ContainerName,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// As asked for, with the image's defaults merged in where nothing was said.
    pub spec: ContainerSpec,
    /// Configuration digest of the image; `None`: an empty root filesystem.
    pub image_id: Option<Digest>,
    /// Digest of the manifest it was made from, where it is known.
    #[serde(default)]
    pub manifest: Option<Digest>,
    /// The image's platform.
    pub platform: Platform,
    /// Diff ids of the image's layers, lowest first.
    #[serde(default)]
    pub layers: Vec<Digest>,
    /// What is mounted where, anonymous volumes with their names.
    pub mounts: Vec<MountPoint>,
    /// Networks it is to be connected to, by network id; what was asked of each.
    pub networks: IndexMap<String, NetworkUse>,
    /// How often the restart policy acted since the last start by hand.
    pub restart_count: u32,
    /// A stop by hand holds until the next start by hand.
    pub stopped_by_hand: bool,
    /// It was started at least once.
    pub started_once: bool,
}

impl Record {
    /// The program, then its arguments.
    pub fn command(&self) -> (String, Vec<String>) {
        let process = &self.spec.process;
        let mut words = process.entrypoint.iter().flatten().chain(process.cmd.iter().flatten());
        let path = words.next().cloned().unwrap_or_default();
        (path, words.cloned().collect())
    }
}

/// A network that a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkUse {
    /// Name of the network.
    pub name: String,
    /// What was asked for.
    pub spec: EndpointSpec,
}

/// The changing part of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Where it is in its life.
    pub status: Status,
    /// Of process 1, in the host's namespace; 0 when it doesn't run.
    pub pid: u32,
    /// The last exit; `None`: never ended.
    pub exit: Option<ExitStatus>,
    /// The code shown: of the last exit, or 125…127 of a failed start.
    pub exit_code: i64,
    /// Why the last start failed.
    pub error: String,
    /// The kernel killed one of its processes for lack of memory.
    pub oom_killed: bool,
    /// Nanoseconds since the epoch; `None`: never.
    pub started_ns: Option<i64>,
    /// Nanoseconds since the epoch; `None`: never.
    pub finished_ns: Option<i64>,
    /// Health, where there is a check.
    pub health: HealthState,
    /// Connections by network name, in connection order.
    pub endpoints: IndexMap<String, Endpoint>,
    /// Ports published right now.
    pub ports: Vec<PublishedPort>,
    /// Path of the network namespace; empty when it doesn't run.
    pub netns: String,
    /// Connections as the network plane made them: given back to it after the engine's restart.
    #[serde(default)]
    pub attachments: Vec<net::Attachment>,
    /// Ports as the network plane published them.
    #[serde(default)]
    pub published: Vec<net::PublishedPort>,
    /// Ids of the execs that run in it.
    #[serde(default, skip)]
    pub execs: Vec<String>,
    /// Exits seen by this engine; what waits for the next one compares.
    #[serde(default, skip)]
    pub exits: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            status: Status::Created,
            pid: 0,
            exit: None,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            started_ns: None,
            finished_ns: None,
            health: HealthState::default(),
            endpoints: IndexMap::new(),
            ports: Vec::new(),
            netns: String::new(),
            attachments: Vec::new(),
            published: Vec::new(),
            execs: Vec::new(),
            exits: 0,
        }
    }
}

impl State {
    /// It has left its networks.
    pub(crate) fn clear_network(&mut self) {
        self.endpoints.clear();
        self.ports.clear();
        self.attachments.clear();
        self.published.clear();
        self.netns.clear();
    }

    /// A process runs (paused or not).
    pub fn is_running(&self) -> bool {
        matches!(self.status, Status::Running | Status::Paused)
    }
}

/// Health at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthState {
    /// The verdict.
    pub status: Health,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last five probes, oldest first.
    pub log: Vec<Probe>,
}

/// One probe that has run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Nanoseconds since the epoch.
    pub start_ns: i64,
    /// Nanoseconds since the epoch.
    pub end_ns: i64,
    /// Exit code; -1: it could not be run or took too long.
    pub exit_code: i64,
    /// The first 4096 bytes it wrote.
    pub output: String,
}

/// One connection to a network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network; `None` for those without one of their own (`host`, `none`).
    pub network_id: Option<NetworkId>,
    /// What was asked for.
    pub spec: EndpointSpec,
    /// Id of the connection; empty when it doesn't run.
    pub endpoint_id: String,
    /// Hardware address; empty when it doesn't run.
    pub mac_address: String,
    /// Address and prefix length.
    pub ipv4: Option<(std::net::Ipv4Addr, u8)>,
    /// Address and prefix length.
    pub ipv6: Option<(std::net::Ipv6Addr, u8)>,
    /// IPv4 gateway.
    pub gateway: Option<std::net::Ipv4Addr>,
    /// IPv6 gateway.
    pub gateway6: Option<std::net::Ipv6Addr>,
    /// Names that other containers resolve.
    pub dns_names: Vec<String>,
}

/// A port that the host listens on for the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// In the container.
    pub container: ContainerPort,
    /// On the host; the unspecified address for all.
    pub host_ip: IpAddr,
    /// On the host.
    pub host_port: u16,
}

/// A mount of a container as it was resolved at its making.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MountPoint {
    /// What was asked for.
    pub mount: Mount,
    /// Volume name; empty for others.
    pub name: String,
    /// The engine made up the volume's name.
    pub anonymous: bool,
    /// Host path shown in inspect; empty for tmpfs.
    pub source: PathBuf,
    /// Volume driver; empty for others.
    pub driver: String,
    /// Mount options text shown in inspect (`Mode`).
    pub mode: String,
    /// Effective propagation.
    pub propagation: Propagation,
}

/// A container with what inspect adds.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The container.
    pub snapshot: Snapshot,
    /// The log file; `None` for drivers without one.
    pub log_path: Option<PathBuf>,
    /// Host path of the resolv.conf file.
    pub resolv_conf_path: PathBuf,
    /// Host path of the hostname file.
    pub hostname_path: PathBuf,
    /// Host path of the hosts file.
    pub hosts_path: PathBuf,
    /// Layer directories for `GraphDriver`.
    pub lower_dirs: Vec<PathBuf>,
    /// Writable layer for `GraphDriver`.
    pub upper_dir: PathBuf,
    /// Overlay's work directory for `GraphDriver`.
    pub work_dir: PathBuf,
    /// Sizes, if asked for.
    pub sizes: Option<Sizes>,
}

/// Bytes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Of the writable layer.
    pub writable: u64,
    /// With the image.
    pub total: u64,
}

/// One line of a list.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The container.
    pub snapshot: Snapshot,
    /// The image as shown: the name it was made with while that still names the same image.
    pub image: String,
    /// Sizes, if asked for.
    pub sizes: Option<Sizes>,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitOutcome {
    /// The container's exit code.
    pub exit_code: i64,
    /// Why waiting failed, as the API's `Error.Message`.
    pub error: Option<String>,
}

/// What was pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids or names.
    pub removed: Vec<String>,
    /// Bytes.
    pub reclaimed: u64,
}

/// A process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// Column titles.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// Stream of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogSource {
    Stdout,
    Stderr,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which stream.
    pub source: LogSource,
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
    /// The bytes, with the newline if there was one.
    pub bytes: Vec<u8>,
    /// `key=value` details of the log options.
    pub details: Vec<(String, String)>,
}

/// A path that differs from the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Absolute, in the container.
    pub path: String,
    /// How.
    pub kind: ChangeKind,
}

/// How a path differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ChangeKind {
    Modified,
    Added,
    Deleted,
}

/// What `archive stat` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Last component.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Unix mode with the file type bits (stat(2)).
    pub unix_mode: u32,
    /// Nanoseconds since the epoch.
    pub modified_ns: i64,
    /// Where a symbolic link leads, resolved within the container.
    pub link_target: String,
}

/// One reading of a container's use, with the one before.
#[derive(Clone, Debug)]
pub struct StatsFrame {
    /// Whose.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Its operating system.
    pub os: String,
    /// Now; `None`: it doesn't run.
    pub current: Option<StatsSample>,
    /// The reading before; `None` in the first frame.
    pub previous: Option<StatsSample>,
}

/// One reading.
#[derive(Clone, Debug)]
pub struct StatsSample {
    /// Nanoseconds since the epoch.
    pub read_ns: i64,
    /// Control group.
    pub usage: runtime::cgroup::Usage,
    /// Counters by interface name.
    pub networks: IndexMap<String, InterfaceCounters>,
    /// Processor time of the whole host, ns.
    pub system_cpu_ns: u64,
    /// Processors online.
    pub online_cpus: u32,
}

/// Counters of one network interface, as the container sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct InterfaceCounters {
    pub rx_bytes: u64,
    pub rx_packets: u64,
    pub rx_errors: u64,
    pub rx_dropped: u64,
    pub tx_bytes: u64,
    pub tx_packets: u64,
    pub tx_errors: u64,
    pub tx_dropped: u64,
}

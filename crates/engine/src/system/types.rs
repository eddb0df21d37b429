//! What the engine tells about itself and its host.

use indexmap::IndexMap;
use model::Digest;

/// `GET /info`, in our words.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Info {
    /// Stable id of this data root.
    pub id: String,
    pub containers: usize,
    pub containers_running: usize,
    pub containers_paused: usize,
    pub containers_stopped: usize,
    pub images: usize,
    /// Storage driver's name and facts.
    pub driver: String,
    pub driver_status: Vec<(String, String)>,
    pub data_root: String,
    pub log_driver: String,
    pub log_drivers: Vec<String>,
    pub network_drivers: Vec<String>,
    pub volume_drivers: Vec<String>,
    /// `1` or `2`.
    pub cgroup_version: String,
    pub cgroup_driver: String,
    pub memory_limit: bool,
    pub swap_limit: bool,
    pub cpu_cfs_quota: bool,
    pub cpu_shares: bool,
    pub cpuset: bool,
    pub pids_limit: bool,
    pub ipv4_forwarding: bool,
    pub oom_kill_disable: bool,
    pub debug: bool,
    pub open_files: usize,
    pub event_listeners: usize,
    pub kernel_version: String,
    pub operating_system: String,
    pub os_version: String,
    pub os_type: String,
    pub architecture: String,
    pub cpus: usize,
    /// Bytes.
    pub memory_total: u64,
    pub name: String,
    pub labels: Vec<String>,
    pub runtimes: IndexMap<String, Vec<String>>,
    pub default_runtime: String,
    pub live_restore: bool,
    pub init_binary: String,
    pub security_options: Vec<String>,
    pub insecure_registries: Vec<String>,
    pub registry_mirrors: Vec<String>,
    pub server_version: String,
    /// Base and size of each address pool.
    pub address_pools: Vec<(String, u8)>,
    pub warnings: Vec<String>,
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
    pub firewall_backend: String,
}

/// What takes space.
#[derive(Clone, Debug, Default)]
pub struct DiskUsage {
    /// Bytes of all layers, each counted once.
    pub layers_size: u64,
    /// Images with shared sizes.
    pub images: Vec<crate::image::Summary>,
    /// Containers with sizes.
    pub containers: Vec<crate::container::Summary>,
    /// Volumes with sizes and users.
    pub volumes: Vec<crate::volume::Inspection>,
    /// Bytes of blobs that no image names.
    pub unreferenced: u64,
    /// Digests of layers and their bytes.
    pub layers: Vec<(Digest, u64)>,
}

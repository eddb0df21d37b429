//! How an engine is set up: the daemon's flags and configuration file, already parsed.
//!
//! Deliberately doesn't read files or arguments; `cale/daemon` does.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use indexmap::IndexMap;
use model::{
    container::{DEFAULT_SHM_SIZE, LogConfig},
    resources::Ulimit,
};

/// Everything that an engine must know at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Durable state: images, layers, records, volumes.
    pub data_root: PathBuf,
    /// State that ends with the host's boot: sockets, pids, keeper's files.
    pub exec_root: PathBuf,
    /// The program that is started as `… keeper`; `None`: this very program.
    pub keeper_program: Option<PathBuf>,
    /// Name shown in `info`; `None`: the host's.
    pub name: Option<String>,
    /// Labels of the engine, `key=value`.
    pub labels: Vec<String>,
    /// More output.
    pub debug: bool,
    /// Containers go on when the daemon ends in order.
    pub live_restore: bool,
    /// Seconds that a stopping daemon gives its containers (without `live_restore`).
    pub shutdown_timeout_s: u64,
    /// The default bridge and address pools.
    pub bridge: BridgeConfig,
    /// Name servers for containers that ask for none.
    pub dns: Vec<IpAddr>,
    /// Their resolver options.
    pub dns_options: Vec<String>,
    /// Their search domains.
    pub dns_search: Vec<String>,
    /// What `host-gateway` means; empty: the default bridge's address.
    pub host_gateways: Vec<IpAddr>,
    /// Log driver and options of containers that name none.
    pub log: LogConfig,
    /// Limits of containers that set none of the same name.
    pub default_ulimits: Vec<Ulimit>,
    /// Bytes of /dev/shm where nothing is said.
    pub default_shm_size: u64,
    /// Whether `--ipc` not said means shareable.
    pub default_ipc_shareable: bool,
    /// `no-new-privileges` for everyone.
    pub no_new_privileges: bool,
    /// Run an init in every container that doesn't say otherwise.
    pub init: bool,
    /// The seccomp profile for everyone: a file's content; `None`: built in.
    pub seccomp_profile: Option<String>,
    /// Parent of the containers' control groups; empty: `/cale`.
    pub cgroup_parent: String,
    /// Private or host control group namespaces where nothing is said; `None`: by cgroup version.
    pub default_cgroupns_private: Option<bool>,
    /// Additional OCI runtimes by name.
    pub runtimes: IndexMap<String, RuntimeConfig>,
    /// Name of the runtime used where nothing is said.
    pub default_runtime: String,
    /// Registries to be reached without TLS or its checks (hosts or networks).
    pub insecure_registries: Vec<String>,
    /// Mirrors of the hub.
    pub registry_mirrors: Vec<String>,
    /// How many layers are pulled at once.
    pub max_concurrent_downloads: usize,
    /// How many layers are pushed at once.
    pub max_concurrent_uploads: usize,
    /// Attempts for one blob.
    pub max_download_attempts: usize,
}

impl Config {
    /// The defaults, on the given roots.
    pub fn new(data_root: impl Into<PathBuf>, exec_root: impl Into<PathBuf>) -> Self {
        Self {
            data_root: data_root.into(),
            exec_root: exec_root.into(),
            keeper_program: None,
            name: None,
            labels: Vec::new(),
            debug: false,
            live_restore: true,
            shutdown_timeout_s: 15,
            bridge: BridgeConfig::default(),
            dns: Vec::new(),
            dns_options: Vec::new(),
            dns_search: Vec::new(),
            host_gateways: Vec::new(),
            log: LogConfig { driver: "json-file".to_owned(), options: IndexMap::new() },
            default_ulimits: Vec::new(),
            default_shm_size: DEFAULT_SHM_SIZE,
            default_ipc_shareable: false,
            no_new_privileges: false,
            init: false,
            seccomp_profile: None,
            cgroup_parent: String::new(),
            default_cgroupns_private: None,
            runtimes: IndexMap::new(),
            default_runtime: BUILTIN_RUNTIME.to_owned(),
            insecure_registries: Vec::new(),
            registry_mirrors: Vec::new(),
            max_concurrent_downloads: 3,
            max_concurrent_uploads: 5,
            max_download_attempts: 5,
        }
    }
}

/// The name under which the engine's own runtime is listed. Scripts look for Docker's default.
pub const BUILTIN_RUNTIME: &str = "runc";

/// The default bridge.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// Interface name; `none` switches the default network off.
    pub name: String,
    /// Address and prefix length of the bridge, `172.17.0.1/16`; `None`: the first free pool.
    pub address: Option<(Ipv4Addr, u8)>,
    /// Addresses for containers within it.
    pub fixed_range: Option<(Ipv4Addr, u8)>,
    /// IPv6 address and prefix length of the bridge.
    pub address6: Option<(std::net::Ipv6Addr, u8)>,
    /// Default gateway of the containers.
    pub gateway: Option<Ipv4Addr>,
    /// IPv6 on the default bridge.
    pub ipv6: bool,
    /// Containers reach each other.
    pub icc: bool,
    /// Outgoing traffic gets the host's address.
    pub masquerade: bool,
    /// Packet filter rules are made at all.
    pub firewall: bool,
    /// `net.ipv4.ip_forward` is switched on.
    pub ip_forward: bool,
    /// Address that ports are published on where none is said.
    pub default_publish_ip: Option<IpAddr>,
    /// Bytes; `None`: 1500.
    pub mtu: Option<u32>,
    /// Pools that networks get their subnets from: base, prefix length, size of each subnet.
    pub address_pools: Vec<AddressPool>,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self {
            name: "cale0".to_owned(),
            address: None,
            fixed_range: None,
            address6: None,
            gateway: None,
            ipv6: false,
            icc: true,
            masquerade: true,
            firewall: true,
            ip_forward: true,
            default_publish_ip: None,
            mtu: None,
            address_pools: Vec::new(),
        }
    }
}

/// A range that subnets are cut from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// First address.
    pub base: IpAddr,
    /// Prefix length of the range.
    pub prefix: u8,
    /// Prefix length of each subnet.
    pub size: u8,
}

/// Another OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// Path of the program.
    pub path: String,
    /// Arguments before the command.
    pub args: Vec<String>,
}

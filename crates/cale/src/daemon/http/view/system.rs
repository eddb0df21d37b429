//! The engine about itself.

use std::collections::BTreeMap;

use api::{
    Version,
    convert::rfc3339_nano,
    go::Pair,
    wire::{
        self, AddressPool, Commit, Component, FirewallInfo, IndexInfo, PlatformName, PluginsInfo,
        RegistryConfig, RuntimeInfo, SwarmInfo, SystemInfo, SystemVersion, UsageOf,
    },
};
use engine::system::{DiskUsage, Info};

use super::{container, image, volume};

/// Name of the product where a name is shown.
const PRODUCT: &str = "Cale";

/// `GET /version`
pub fn version(info: &Info) -> SystemVersion {
    let details = BTreeMap::from([
        ("ApiVersion".to_owned(), Version::NEWEST.to_string()),
        ("Arch".to_owned(), go_arch().to_owned()),
        ("Experimental".to_owned(), "false".to_owned()),
        ("KernelVersion".to_owned(), info.kernel_version.clone()),
        ("MinAPIVersion".to_owned(), Version::OLDEST.to_string()),
        ("Os".to_owned(), "linux".to_owned()),
    ]);
    let component = |name: &str, details| Component {
        name: name.to_owned(),
        version: info.server_version.clone(),
        details,
    };
    SystemVersion {
        platform: PlatformName { name: PRODUCT.to_owned() },
        components: Some(vec![component("Engine", details)]),
        version: info.server_version.clone(),
        api_version: Version::NEWEST.to_string(),
        min_api_version: Version::OLDEST.to_string(),
        git_commit: String::new(),
        go_version: String::new(),
        os: "linux".to_owned(),
        arch: go_arch().to_owned(),
        kernel_version: info.kernel_version.clone(),
        experimental: false,
        build_time: String::new(),
    }
}

fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `GET /info`
pub fn info(info: Info, experimental: bool) -> SystemInfo {
    let registry_config = registry_config(&info);
    let runtimes = runtimes(&info);
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let commit = || Commit { id: info.server_version.clone(), expected: None };
    SystemInfo {
        id: info.id,
        containers: count(info.containers),
        containers_running: count(info.containers_running),
        containers_paused: count(info.containers_paused),
        containers_stopped: count(info.containers_stopped),
        images: count(info.images),
        driver: info.driver,
        driver_status: Some(
            info.driver_status.into_iter().map(|(key, value)| Pair(key, value)).collect(),
        ),
        plugins: PluginsInfo {
            volume: Some(info.volume_drivers),
            network: Some(info.network_drivers),
            authorization: None,
            log: Some(info.log_drivers),
        },
        memory_limit: info.memory_limit,
        swap_limit: info.swap_limit,
        kernel_memory_tcp: false,
        // Periods come with quotas.
        cpu_cfs_period: info.cpu_cfs_quota,
        cpu_cfs_quota: info.cpu_cfs_quota,
        cpu_shares: info.cpu_shares,
        cpu_set: info.cpuset,
        pids_limit: info.pids_limit,
        ipv4_forwarding: info.ipv4_forwarding,
        debug: info.debug,
        n_fd: count(info.open_files),
        oom_kill_disable: info.oom_kill_disable,
        // Go's word; a thread or so each.
        n_goroutines: 0,
        system_time: rfc3339_nano(Some(info.time_ns)),
        logging_driver: info.log_driver,
        cgroup_driver: info.cgroup_driver,
        cgroup_version: info.cgroup_version,
        n_events_listener: count(info.event_listeners),
        kernel_version: info.kernel_version,
        operating_system: info.operating_system,
        os_version: info.os_version,
        os_type: info.os_type,
        architecture: info.architecture,
        index_server_address: "https://index.docker.io/v1/".to_owned(),
        registry_config: Some(registry_config),
        n_cpu: count(info.cpus),
        mem_total: i64::try_from(info.memory_total).unwrap_or(i64::MAX),
        docker_root_dir: info.data_root,
        name: info.name,
        labels: info.labels,
        experimental_build: experimental,
        containerd_commit: Commit::default(),
        runc_commit: commit(),
        init_commit: commit(),
        server_version: info.server_version.clone(),
        runtimes,
        default_runtime: info.default_runtime,
        swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
        live_restore_enabled: info.live_restore,
        init_binary: info.init_binary,
        security_options: Some(info.security_options),
        default_address_pools: Some(
            info.address_pools
                .into_iter()
                .map(|(base, size)| AddressPool { base, size: size.into() })
                .collect(),
        ),
        firewall_backend: Some(FirewallInfo { driver: info.firewall_backend, info: None }),
        cdi_spec_dirs: Some(Vec::new()),
        warnings: some(info.warnings),
        ..SystemInfo::default()
    }
}

fn registry_config(info: &Info) -> RegistryConfig {
    let network = |text: &&String| text.contains('/');
    let hub = IndexInfo {
        name: "docker.io".to_owned(),
        mirrors: info.registry_mirrors.clone(),
        secure: true,
        official: true,
    };
    let mut index_configs = BTreeMap::from([("docker.io".to_owned(), hub)]);
    for host in info.insecure_registries.iter().filter(|text| !network(text)) {
        let index = IndexInfo { name: host.clone(), ..IndexInfo::default() };
        index_configs.insert(host.clone(), index);
    }
    let mut cidrs: Vec<String> = info.insecure_registries.iter().filter(network).cloned().collect();
    for loopback in ["::1/128", "127.0.0.0/8"] {
        if !cidrs.iter().any(|cidr| cidr == loopback) {
            cidrs.push(loopback.to_owned());
        }
    }
    let mirrors = &info.registry_mirrors;
    RegistryConfig {
        nondistributable_cidrs: None,
        nondistributable_hostnames: None,
        insecure_registry_cidrs: cidrs,
        index_configs,
        mirrors: (!mirrors.is_empty()).then(|| mirrors.clone()),
    }
}

fn runtimes(info: &Info) -> BTreeMap<String, RuntimeInfo> {
    let convert = |(name, words): (&String, &Vec<String>)| {
        let mut words = words.iter().cloned();
        let runtime = RuntimeInfo {
            path: words.next().unwrap_or_default(),
            runtime_args: words.collect(),
            status: BTreeMap::new(),
        };
        (name.clone(), runtime)
    };
    info.runtimes.iter().map(convert).collect()
}

/// Which sorts of objects are asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds {
    /// Containers.
    pub containers: bool,
    /// Images.
    pub images: bool,
    /// Volumes.
    pub volumes: bool,
    /// The build cache.
    pub build_cache: bool,
}

impl Kinds {
    /// Every sort.
    pub fn all() -> Self {
        Self { containers: true, images: true, volumes: true, build_cache: true }
    }
}

fn bytes(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// `GET /system/df`. `verbose`: `None` is the old form with lists beside the totals, else
/// whether the totals have their items.
pub fn disk_usage(usage: &DiskUsage, kinds: Kinds, verbose: Option<bool>) -> wire::DiskUsage {
    let mut out = wire::DiskUsage::default();
    let legacy = verbose.is_none();
    let items = verbose == Some(true);
    if kinds.images {
        let list: Vec<_> = usage.images.iter().map(|one| image::summary(one, false)).collect();
        let used = |one: &&engine::image::Summary| one.containers > 0;
        let active: u64 = usage.images.iter().filter(used).map(|one| one.size).sum();
        out.image_usage = Some(UsageOf {
            active_count: count(usage.images.iter().filter(used).count()),
            items: items.then(|| list.clone()),
            reclaimable: bytes(usage.layers_size.saturating_sub(active)),
            total_count: count(list.len()),
            total_size: bytes(usage.layers_size),
        });
        if legacy {
            out.layers_size = Some(bytes(usage.layers_size));
            out.images = Some(list);
        }
    }
    if kinds.containers {
        let now_ns = super::now_ns();
        let list: Vec<_> =
            usage.containers.iter().map(|one| container::summary(one, now_ns)).collect();
        let running = |one: &&engine::container::Summary| one.snapshot.state.is_running();
        let size = |one: &engine::container::Summary| one.sizes.map_or(0, |s| s.writable);
        let total: u64 = usage.containers.iter().map(size).sum();
        let active: u64 = usage.containers.iter().filter(running).map(size).sum();
        out.container_usage = Some(UsageOf {
            active_count: count(usage.containers.iter().filter(running).count()),
            items: items.then(|| list.clone()),
            reclaimable: bytes(total - active),
            total_count: count(list.len()),
            total_size: bytes(total),
        });
        out.containers = legacy.then_some(list);
    }
    if kinds.volumes {
        let list: Vec<_> = usage.volumes.iter().map(volume::document).collect();
        let used = |one: &&engine::volume::Inspection| one.containers > 0;
        let size = |one: &engine::volume::Inspection| one.size.unwrap_or_default();
        let total: u64 = usage.volumes.iter().map(size).sum();
        let active: u64 = usage.volumes.iter().filter(used).map(size).sum();
        out.volume_usage = Some(UsageOf {
            active_count: count(usage.volumes.iter().filter(used).count()),
            items: items.then(|| list.clone()),
            reclaimable: bytes(total - active),
            total_count: count(list.len()),
            total_size: bytes(total),
        });
        out.volumes = legacy.then_some(list);
    }
    if kinds.build_cache {
        out.build_cache_usage = Some(UsageOf { items: items.then(Vec::new), ..UsageOf::default() });
        out.build_cache = legacy.then(Vec::new);
    }
    out
}

//! The engine and its host: info and disk usage.

mod types;

use std::{fs, sync::Arc};

use indexmap::IndexMap;
use model::state::Status;
use runtime::cgroup::Layout;

pub use types::*;

use crate::{
    Engine, Result, blocking, config::BUILTIN_RUNTIME, container::ListRequest, image, moment,
    records::stored,
};

/// Questions about the engine and its host.
#[derive(Clone, Copy, Debug)]
pub struct System<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl System<'_> {
    /// Facts and numbers.
    pub async fn info(&self) -> Result<Info> {
        let engine = self.engine.clone();
        blocking::spawn(move || info(&engine)).await
    }

    /// What takes space.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        let list = image::ListRequest { all: true, shared_size: true, ..Default::default() };
        let images = self.engine.images().list(list).await?;
        let containers = ListRequest { all: true, size: true, ..ListRequest::default() };
        let containers = self.engine.containers().list(containers).await?;
        let volumes = self.engine.volumes().measured().await?;
        let engine = self.engine.clone();
        let usage = blocking::spawn(move || {
            engine.records().store().usage().map_err(stored("measure", "the data root"))
        })
        .await?;
        let layers: Vec<_> =
            usage.layers.into_iter().map(|(id, size)| (id, size.content_bytes)).collect();
        Ok(DiskUsage {
            layers_size: layers.iter().map(|(_, bytes)| bytes).sum(),
            images,
            containers,
            volumes,
            unreferenced: usage.staging_bytes,
            layers,
        })
    }
}

fn info(engine: &Arc<Engine>) -> Result<Info> {
    let config = engine.config();
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    let all = engine.registry().all();
    for handle in &all {
        let key = match handle.snapshot().state.status {
            Status::Running => "running",
            Status::Paused => "paused",
            _ => "stopped",
        };
        *counts.entry(key).or_default() += 1;
    }
    let count = |key: &str| counts.get(key).copied().unwrap_or(0);
    let store = engine.records().store();
    let groups = engine.groups();
    let has = |controller: &str| groups.has(controller);
    let release = os_release();
    Ok(Info {
        id: id(engine)?,
        containers: all.len(),
        containers_running: count("running"),
        containers_paused: count("paused"),
        containers_stopped: count("stopped"),
        images: store.images().map_err(stored("list", "images"))?.len(),
        driver: "overlay2".to_owned(),
        driver_status: driver_status(store.root()),
        data_root: config.data_root.display().to_string(),
        log_driver: config.log.driver.clone(),
        log_drivers: texts(&["json-file", "local", "none"]),
        network_drivers: texts(&["bridge", "host", "ipvlan", "macvlan", "null"]),
        volume_drivers: texts(&["local"]),
        cgroup_version: match groups.layout() {
            Layout::Unified => "2".to_owned(),
            Layout::Legacy | Layout::Hybrid => "1".to_owned(),
        },
        cgroup_driver: "cgroupfs".to_owned(),
        memory_limit: has("memory"),
        swap_limit: has("memory"),
        cpu_cfs_quota: has("cpu"),
        cpu_shares: has("cpu"),
        cpuset: has("cpuset"),
        pids_limit: has("pids"),
        ipv4_forwarding: read("/proc/sys/net/ipv4/ip_forward") == "1",
        oom_kill_disable: groups.v1_with("memory").is_some(),
        debug: config.debug,
        open_files: fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        event_listeners: engine.log().followers(),
        kernel_version: read("/proc/sys/kernel/osrelease"),
        operating_system: release.get("PRETTY_NAME").cloned().unwrap_or_default(),
        os_version: release.get("VERSION_ID").cloned().unwrap_or_default(),
        os_type: "linux".to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_total: memory_total(),
        name: config.name.clone().unwrap_or_else(|| read("/proc/sys/kernel/hostname")),
        labels: config.labels.clone(),
        runtimes: runtimes(config),
        default_runtime: config.default_runtime.clone(),
        live_restore: config.live_restore,
        init_binary: "built in".to_owned(),
        security_options: security_options(engine),
        insecure_registries: config.insecure_registries.clone(),
        registry_mirrors: config.registry_mirrors.clone(),
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        address_pools: pools(engine),
        warnings: warnings(engine),
        time_ns: moment::now_ns(),
        firewall_backend: "nftables".to_owned(),
    })
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The built-in runtime under Docker's name, and those of the configuration.
fn runtimes(config: &crate::Config) -> IndexMap<String, Vec<String>> {
    let mut runtimes = IndexMap::new();
    runtimes.insert(BUILTIN_RUNTIME.to_owned(), vec!["built in".to_owned()]);
    for (name, runtime) in &config.runtimes {
        let words = std::iter::once(runtime.path.clone()).chain(runtime.args.clone());
        runtimes.insert(name.clone(), words.collect());
    }
    runtimes
}

fn driver_status(root: &std::path::Path) -> Vec<(String, String)> {
    vec![
        ("Backing Filesystem".to_owned(), filesystem(root)),
        ("Supports d_type".to_owned(), "true".to_owned()),
        ("Native Overlay Diff".to_owned(), "true".to_owned()),
        ("userxattr".to_owned(), "false".to_owned()),
    ]
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// A random id that stays with the data root.
fn id(engine: &Engine) -> Result<String> {
    let store = engine.records().store();
    if let Some(bytes) = store.get("engine", "id").map_err(stored("read", "the engine's id"))? {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    let hex = model::ContainerId::from_bytes(moment::random_id());
    let id = format!(
        "{}-{}-{}-{}-{}",
        &hex.as_str()[..8],
        &hex.as_str()[8..12],
        &hex.as_str()[12..16],
        &hex.as_str()[16..20],
        &hex.as_str()[20..32]
    );
    let batch = store::Batch::new().put("engine", "id", id.clone().into_bytes());
    store.apply(batch, store::Durability::Durable).map_err(stored("write", "the engine's id"))?;
    Ok(id)
}

fn os_release() -> IndexMap<String, String> {
    read("/etc/os-release")
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

fn memory_total() -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Type of the filesystem that a path is on: the longest mount point above it.
fn filesystem(path: &std::path::Path) -> String {
    let mounts = read("/proc/self/mounts");
    let entry = |line: &str| {
        let mut words = line.split(' ');
        let (_, point, kind) = (words.next()?, words.next()?, words.next()?);
        path.starts_with(point).then(|| (point.len(), kind.to_owned()))
    };
    let found = mounts.lines().filter_map(entry).max_by_key(|(length, _)| *length);
    found.map(|(_, kind)| kind).unwrap_or_default()
}

fn security_options(engine: &Engine) -> Vec<String> {
    let mut options = vec!["name=seccomp,profile=builtin".to_owned()];
    if engine.host().facts.apparmor {
        options.insert(0, "name=apparmor".to_owned());
    }
    if engine.host().facts.selinux {
        options.push("name=selinux".to_owned());
    }
    options.push("name=cgroupns".to_owned());
    if engine.config().no_new_privileges {
        options.push("name=no-new-privileges".to_owned());
    }
    options
}

fn pools(engine: &Engine) -> Vec<(String, u8)> {
    let pools = &engine.config().bridge.address_pools;
    pools.iter().map(|pool| (format!("{}/{}", pool.base, pool.prefix), pool.size)).collect()
}

fn warnings(engine: &Engine) -> Vec<String> {
    let mut warnings = Vec::new();
    for (controller, text) in [
        ("memory", "WARNING: No memory limit support"),
        ("cpu", "WARNING: No cpu cfs quota support"),
        ("cpuset", "WARNING: No cpuset support"),
        ("pids", "WARNING: No pids limit support"),
    ] {
        if !engine.groups().has(controller) {
            warnings.push(text.to_owned());
        }
    }
    let facts = engine.networks_table().plane().facts();
    if facts.switched_forwarding_v4 {
        warnings.push(
            "IPv4 forwarding was switched on; what is forwarded between others is dropped"
                .to_owned(),
        );
    }
    warnings
}

//! [`ContainerSpec`] → `Config` and `HostConfig`, as inspect shows them.
//!
//! Which empty lists are `null` and which `[]` follows what the docker client sends and dockerd
//! shows again.

use std::collections::BTreeMap;

use model::{
    container::{CgroupNamespace, ContainerSpec, HealthCheck, HostSpec, RestartPolicy},
    mount::{Mount, MountOrigin, MountSource, Propagation, ReadonlyRecursion},
    resources::{Resources, ThrottleDevice},
};

use crate::{
    go::{Pair, Words},
    wire::{self, Config, Empty, HealthConfig, HostConfig, List, Map, map_of, map_or_null},
};

/// The portable half; `hostname` is the effective one.
pub fn config(spec: &ContainerSpec, hostname: &str) -> Config {
    let process = &spec.process;
    let words = |words: &Option<Vec<String>>| words.clone().map(Words);
    let set = |names: Vec<String>| -> BTreeMap<String, Empty> {
        names.into_iter().map(|name| (name, Empty {})).collect()
    };
    let volumes = set(spec.volumes.clone());
    Config {
        hostname: hostname.to_owned(),
        domainname: spec.domainname.clone().unwrap_or_default(),
        user: process.user.clone().unwrap_or_default(),
        attach_stdin: process.attach.stdin,
        attach_stdout: process.attach.stdout,
        attach_stderr: process.attach.stderr,
        exposed_ports: set(spec.exposed_ports.iter().map(ToString::to_string).collect()),
        tty: process.tty,
        open_stdin: process.open_stdin,
        stdin_once: process.stdin_once,
        env: Some(process.env.clone()),
        cmd: words(&process.cmd),
        healthcheck: spec.healthcheck.as_ref().map(health_config),
        args_escaped: process.args_escaped,
        image: spec.image.clone(),
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: process.working_dir.clone().unwrap_or_default(),
        entrypoint: words(&process.entrypoint),
        network_disabled: spec.network_disabled,
        mac_address: String::new(),
        on_build: None,
        labels: Some(map_of(&spec.labels)),
        stop_signal: process.stop_signal.clone().unwrap_or_default(),
        stop_timeout: process.stop_timeout_s,
        shell: words(&process.shell),
    }
}

fn health_config(check: &HealthCheck) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

fn list_or_null(list: &[String]) -> List<String> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn map(map: &indexmap::IndexMap<String, String>) -> Map<String> {
    map_or_null(map)
}

/// The host half.
pub fn host_config(spec: &ContainerSpec) -> HostConfig {
    let host = &spec.host;
    let mut out = HostConfig {
        binds: binds(&host.mounts),
        container_id_file: host.container_id_file.clone(),
        log_config: log_config(host),
        network_mode: host.network_mode.to_string(),
        port_bindings: Some(port_bindings(host)),
        restart_policy: restart_policy(host.restart_policy),
        auto_remove: host.auto_remove,
        volume_driver: host.volume_driver.clone().unwrap_or_default(),
        volumes_from: volumes_from(host),
        console_size: host.console_size.map_or(Pair(0, 0), |(h, w)| Pair(h.into(), w.into())),
        annotations: map(&spec.annotations),
        cap_add: list_or_null(&host.cap_add),
        cap_drop: list_or_null(&host.cap_drop),
        dns: Some(host.dns.iter().map(ToString::to_string).collect()),
        dns_options: Some(host.dns_options.clone()),
        dns_search: Some(host.dns_search.clone()),
        extra_hosts: list_or_null(&host.extra_hosts),
        group_add: list_or_null(&host.group_add),
        links: list_or_null(&host.links),
        oom_score_adj: host.oom_score_adj.into(),
        privileged: host.privileged,
        publish_all_ports: host.publish_all_ports,
        readonly_rootfs: host.readonly_rootfs,
        security_opt: list_or_null(&host.security_opt),
        storage_opt: map(&host.storage_opt),
        tmpfs: map(&host.tmpfs),
        shm_size: host
            .shm_size
            .map_or(model::container::DEFAULT_SHM_SIZE as i64, |size| size as i64),
        sysctls: map(&host.sysctls),
        runtime: host.runtime.clone(),
        cgroup_parent: host.cgroup_parent.clone(),
        devices: Some(devices(host)),
        device_cgroup_rules: list_or_null(&host.device_cgroup_rules),
        device_requests: device_requests(host),
        ulimits: Some(ulimits(host)),
        mounts: mounts(&host.mounts),
        masked_paths: host.masked_paths.clone(),
        readonly_paths: host.readonly_paths.clone(),
        init: host.init,
        ..HostConfig::default()
    };
    show_namespaces(host, &mut out);
    show_limits(&host.resources, &mut out);
    out
}

fn show_namespaces(host: &HostSpec, out: &mut HostConfig) {
    out.pid_mode = host.namespaces.pid.to_string();
    out.ipc_mode = match host.namespaces.ipc.to_string() {
        // dockerd shows the default it took.
        text if text.is_empty() => "private".to_owned(),
        text => text,
    };
    out.uts_mode = host.namespaces.uts.to_string();
    out.userns_mode = host.namespaces.user.clone();
    out.cgroupns_mode = match host.namespaces.cgroup {
        None => String::new(),
        Some(CgroupNamespace::Private) => "private".to_owned(),
        Some(CgroupNamespace::Host) => "host".to_owned(),
    };
}

/// Saturates: a limit above 2^63 can't be told from none.
fn number(value: Option<u64>) -> i64 {
    value.map_or(0, |value| i64::try_from(value).unwrap_or(i64::MAX))
}

fn show_limits(limits: &Resources, out: &mut HostConfig) {
    out.cpu_shares = number(limits.cpu_shares);
    out.memory = number(limits.memory);
    out.nano_cpus = number(limits.nano_cpus);
    out.blkio_weight = limits.blkio_weight.unwrap_or_default().into();
    out.blkio_weight_device = Some(
        limits
            .blkio_weight_device
            .iter()
            .map(|d| wire::WeightDevice { path: d.path.clone(), weight: d.weight.into() })
            .collect(),
    );
    out.blkio_device_read_bps = throttles(&limits.blkio_read_bps);
    out.blkio_device_write_bps = throttles(&limits.blkio_write_bps);
    out.blkio_device_read_iops = throttles(&limits.blkio_read_iops);
    out.blkio_device_write_iops = throttles(&limits.blkio_write_iops);
    out.cpu_period = number(limits.cpu_period);
    out.cpu_quota = limits.cpu_quota.unwrap_or_default();
    out.cpu_realtime_period = number(limits.cpu_realtime_period);
    out.cpu_realtime_runtime = limits.cpu_realtime_runtime.unwrap_or_default();
    out.cpuset_cpus = limits.cpuset_cpus.clone().unwrap_or_default();
    out.cpuset_mems = limits.cpuset_mems.clone().unwrap_or_default();
    out.kernel_memory_tcp = number(limits.kernel_memory_tcp);
    out.memory_reservation = number(limits.memory_reservation);
    out.memory_swap = limits.memory_swap.unwrap_or_default();
    out.memory_swappiness = limits.memory_swappiness.map(|value| number(Some(value)));
    out.oom_kill_disable = limits.oom_kill_disable;
    out.pids_limit = limits.pids_limit;
}

fn throttles(devices: &[ThrottleDevice]) -> List<wire::ThrottleDevice> {
    let convert = |d: &ThrottleDevice| wire::ThrottleDevice { path: d.path.clone(), rate: d.rate };
    Some(devices.iter().map(convert).collect())
}

fn binds(mounts: &[Mount]) -> List<String> {
    let texts: Vec<String> = mounts
        .iter()
        .filter_map(|mount| match &mount.origin {
            MountOrigin::Bind(text) => Some(text.clone()),
            MountOrigin::Mount => None,
        })
        .collect();
    (!texts.is_empty()).then_some(texts)
}

fn mounts(mounts: &[Mount]) -> List<wire::Mount> {
    let shown: Vec<wire::Mount> = mounts
        .iter()
        .filter(|mount| mount.origin == MountOrigin::Mount)
        .map(mount_document)
        .collect();
    (!shown.is_empty()).then_some(shown)
}

/// `Type` of a mount.
pub fn mount_kind(source: &MountSource) -> &'static str {
    match source {
        MountSource::Bind { .. } => "bind",
        MountSource::Volume { .. } => "volume",
        MountSource::Tmpfs { .. } => "tmpfs",
        MountSource::Image { .. } => "image",
    }
}

/// `Propagation` of a mount; empty where it wasn't said.
pub fn propagation_name(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Unset => "",
        Propagation::Private => "private",
        Propagation::Rprivate => "rprivate",
        Propagation::Shared => "shared",
        Propagation::Rshared => "rshared",
        Propagation::Slave => "slave",
        Propagation::Rslave => "rslave",
    }
}

fn mount_document(mount: &Mount) -> wire::Mount {
    let mut out = wire::Mount {
        kind: mount_kind(&mount.source).to_owned(),
        target: mount.target.clone(),
        read_only: mount.readonly,
        ..wire::Mount::default()
    };
    match &mount.source {
        MountSource::Bind { path, create, propagation, recursive, readonly_recursion, .. } => {
            out.source.clone_from(path);
            let options = wire::BindOptions {
                propagation: propagation_name(*propagation).to_owned(),
                non_recursive: !recursive,
                create_mountpoint: *create,
                read_only_non_recursive: mount.readonly
                    && *readonly_recursion == ReadonlyRecursion::Off,
                read_only_force_recursive: *readonly_recursion == ReadonlyRecursion::Required,
            };
            out.bind_options = (options != wire::BindOptions::default()).then_some(options);
        }
        MountSource::Volume { name, copy_up, labels, driver, driver_options, subpath } => {
            out.source = name.clone().unwrap_or_default();
            let driver_config = wire::DriverConfig {
                name: driver.clone().unwrap_or_default(),
                options: map_of(driver_options),
            };
            let options = wire::VolumeOptions {
                no_copy: !copy_up,
                labels: map_or_null(labels),
                subpath: subpath.clone().unwrap_or_default(),
                driver_config: (driver_config != wire::DriverConfig::default())
                    .then_some(driver_config),
            };
            out.volume_options = (options != wire::VolumeOptions::default()).then_some(options);
        }
        MountSource::Tmpfs { size, mode, options } => {
            let options = wire::TmpfsOptions {
                size_bytes: number(*size),
                mode: mode.unwrap_or_default(),
                options: (!options.is_empty()).then(|| options.clone()),
            };
            out.tmpfs_options = (options != wire::TmpfsOptions::default()).then_some(options);
        }
        MountSource::Image { reference, subpath } => {
            out.source.clone_from(reference);
            out.image_options = subpath.clone().map(|subpath| wire::ImageOptions { subpath });
        }
    }
    out
}

/// Driver and options of the log.
pub fn log_config(host: &HostSpec) -> wire::LogConfig {
    wire::LogConfig { kind: host.log.driver.clone(), config: Some(map_of(&host.log.options)) }
}

fn restart_policy(policy: RestartPolicy) -> wire::RestartPolicy {
    let count = match policy {
        RestartPolicy::OnFailure { max_retries } => max_retries.into(),
        RestartPolicy::No | RestartPolicy::Always | RestartPolicy::UnlessStopped => 0,
    };
    wire::RestartPolicy { name: policy.name().to_owned(), maximum_retry_count: count }
}

fn port_bindings(host: &HostSpec) -> BTreeMap<String, List<wire::PortBinding>> {
    let mut out: BTreeMap<String, List<wire::PortBinding>> = BTreeMap::new();
    for binding in &host.port_bindings {
        let host_port = match binding.host_ports {
            None => String::new(),
            Some((first, last)) if first == last => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        let host_ip = binding.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        out.entry(binding.container.to_string())
            .or_default()
            .get_or_insert_default()
            .push(wire::PortBinding { host_ip, host_port });
    }
    out
}

fn volumes_from(host: &HostSpec) -> List<String> {
    let text = |from: &model::mount::VolumesFrom| match from.readonly {
        None => from.container.clone(),
        Some(true) => format!("{}:ro", from.container),
        Some(false) => format!("{}:rw", from.container),
    };
    let texts: Vec<String> = host.volumes_from.iter().map(text).collect();
    (!texts.is_empty()).then_some(texts)
}

fn devices(host: &HostSpec) -> Vec<wire::DeviceMapping> {
    let convert = |d: &model::resources::DeviceMapping| wire::DeviceMapping {
        path_on_host: d.host_path.clone(),
        path_in_container: d.container_path.clone(),
        cgroup_permissions: d.permissions.clone(),
    };
    host.devices.iter().map(convert).collect()
}

fn device_requests(host: &HostSpec) -> List<wire::DeviceRequest> {
    let requests: Vec<wire::DeviceRequest> = host
        .device_requests
        .iter()
        .filter_map(|value| crate::go::from_value(value.clone()).ok())
        .collect();
    (!requests.is_empty()).then_some(requests)
}

fn ulimits(host: &HostSpec) -> Vec<wire::Ulimit> {
    let convert = |limit: &model::resources::Ulimit| wire::Ulimit {
        name: limit.name.clone(),
        hard: limit.hard,
        soft: limit.soft,
    };
    host.ulimits.iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{convert, version::CreateDefaults, wire::CreateRequest};

    /// What is asked for is shown again.
    #[test]
    fn documents_survive_the_way_through_the_model() {
        let text = r#"{"Hostname":"h","User":"1000:5","Env":["A=b","C"],"Cmd":["a","b"],"Image":"debian:12",
            "ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"WorkingDir":"/w","Entrypoint":["/e"],
            "Labels":{"l":"v"},"StopSignal":"SIGINT","StopTimeout":5,"Tty":true,
            "Healthcheck":{"Test":["CMD","x"],"Interval":1000000000,"Retries":2},
            "HostConfig":{"Binds":["/s:/d:ro","v:/e"],"NetworkMode":"mine",
            "PortBindings":{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"},{"HostIp":"","HostPort":"9000-9005"}]},
            "RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},"CapAdd":["NET_ADMIN"],
            "Dns":["1.1.1.1"],"ExtraHosts":["a:1.2.3.4"],"SecurityOpt":["no-new-privileges"],
            "Tmpfs":{"/run":"size=1m"},"ShmSize":1048576,"Sysctls":{"net.ipv4.ip_forward":"1"},
            "Memory":67108864,"NanoCpus":1000000000,"PidsLimit":7,"CpusetCpus":"0","Init":true,
            "Devices":[{"PathOnHost":"/dev/null","PathInContainer":"/dev/x","CgroupPermissions":"rw"}],
            "Ulimits":[{"Name":"nofile","Hard":20,"Soft":10}],"IpcMode":"shareable","PidMode":"host",
            "VolumesFrom":["db:ro"],"LogConfig":{"Type":"json-file","Config":{"max-size":"1m"}},
            "MaskedPaths":[],"ReadonlyPaths":["/proc/x"],
            "BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":5}],
            "Mounts":[{"Type":"bind","Source":"/x","Target":"/y","BindOptions":{"Propagation":"rslave"}},
            {"Type":"volume","Source":"vol","Target":"/z","ReadOnly":true,"VolumeOptions":{"NoCopy":true}},
            {"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":4096}},
            {"Type":"image","Source":"debian","Target":"/i"}]}}"#;
        let request = CreateRequest::from_slice(text.as_bytes()).unwrap();
        let facts = convert::HostFacts { cpus: 4 };
        let (spec, _) =
            convert::container_spec(&request, CreateDefaults::default(), None, facts).unwrap();
        let shown = config(&spec, "h");
        let mut wanted = request.config.clone();
        wanted.on_build = None;
        assert_eq!(shown, wanted);
        let shown = serde_json::to_value(host_config(&spec)).unwrap();
        let wanted = serde_json::to_value(&request.host_config).unwrap();
        for (key, value) in wanted.as_object().unwrap() {
            let empty = value.is_null() || *value == serde_json::json!([]);
            if !empty {
                assert_eq!(&shown[key], value, "{key}");
            }
        }
    }
}

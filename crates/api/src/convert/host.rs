//! `HostConfig` → [`HostSpec`].

use model::{
    container::{
        CgroupNamespace, HostSpec, IpcMode, LogConfig, NamespaceMode, NamespaceModes, RestartPolicy,
    },
    network::NetworkMode,
    resources::DeviceMapping,
};

use super::{HostFacts, Refusal, Result, address, limits, mounts, parse_port_bindings, some_text};
use crate::go::Pair;
use crate::wire::{self, HostConfig, List};

/// Validates a host configuration.
pub(super) fn host_spec(
    config: &HostConfig,
    shallow_readonly: bool,
    facts: HostFacts,
) -> Result<HostSpec> {
    if !matches!(config.isolation.to_ascii_lowercase().as_str(), "" | "default") {
        return Err(Refusal::new(format!(
            "invalid isolation: {:?} - linux only supports 'default'",
            config.isolation
        )));
    }
    let mut mounts_out = Vec::new();
    for text in config.binds.iter().flatten() {
        mounts_out.push(mounts::parse_bind(text, shallow_readonly)?);
    }
    for mount in config.mounts.iter().flatten() {
        mounts_out.push(mounts::parse_mount(mount, shallow_readonly)?);
    }
    for (path, options) in config.tmpfs.iter().flatten() {
        mounts::check_tmpfs_options(path, options)?;
    }
    let requests = config.device_requests.iter().flatten();
    Ok(HostSpec {
        mounts: mounts_out,
        volumes_from: list(&config.volumes_from)
            .iter()
            .map(|text| mounts::parse_volumes_from(text))
            .collect::<Result<_>>()?,
        volume_driver: some_text(&config.volume_driver),
        tmpfs: config.tmpfs.clone().unwrap_or_default().into_iter().collect(),
        container_id_file: config.container_id_file.clone(),
        network_mode: network_mode(&config.network_mode)?,
        port_bindings: parse_port_bindings(config.port_bindings.iter().flatten())?,
        publish_all_ports: config.publish_all_ports,
        restart_policy: restart_policy(&config.restart_policy)?,
        auto_remove: config.auto_remove,
        privileged: config.privileged,
        readonly_rootfs: config.readonly_rootfs,
        init: config.init,
        cap_add: list(&config.cap_add),
        cap_drop: list(&config.cap_drop),
        group_add: list(&config.group_add),
        security_opt: security_options(&config.security_opt)?,
        dns: list(&config.dns)
            .iter()
            .map(|text| address("DNS server address", text))
            .collect::<Result<_>>()?,
        dns_options: list(&config.dns_options),
        dns_search: list(&config.dns_search),
        extra_hosts: extra_hosts(&config.extra_hosts)?,
        links: links(&config.links)?,
        namespaces: namespaces(config)?,
        sysctls: config.sysctls.clone().unwrap_or_default().into_iter().collect(),
        resources: limits::resources(config, facts)?,
        devices: devices(&config.devices)?,
        device_requests: requests
            .map(|request| serde_json::to_value(request).unwrap_or_default())
            .collect(),
        device_cgroup_rules: device_cgroup_rules(&config.device_cgroup_rules)?,
        ulimits: limits::ulimits(&config.ulimits)?,
        oom_score_adj: i32::try_from(config.oom_score_adj).unwrap_or_default(),
        shm_size: u64::try_from(config.shm_size).ok().filter(|size| *size != 0),
        cgroup_parent: config.cgroup_parent.clone(),
        log: LogConfig {
            driver: config.log_config.kind.clone(),
            options: config.log_config.config.clone().unwrap_or_default().into_iter().collect(),
        },
        runtime: config.runtime.clone(),
        masked_paths: config.masked_paths.clone(),
        readonly_paths: config.readonly_paths.clone(),
        storage_opt: config.storage_opt.clone().unwrap_or_default().into_iter().collect(),
        console_size: console_size(config.console_size),
    })
}

fn list(list: &List<String>) -> Vec<String> {
    list.clone().unwrap_or_default()
}

fn console_size(Pair(height, width): Pair<u64>) -> Option<(u16, u16)> {
    let size = (u16::try_from(height).ok()?, u16::try_from(width).ok()?);
    (size != (0, 0)).then_some(size)
}

fn network_mode(text: &str) -> Result<NetworkMode> {
    text.parse().map_err(|_| Refusal::new("invalid container format container:<name|id>"))
}

/// Reads a restart policy.
pub fn restart_policy(policy: &wire::RestartPolicy) -> Result<RestartPolicy> {
    let count = policy.maximum_retry_count;
    let unbounded = || {
        if count == 0 {
            return Ok(());
        }
        let more = if count < 0 { " and cannot be negative" } else { "" };
        Err(Refusal::new(format!(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'{more}"
        )))
    };
    match policy.name.as_str() {
        // Old clients sent any count with an empty name.
        "" => Ok(RestartPolicy::No),
        "no" => unbounded().map(|()| RestartPolicy::No),
        "always" => unbounded().map(|()| RestartPolicy::Always),
        "unless-stopped" => unbounded().map(|()| RestartPolicy::UnlessStopped),
        "on-failure" => match u32::try_from(count) {
            Ok(max_retries) => Ok(RestartPolicy::OnFailure { max_retries }),
            Err(_) => {
                Err(Refusal::new("invalid restart policy: maximum retry count cannot be negative"))
            }
        },
        other => Err(Refusal::new(format!(
            "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', \
             'on-failure', or 'unless-stopped'"
        ))),
    }
}

fn namespaces(config: &HostConfig) -> Result<NamespaceModes> {
    let mode = |what: &'static str, text: &str| {
        NamespaceMode::parse(what, text)
            .map_err(|error| Refusal::new(format!("invalid {}: {}", error.what, error.text)))
    };
    let ipc: IpcMode = config
        .ipc_mode
        .parse()
        .map_err(|_| Refusal::new(format!("invalid IPC mode: {}", config.ipc_mode)))?;
    let uts = mode("UTS mode", &config.uts_mode)?;
    if matches!(uts, NamespaceMode::Container(_)) {
        return Err(Refusal::new(format!("invalid UTS mode: {}", config.uts_mode)));
    }
    if !config.cgroup.is_empty() {
        return Err(Refusal::new(format!(
            "sharing the control group of another container is not supported: {}",
            config.cgroup
        )));
    }
    Ok(NamespaceModes {
        pid: mode("PID mode", &config.pid_mode)?,
        ipc,
        uts,
        user: config.userns_mode.clone(),
        cgroup: match config.cgroupns_mode.as_str() {
            "" => None,
            "private" => Some(CgroupNamespace::Private),
            "host" => Some(CgroupNamespace::Host),
            other => {
                return Err(Refusal::new(format!("invalid cgroup namespace mode: {other}")));
            }
        },
    })
}

/// Checks the form; whether a profile exists or parses is the engine's to say.
fn security_options(options: &List<String>) -> Result<Vec<String>> {
    for option in options.iter().flatten() {
        if option == "no-new-privileges" {
            continue;
        }
        // `:` is the old separator.
        let Some((key, value)) = option.split_once('=').or_else(|| option.split_once(':')) else {
            return Err(Refusal::new(format!("invalid --security-opt 1: {option:?}")));
        };
        let boolean = || match value {
            "1" | "t" | "T" | "true" | "TRUE" | "True" | "0" | "f" | "F" | "false" | "FALSE"
            | "False" => Ok(()),
            _ => Err(Refusal::new(format!("invalid --security-opt 2: {option:?}"))),
        };
        match key {
            "label" | "apparmor" | "seccomp" => {}
            "no-new-privileges" | "writable-cgroups" => boolean()?,
            _ => return Err(Refusal::new(format!("invalid --security-opt 2: {option:?}"))),
        }
    }
    Ok(list(options))
}

fn extra_hosts(hosts: &List<String>) -> Result<Vec<String>> {
    for text in hosts.iter().flatten() {
        // `=` may stand for the first colon.
        let Some((host, target)) = text.split_once(['=', ':']) else {
            return Err(Refusal::new(format!("bad format for add-host: {text:?}")));
        };
        if host.is_empty() || target.is_empty() {
            return Err(Refusal::new(format!("bad format for add-host: {text:?}")));
        }
        let bare = target.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(target);
        if target != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
            return Err(Refusal::new(format!("invalid IP address in add-host: {target:?}")));
        }
    }
    Ok(list(hosts))
}

fn links(links: &List<String>) -> Result<Vec<String>> {
    for text in links.iter().flatten() {
        let parts: Vec<&str> = text.split(':').collect();
        if text.is_empty() || parts.len() > 2 || parts.contains(&"") {
            return Err(Refusal::new(format!("bad format for links: {text}")));
        }
    }
    Ok(list(links))
}

fn devices(devices: &List<wire::DeviceMapping>) -> Result<Vec<DeviceMapping>> {
    let convert = |device: &wire::DeviceMapping| {
        let permissions = match device.cgroup_permissions.as_str() {
            "" => "rwm",
            text if text.bytes().all(|b| b"rwm".contains(&b)) => text,
            text => return Err(Refusal::new(format!("invalid device mode: {text}"))),
        };
        if !device.path_on_host.starts_with('/') {
            return Err(Refusal::new(format!("invalid device path: {:?}", device.path_on_host)));
        }
        let container_path =
            some_text(&device.path_in_container).unwrap_or_else(|| device.path_on_host.clone());
        if !container_path.starts_with('/') {
            return Err(Refusal::new(format!("{container_path} is not an absolute path")));
        }
        Ok(DeviceMapping {
            host_path: device.path_on_host.clone(),
            container_path,
            permissions: permissions.to_owned(),
        })
    };
    devices.iter().flatten().map(convert).collect()
}

/// `c 42:* rmw`
fn device_cgroup_rules(rules: &List<String>) -> Result<Vec<String>> {
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    for rule in rules.iter().flatten() {
        let words: Vec<&str> = rule.split(' ').collect();
        let ok = match words.as_slice() {
            [kind, device, access] => {
                matches!(*kind, "a" | "b" | "c")
                    && device.split_once(':').is_some_and(|(a, b)| number(a) && number(b))
                    && (1..=3).contains(&access.len())
                    && access.bytes().all(|b| b"rwm".contains(&b))
            }
            _ => false,
        };
        if !ok {
            return Err(Refusal::new(format!("invalid device cgroup rule format: '{rule}'")));
        }
    }
    Ok(list(rules))
}

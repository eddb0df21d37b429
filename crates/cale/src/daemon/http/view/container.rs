//! Containers: list lines, inspection, path facts.

use std::collections::BTreeMap;

use api::{
    convert::{self, rfc3339_nano, unix_seconds},
    wire::{
        self, ContainerInspect, ContainerState, ContainerSummary, DriverData, EndpointSettings,
        HealthcheckResult, List, NetworkSettings, PortSummary, SummaryHealth, SummaryHostConfig,
        SummaryNetworks, map_of, map_or_null,
    },
};
use engine::container::{
    Endpoint, HealthState, Inspection, MountPoint, PathStat, Record, Snapshot, State, Summary,
};
use model::{
    mount::{MountSource, Propagation},
    state::{Health, Status},
};

use super::status;

/// A line of `GET /containers/json`.
pub fn summary(one: &Summary, now_ns: i64) -> ContainerSummary {
    let Snapshot { record, state } = &one.snapshot;
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    ContainerSummary {
        id: record.id.to_string(),
        names: Some(vec![format!("/{}", record.name)]),
        image: one.image.clone(),
        image_id: record.image_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        image_manifest_descriptor: None,
        command: command_line(record),
        created: unix_seconds(record.created_ns),
        ports: port_summaries(record, state),
        size_rw: one.sizes.map_or(0, |sizes| size(sizes.writable)),
        size_root_fs: one.sizes.map_or(0, |sizes| size(sizes.total)),
        labels: map_of(&record.spec.labels),
        state: state.status.name().to_owned(),
        status: status::sentence(state, now_ns),
        host_config: SummaryHostConfig {
            network_mode: record.spec.host.network_mode.to_string(),
            annotations: map_or_null(&record.spec.annotations),
        },
        health: Some(SummaryHealth {
            status: health_name(state.health.status).to_owned(),
            failing_streak: state.health.failing_streak.into(),
        }),
        network_settings: Some(SummaryNetworks { networks: Some(endpoints(record, state)) }),
        mounts: record.mounts.iter().map(mount_point).collect(),
    }
}

/// Path and arguments; arguments with spaces are quoted.
fn command_line(record: &Record) -> String {
    let (path, arguments) = record.command();
    let mut text = path;
    for argument in arguments {
        text.push(' ');
        if argument.contains(' ') {
            text.push('\'');
            text.push_str(&argument);
            text.push('\'');
        } else {
            text.push_str(&argument);
        }
    }
    text
}

fn health_name(health: Health) -> &'static str {
    match health {
        Health::None => "none",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

fn port_summaries(record: &Record, state: &State) -> Vec<PortSummary> {
    if !state.is_running() {
        return Vec::new();
    }
    let mut ports: Vec<PortSummary> = state
        .ports
        .iter()
        .map(|port| PortSummary {
            ip: port.host_ip.to_string(),
            private_port: port.container.port,
            public_port: port.host_port,
            kind: port.container.protocol.to_string(),
        })
        .collect();
    for port in &record.spec.exposed_ports {
        if !state.ports.iter().any(|published| published.container == *port) {
            ports.push(PortSummary {
                private_port: port.port,
                kind: port.protocol.to_string(),
                ..PortSummary::default()
            });
        }
    }
    ports
}

fn port_map(record: &Record, state: &State) -> BTreeMap<String, List<wire::PortBinding>> {
    let mut map: BTreeMap<String, List<wire::PortBinding>> = BTreeMap::new();
    if !state.is_running() {
        return map;
    }
    for port in &record.spec.exposed_ports {
        map.insert(port.to_string(), None);
    }
    for port in &state.ports {
        map.entry(port.container.to_string()).or_default().get_or_insert_default().push(
            wire::PortBinding {
                host_ip: port.host_ip.to_string(),
                host_port: port.host_port.to_string(),
            },
        );
    }
    map
}

fn endpoints(record: &Record, state: &State) -> BTreeMap<String, EndpointSettings> {
    let mut map: BTreeMap<String, EndpointSettings> =
        state.endpoints.iter().map(|(name, one)| (name.clone(), endpoint(one))).collect();
    for (id, wanted) in &record.networks {
        map.entry(wanted.name.clone()).or_insert_with(|| EndpointSettings {
            network_id: id.clone(),
            ..convert::endpoint_settings(&wanted.spec)
        });
    }
    map
}

fn endpoint(endpoint: &Endpoint) -> EndpointSettings {
    let text = |address: Option<String>| address.unwrap_or_default();
    let mut out = convert::endpoint_settings(&endpoint.spec);
    out.network_id = text(endpoint.network_id.as_ref().map(ToString::to_string));
    out.endpoint_id.clone_from(&endpoint.endpoint_id);
    if !endpoint.mac_address.is_empty() {
        out.mac_address.clone_from(&endpoint.mac_address);
    }
    out.gateway = text(endpoint.gateway.map(|a| a.to_string()));
    out.ip_address = text(endpoint.ipv4.map(|(a, _)| a.to_string()));
    out.ip_prefix_len = endpoint.ipv4.map_or(0, |(_, prefix)| prefix.into());
    out.ipv6_gateway = text(endpoint.gateway6.map(|a| a.to_string()));
    out.global_ipv6_address = text(endpoint.ipv6.map(|(a, _)| a.to_string()));
    out.global_ipv6_prefix_len = endpoint.ipv6.map_or(0, |(_, prefix)| prefix.into());
    out.dns_names = (!endpoint.dns_names.is_empty()).then(|| endpoint.dns_names.clone());
    out
}

fn mount_point(point: &MountPoint) -> wire::MountPoint {
    let bind = matches!(point.mount.source, MountSource::Bind { .. });
    let propagation = match point.propagation {
        // dockerd shows the default of binds, and nothing for the others.
        Propagation::Unset if bind => "rprivate",
        other => convert::propagation_name(other),
    };
    wire::MountPoint {
        kind: convert::mount_kind(&point.mount.source).to_owned(),
        name: point.name.clone(),
        source: point.source.display().to_string(),
        destination: point.mount.target.clone(),
        driver: point.driver.clone(),
        mode: point.mode.clone(),
        rw: !point.mount.readonly,
        propagation: propagation.to_owned(),
    }
}

/// `GET /containers/{id}/json`
pub fn inspect(inspection: &Inspection) -> ContainerInspect {
    let Snapshot { record, state } = &inspection.snapshot;
    let (path, args) = record.command();
    let spec = &record.spec;
    let text = |path: &std::path::Path| path.display().to_string();
    let hostname = spec.hostname.clone().unwrap_or_else(|| record.id.short().to_owned());
    let size = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    ContainerInspect {
        id: record.id.to_string(),
        created: rfc3339_nano(Some(record.created_ns)),
        path,
        args,
        state: container_state(record, state),
        image: record.image_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        resolv_conf_path: text(&inspection.resolv_conf_path),
        hostname_path: text(&inspection.hostname_path),
        hosts_path: text(&inspection.hosts_path),
        log_path: inspection.log_path.as_deref().map(text).unwrap_or_default(),
        name: format!("/{}", record.name),
        restart_count: record.restart_count.into(),
        driver: "overlay2".to_owned(),
        platform: "linux".to_owned(),
        mount_label: String::new(),
        process_label: String::new(),
        app_armor_profile: String::new(),
        exec_ids: (!state.execs.is_empty()).then(|| state.execs.clone()),
        host_config: convert::host_config(spec),
        graph_driver: Some(graph_driver(inspection)),
        storage: None,
        size_rw: inspection.sizes.map(|sizes| size(sizes.writable)),
        size_root_fs: inspection.sizes.map(|sizes| size(sizes.total)),
        mounts: record.mounts.iter().map(mount_point).collect(),
        config: convert::config(spec, &hostname),
        network_settings: NetworkSettings {
            sandbox_id: if state.netns.is_empty() { String::new() } else { record.id.to_string() },
            sandbox_key: state.netns.clone(),
            ports: Some(port_map(record, state)),
            networks: Some(endpoints(record, state)),
            ..NetworkSettings::default()
        },
        image_manifest_descriptor: None,
    }
}

fn graph_driver(inspection: &Inspection) -> DriverData {
    let text = |path: &std::path::Path| path.display().to_string();
    let lower: Vec<String> = inspection.lower_dirs.iter().rev().map(|dir| text(dir)).collect();
    let mut data = BTreeMap::from([
        ("LowerDir".to_owned(), lower.join(":")),
        ("UpperDir".to_owned(), text(&inspection.upper_dir)),
        ("WorkDir".to_owned(), text(&inspection.work_dir)),
    ]);
    data.insert("ID".to_owned(), inspection.snapshot.record.id.to_string());
    DriverData { data: Some(data), name: "overlay2".to_owned() }
}

fn container_state(record: &Record, state: &State) -> ContainerState {
    let checked = record.spec.healthcheck.as_ref().is_some_and(|check| {
        check.test.first().is_some_and(|first| !first.is_empty() && first != "NONE")
    });
    ContainerState {
        status: state.status.name().to_owned(),
        // A paused or restarting container counts as running.
        running: state.is_running() || state.status == Status::Restarting,
        paused: state.status == Status::Paused,
        restarting: state.status == Status::Restarting,
        oom_killed: state.oom_killed,
        dead: state.status == Status::Dead,
        pid: state.pid.into(),
        exit_code: state.exit_code,
        error: state.error.clone(),
        started_at: rfc3339_nano(state.started_ns),
        finished_at: rfc3339_nano(state.finished_ns),
        health: checked.then(|| health(&state.health)),
    }
}

fn health(state: &HealthState) -> wire::Health {
    let log = state
        .log
        .iter()
        .map(|probe| HealthcheckResult {
            start: rfc3339_nano(Some(probe.start_ns)),
            end: rfc3339_nano(Some(probe.end_ns)),
            exit_code: probe.exit_code,
            output: probe.output.clone(),
        })
        .collect();
    wire::Health {
        status: health_name(state.status).to_owned(),
        failing_streak: state.failing_streak.into(),
        log: Some(log),
    }
}

/// Facts about a path; the mode becomes Go's.
pub fn path_stat(stat: &PathStat) -> wire::PathStat {
    wire::PathStat {
        name: stat.name.clone(),
        size: stat.size,
        mode: go_mode(stat.unix_mode),
        mtime: rfc3339_nano(Some(stat.modified_ns)),
        link_target: stat.link_target.clone(),
    }
}

/// `os.FileMode`: permissions below, type bits from the top.
fn go_mode(unix: u32) -> u32 {
    const DIRECTORY: u32 = 1 << 31;
    const SYMLINK: u32 = 1 << 27;
    const DEVICE: u32 = 1 << 26;
    const PIPE: u32 = 1 << 25;
    const SOCKET: u32 = 1 << 24;
    const SETUID: u32 = 1 << 23;
    const SETGID: u32 = 1 << 22;
    const CHARACTER: u32 = 1 << 21;
    const STICKY: u32 = 1 << 20;
    // stat(2): the file type is in 0170000.
    let kind = match unix & 0o170_000 {
        0o040_000 => DIRECTORY,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHARACTER,
        0o010_000 => PIPE,
        0o140_000 => SOCKET,
        _ => 0,
    };
    let bit = |bits: u32, go: u32| if unix & bits != 0 { go } else { 0 };
    kind | bit(0o4000, SETUID) | bit(0o2000, SETGID) | bit(0o1000, STICKY) | (unix & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        assert_eq!(go_mode(0o100_644), 0o644);
        assert_eq!(go_mode(0o040_755), (1 << 31) | 0o755);
        assert_eq!(go_mode(0o041_777), (1 << 31) | (1 << 20) | 0o777);
        assert_eq!(go_mode(0o104_755), (1 << 23) | 0o755);
        assert_eq!(go_mode(0o120_777), (1 << 27) | 0o777);
        assert_eq!(go_mode(0o020_666), (1 << 26) | (1 << 21) | 0o666);
    }
}

//! Create requests → [`ContainerSpec`].

use indexmap::IndexMap;
use jiff::SignedDuration;
use model::{
    container::{AttachFlags, ContainerSpec, HealthCheck, ProcessSpec},
    network::{EndpointSpec, NetworkMode},
};

use super::{
    HostFacts, Refusal, Result, clean_path, endpoint_spec, host, limits, parse_container_ports,
    some_text, time,
};
use crate::{
    version::CreateDefaults,
    wire::{Config, CreateRequest, HealthConfig},
};

/// Validates a create request of the newest version; the second value is warnings.
pub fn container_spec(
    request: &CreateRequest,
    defaults: CreateDefaults,
    platform: Option<&str>,
    facts: HostFacts,
) -> Result<(ContainerSpec, Vec<String>)> {
    let CreateRequest { config, host_config, networking_config } = request;
    let warnings = limits::warnings(host_config);
    let host = host::host_spec(host_config, defaults.shallow_readonly, facts)?;
    let mut exposed_ports = Vec::new();
    for port in config.exposed_ports.keys() {
        exposed_ports.extend(parse_container_ports(port)?);
    }
    let endpoints = endpoints(networking_config.endpoints_config.as_ref())?;
    let spec = ContainerSpec {
        image: config.image.clone(),
        platform: platform.filter(|_| defaults.platform).and_then(some_text),
        process: process(config)?,
        hostname: some_text(&config.hostname),
        domainname: some_text(&config.domainname),
        labels: config.labels.clone().unwrap_or_default().into_iter().collect(),
        annotations: host_config.annotations.clone().unwrap_or_default().into_iter().collect(),
        exposed_ports,
        volumes: volumes(config)?,
        healthcheck: config.healthcheck.as_ref().map(health_check).transpose()?,
        host,
        endpoints,
        mac_address: some_text(&config.mac_address),
        network_disabled: config.network_disabled,
    };
    check_together(&spec)?;
    Ok((spec, warnings))
}

fn process(config: &Config) -> Result<ProcessSpec> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return Err(Refusal::new(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        )));
    }
    let env = config.env.clone().unwrap_or_default();
    if let Some(bad) = env.iter().find(|text| text.is_empty() || text.starts_with('=')) {
        return Err(Refusal::new(format!("invalid environment variable: {bad}")));
    }
    if let Some(bad) = env.iter().find(|text| text.contains('\0')) {
        return Err(Refusal::new(format!("invalid environment variable: {bad:?}")));
    }
    let words = |list: &Option<crate::go::Words>| list.as_ref().map(|words| words.0.clone());
    Ok(ProcessSpec {
        entrypoint: words(&config.entrypoint),
        cmd: words(&config.cmd),
        env,
        working_dir: some_text(&config.working_dir).map(|dir| clean_path(&dir)),
        user: some_text(&config.user),
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        attach: AttachFlags {
            stdin: config.attach_stdin,
            stdout: config.attach_stdout,
            stderr: config.attach_stderr,
        },
        stop_signal: some_text(&config.stop_signal),
        stop_timeout_s: config.stop_timeout,
        shell: words(&config.shell),
        args_escaped: config.args_escaped,
    })
}

fn volumes(config: &Config) -> Result<Vec<String>> {
    let convert = |path: &String| match path.strip_prefix('/') {
        Some("") | None => Err(Refusal::new(format!("invalid volume specification: '{path}'"))),
        Some(_) => Ok(clean_path(path)),
    };
    config.volumes.iter().flat_map(|map| map.keys()).map(convert).collect()
}

fn endpoints(
    given: Option<&IndexMap<String, Option<crate::wire::EndpointSettings>>>,
) -> Result<IndexMap<String, EndpointSpec>> {
    let mut out = IndexMap::new();
    for (network, settings) in given.into_iter().flatten() {
        let spec = match settings {
            Some(settings) => endpoint_spec(network, settings)?,
            None => EndpointSpec::default(),
        };
        out.insert(network.clone(), spec);
    }
    Ok(out)
}

/// Judges a health check; all times are nanoseconds.
pub fn health_check(check: &HealthConfig) -> Result<HealthCheck> {
    let least = SignedDuration::from_millis(1);
    for (name, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value != 0 && SignedDuration::from_nanos(value) < least {
            return Err(Refusal::new(format!(
                "{name} in Healthcheck cannot be less than {}",
                time::go_duration_text(least)
            )));
        }
    }
    if check.retries < 0 {
        return Err(Refusal::new("Retries in Healthcheck cannot be negative"));
    }
    let test = check.test.clone().unwrap_or_default();
    match test.first().map(String::as_str) {
        None | Some("" | "NONE" | "CMD" | "CMD-SHELL") => {}
        Some(other) => {
            return Err(Refusal::new(format!(
                "Unknown type in HEALTHCHECK: {other:?} (use NONE, CMD or CMD-SHELL)"
            )));
        }
    }
    Ok(HealthCheck {
        test,
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    })
}

/// Settings that contradict each other.
fn check_together(spec: &ContainerSpec) -> Result<()> {
    let refuse = |text: &str| Err(Refusal::new(text));
    let host = &spec.host;
    let restarts = host.restart_policy != model::container::RestartPolicy::No;
    if host.auto_remove && restarts {
        return refuse("can't create 'AutoRemove' container with restart policy");
    }
    if host.namespaces.uts == model::container::NamespaceMode::Host && spec.hostname.is_some() {
        return refuse("conflicting options: hostname and the UTS mode");
    }
    match &host.network_mode {
        NetworkMode::Container(_) => {
            if spec.hostname.is_some() {
                return refuse("conflicting options: hostname and the network mode");
            }
            if !host.links.is_empty() {
                return refuse(
                    "conflicting options: container type network can't be used with links. This \
                     would result in undefined behavior",
                );
            }
            if !host.dns.is_empty() {
                return refuse("conflicting options: dns and the network mode");
            }
            if !host.extra_hosts.is_empty() {
                return refuse(
                    "conflicting options: custom host-to-IP mapping and the network mode",
                );
            }
            if !host.port_bindings.is_empty() || host.publish_all_ports {
                return refuse(
                    "conflicting options: port publishing and the container type network mode",
                );
            }
            if !spec.exposed_ports.is_empty() {
                return refuse(
                    "conflicting options: port exposing and the container type network mode",
                );
            }
        }
        NetworkMode::Host if !host.links.is_empty() => {
            return refuse(
                "conflicting options: host type networking can't be used with links. This would \
                 result in undefined behavior",
            );
        }
        NetworkMode::Default | NetworkMode::None | NetworkMode::Host | NetworkMode::Named(_) => {}
    }
    check_targets(spec)
}

/// No two mounts at one place.
fn check_targets(spec: &ContainerSpec) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    let mounts = spec.host.mounts.iter().map(|mount| mount.target.clone());
    let tmpfs = spec.host.tmpfs.keys().map(|path| clean_path(path));
    for target in mounts.chain(tmpfs) {
        if seen.contains(&target) {
            return Err(Refusal::new(format!("Duplicate mount point: {target}")));
        }
        seen.insert(target);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<ContainerSpec, String> {
        let request = CreateRequest::from_slice(json.as_bytes()).map_err(|e| e.to_string())?;
        let defaults = CreateDefaults { shallow_readonly: false, platform: true };
        container_spec(&request, defaults, Some(""), HostFacts { cpus: 2 })
            .map(|(spec, _)| spec)
            .map_err(|e| e.message)
    }

    #[test]
    fn what_docker_run_sends_is_read() {
        // As the docker client sends `run -it --rm -e A=b -p 8080:80 -v /s:/d:ro --memory 64m`.
        let spec = read(
            r#"{"Hostname":"","Domainname":"","User":"","AttachStdin":true,"AttachStdout":true,
            "AttachStderr":true,"ExposedPorts":{"80/tcp":{}},"Tty":true,"OpenStdin":true,
            "StdinOnce":true,"Env":["A=b"],"Cmd":["sh"],"Image":"debian","Volumes":{},
            "WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":{},
            "HostConfig":{"Binds":["/s:/d:ro"],"ContainerIDFile":"","LogConfig":{"Type":"","Config":{}},
            "NetworkMode":"default","PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]},
            "RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":true,"ConsoleSize":[40,120],
            "CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],"DnsOptions":[],"DnsSearch":[],
            "ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"","Links":null,"OomScoreAdj":0,
            "PidMode":"","Privileged":false,"PublishAllPorts":false,"ReadonlyRootfs":false,
            "SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,"Memory":67108864,
            "BlkioWeightDevice":[],"Devices":[],"MemorySwappiness":-1,"OomKillDisable":false,
            "PidsLimit":0,"Ulimits":[],"MaskedPaths":null,"ReadonlyPaths":null},
            "NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,"Links":null,
            "Aliases":null,"MacAddress":"","GwPriority":0,"DriverOpts":null}}}}"#,
        )
        .unwrap();
        assert!(spec.host.auto_remove && spec.process.tty && spec.process.attach.stdin);
        assert_eq!(spec.process.cmd.as_deref(), Some(&["sh".to_owned()][..]));
        assert_eq!(spec.process.entrypoint, None);
        assert_eq!(spec.host.port_bindings[0].host_ports, Some((8080, 8080)));
        assert!(spec.host.mounts[0].readonly);
        assert_eq!(spec.host.resources.memory, Some(64 << 20));
        assert_eq!(spec.host.resources.memory_swappiness, None);
        assert_eq!(spec.host.console_size, Some((40, 120)));
        assert_eq!(spec.host.shm_size, None);
    }

    #[test]
    fn contradictions_are_refused_in_dockers_words() {
        for (json, want) in [
            (
                r#"{"HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}"#,
                "can't create 'AutoRemove' container with restart policy",
            ),
            (
                r#"{"HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#,
                "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
            ),
            (
                r#"{"HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":1}}}"#,
                "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            ),
            (
                r#"{"Hostname":"x","HostConfig":{"NetworkMode":"container:db"}}"#,
                "conflicting options: hostname and the network mode",
            ),
            (
                r#"{"Hostname":"x","HostConfig":{"UTSMode":"host"}}"#,
                "conflicting options: hostname and the UTS mode",
            ),
            (r#"{"HostConfig":{"PidMode":"bogus"}}"#, "invalid PID mode: bogus"),
            (r#"{"HostConfig":{"IpcMode":"bogus"}}"#, "invalid IPC mode: bogus"),
            (
                r#"{"HostConfig":{"NetworkMode":"container:"}}"#,
                "invalid container format container:<name|id>",
            ),
            (
                r#"{"WorkingDir":"rel"}"#,
                "the working directory 'rel' is invalid, it needs to be an absolute path",
            ),
            (r#"{"Env":["=x"]}"#, "invalid environment variable: =x"),
            (
                r#"{"Healthcheck":{"Interval":1000}}"#,
                "Interval in Healthcheck cannot be less than 1ms",
            ),
            (r#"{"Healthcheck":{"Retries":-1}}"#, "Retries in Healthcheck cannot be negative"),
            (r#"{"HostConfig":{"Binds":["/a:/d","/b:/d/"]}}"#, "Duplicate mount point: /d"),
            (r#"{"HostConfig":{"Tmpfs":{"/x":"bogus"}}}"#, "invalid tmpfs option \"bogus\""),
            (r#"{"HostConfig":{"ExtraHosts":["nohost"]}}"#, "bad format for add-host: \"nohost\""),
            (
                r#"{"HostConfig":{"SecurityOpt":["seccomp"]}}"#,
                "invalid --security-opt 1: \"seccomp\"",
            ),
            (
                r#"{"HostConfig":{"SecurityOpt":["foo=bar"]}}"#,
                "invalid --security-opt 2: \"foo=bar\"",
            ),
            (
                r#"{"HostConfig":{"DeviceCgroupRules":["x"]}}"#,
                "invalid device cgroup rule format: 'x'",
            ),
        ] {
            assert_eq!(read(json).unwrap_err(), want, "{json}");
        }
    }

    #[test]
    fn empty_and_absent_commands_differ() {
        assert_eq!(read(r#"{"Entrypoint":[]}"#).unwrap().process.entrypoint, Some(vec![]));
        assert_eq!(read(r#"{"Entrypoint":null}"#).unwrap().process.entrypoint, None);
        let text = read(r#"{"Cmd":"echo hi"}"#).unwrap().process.cmd;
        assert_eq!(text, Some(vec!["echo hi".to_owned()]));
    }

    #[test]
    fn documents_that_are_none_are_refused() {
        for bad in ["", "[]", "{", "{}x", r#"{"Cmd":5}"#, r#"{"HostConfig":{"Memory":"x"}}"#] {
            assert!(CreateRequest::from_slice(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

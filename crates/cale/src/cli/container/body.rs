//! From flags to the body of `POST /containers/create`.

use serde_json::{Map, Value as Json, json};

use super::{devices, environment, mounts, networks, ports};
use crate::cli::error::CliError;
use crate::cli::flags::{Matches, value};
use crate::cli::format::units;

/// A JSON object in the making; a value is left out if it says nothing.
#[derive(Default)]
pub struct Object(pub Map<String, Json>);

impl Object {
    /// Sets a key in any case.
    pub fn set(&mut self, key: &str, value: impl Into<Json>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets a text unless it is empty.
    pub fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.set(key, value);
        }
    }

    /// Sets a number unless it is zero.
    pub fn number(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.set(key, value);
        }
    }

    /// Sets a list unless it is empty.
    pub fn list<T: Into<Json>>(&mut self, key: &str, values: Vec<T>) {
        if !values.is_empty() {
            self.set(key, values);
        }
    }

    /// Sets an object unless it is empty.
    pub fn map(&mut self, key: &str, values: Map<String, Json>) {
        if !values.is_empty() {
            self.set(key, values);
        }
    }

    /// Sets `true`, or nothing.
    pub fn on(&mut self, key: &str, value: bool) {
        if value {
            self.set(key, true);
        }
    }
}

/// Pairs of texts as an object.
pub fn pairs(values: Vec<(String, String)>) -> Map<String, Json> {
    values.into_iter().map(|(key, value)| (key, Json::from(value))).collect()
}

/// Which streams the user wants attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl Attached {
    /// From `-a`, `-i` and `-d`: without `-a`, output and error, and input if it stays open.
    ///
    /// # Errors
    /// If `-a` names something else.
    pub fn read(m: &Matches, detach: bool) -> Result<Self, CliError> {
        let named = m.list("attach");
        let mut attached = Attached { stdin: false, stdout: false, stderr: false };
        for name in &named {
            match name.to_lowercase().as_str() {
                "stdin" => attached.stdin = true,
                "stdout" => attached.stdout = true,
                "stderr" => attached.stderr = true,
                _ => {
                    return Err(CliError::invalid(format!(
                        "invalid argument {name:?} for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"
                    )));
                }
            }
        }
        if named.is_empty() && !detach {
            attached = Attached { stdin: m.on("interactive"), stdout: true, stderr: true };
        }
        Ok(attached)
    }

    /// Whether anything is attached.
    pub fn any(self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// The body for `image` and `command`.
///
/// # Errors
/// Docker's sentences about wrong or conflicting flags.
pub fn build(
    m: &Matches,
    image: &str,
    command: &[String],
    attached: Attached,
    proxies: &[(String, String)],
) -> Result<Json, CliError> {
    let ports = ports::parse(&m.list("publish"), &m.list("expose"))?;
    let networks = networks::parse(m)?;
    let (anonymous, binds) = mounts::volumes(&m.list("volume"))?;
    let variables = environment::variables(&m.list("env-file"), &m.list("env"))?;
    let mut body = Object::default();
    body.text("Hostname", m.text("hostname"));
    body.text("Domainname", m.text("domainname"));
    body.text("User", m.text("user"));
    body.set("AttachStdin", attached.stdin);
    body.set("AttachStdout", attached.stdout);
    body.set("AttachStderr", attached.stderr);
    body.map("ExposedPorts", ports.exposed);
    body.set("Tty", m.on("tty"));
    body.set("OpenStdin", m.on("interactive"));
    body.set("StdinOnce", attached.stdin);
    body.list("Env", with_proxies(variables, proxies));
    body.list("Cmd", command.to_vec());
    if let Some(health) = health(m)? {
        body.set("Healthcheck", health);
    }
    body.set("Image", image);
    body.map("Volumes", anonymous);
    body.text("WorkingDir", m.text("workdir"));
    if let Some(entrypoint) = m.typed("entrypoint") {
        // An empty entrypoint removes the image's.
        body.set("Entrypoint", vec![entrypoint]);
    }
    body.text("MacAddress", m.text("mac-address"));
    body.map("Labels", pairs(environment::labels(&m.list("label-file"), &m.list("label"))?));
    body.text("StopSignal", m.text("stop-signal"));
    if m.given("stop-timeout") {
        body.set("StopTimeout", m.int("stop-timeout"));
    }
    let mut host = host_config(m, &networks.mode)?;
    host.map("PortBindings", ports.bindings);
    host.list("Binds", binds);
    body.set("HostConfig", host.0);
    body.set("NetworkingConfig", json!({"EndpointsConfig": networks.endpoints}));
    Ok(Json::Object(body.0))
}

fn with_proxies(mut variables: Vec<String>, proxies: &[(String, String)]) -> Vec<String> {
    for (name, value) in proxies {
        if !variables.iter().any(|v| v.split('=').next() == Some(name)) {
            variables.push(format!("{name}={value}"));
        }
    }
    variables
}

const HEALTH_FLAGS: &[(&str, &str)] = &[
    ("health-interval", "Interval"),
    ("health-timeout", "Timeout"),
    ("health-start-period", "StartPeriod"),
    ("health-start-interval", "StartInterval"),
];

fn health(m: &Matches) -> Result<Option<Json>, CliError> {
    let any = m.given("health-cmd")
        || m.given("health-retries")
        || HEALTH_FLAGS.iter().any(|(flag, _)| m.given(flag));
    if m.on("no-healthcheck") {
        if any {
            return Err(CliError::invalid("--no-healthcheck conflicts with --health-* options"));
        }
        return Ok(Some(json!({"Test": ["NONE"]})));
    }
    if !any {
        return Ok(None);
    }
    if m.int("health-retries") < 0 {
        return Err(CliError::invalid("--health-retries cannot be negative"));
    }
    let mut health = Object::default();
    if !m.text("health-cmd").is_empty() {
        health.set("Test", vec!["CMD-SHELL", m.text("health-cmd")]);
    }
    for (flag, key) in HEALTH_FLAGS {
        if m.duration_ns(flag) < 0 {
            return Err(CliError::invalid(format!("--{flag} cannot be negative")));
        }
        health.number(key, m.duration_ns(flag));
    }
    health.number("Retries", m.int("health-retries"));
    Ok(Some(Json::Object(health.0)))
}

fn host_config(m: &Matches, network_mode: &str) -> Result<Object, CliError> {
    let mut host = resources(m)?;
    device_config(m, &mut host)?;
    host.text("ContainerIDFile", m.text("cidfile"));
    host.set("NetworkMode", network_mode);
    host.set("RestartPolicy", restart_policy(m.text("restart"))?);
    if m.on("rm") && !matches!(m.text("restart"), "" | "no") {
        return Err(CliError::invalid(
            "conflicting options: cannot specify both --restart and --rm",
        ));
    }
    host.on("AutoRemove", m.on("rm"));
    host.text("VolumeDriver", m.text("volume-driver"));
    host.list("VolumesFrom", m.list("volumes-from"));
    host.list("CapAdd", m.list("cap-add"));
    host.list("CapDrop", m.list("cap-drop"));
    host.text("CgroupnsMode", m.text("cgroupns"));
    host.list("Dns", m.list("dns"));
    host.list("DnsOptions", m.list("dns-option"));
    host.list("DnsSearch", m.list("dns-search"));
    host.list("ExtraHosts", extra_hosts(&m.list("add-host"))?);
    host.list("GroupAdd", m.list("group-add"));
    host.text("IpcMode", m.text("ipc"));
    host.number("OomScoreAdj", m.int("oom-score-adj"));
    host.text("PidMode", m.text("pid"));
    host.on("Privileged", m.on("privileged"));
    host.on("PublishAllPorts", m.on("publish-all"));
    host.on("ReadonlyRootfs", m.on("read-only"));
    host.list("SecurityOpt", security_options(&m.list("security-opt"))?);
    host.map("StorageOpt", pairs(m.map("storage-opt")));
    host.map("Tmpfs", mounts::tmpfs(&m.list("tmpfs")));
    host.text("UTSMode", m.text("uts"));
    host.text("UsernsMode", m.text("userns"));
    host.number("ShmSize", m.bytes("shm-size"));
    host.map("Sysctls", pairs(m.map("sysctl")));
    host.map("Annotations", pairs(m.map("annotation")));
    host.text("Runtime", m.text("runtime"));
    host.text("Isolation", m.text("isolation"));
    if m.given("init") {
        host.set("Init", m.on("init"));
    }
    let log_options = pairs(m.map("log-opt"));
    if m.text("log-driver") == "none" && !log_options.is_empty() {
        return Err(CliError::invalid("invalid logging opts for driver none"));
    }
    if m.given("log-driver") || !log_options.is_empty() {
        host.set("LogConfig", json!({"Type": m.text("log-driver"), "Config": log_options}));
    }
    let mut all =
        m.list("mount").iter().map(|l| mounts::mount(l)).collect::<Result<Vec<_>, _>>()?;
    if m.on("use-api-socket") {
        let socket = crate::cli::host::DOCKER_SOCKET;
        all.push(json!({"Type": "bind", "Source": socket, "Target": socket}));
    }
    host.list("Mounts", all);
    // Links of a user-defined network belong to its endpoint.
    if matches!(network_mode, "default" | "bridge") {
        host.list("Links", m.list("link"));
    }
    Ok(host)
}

fn resources(m: &Matches) -> Result<Object, CliError> {
    let mut host = Object::default();
    let swappiness = m.int("memory-swappiness");
    if swappiness != -1 {
        if !(0..=100).contains(&swappiness) {
            return Err(CliError::invalid(format!(
                "invalid value: {swappiness}. Valid memory swappiness range is 0-100"
            )));
        }
        host.set("MemorySwappiness", swappiness);
    }
    host.text("CgroupParent", m.text("cgroup-parent"));
    host.number("Memory", m.bytes("memory"));
    host.number("MemoryReservation", m.bytes("memory-reservation"));
    host.number("MemorySwap", m.bytes("memory-swap"));
    host.number("KernelMemory", m.bytes("kernel-memory"));
    if m.given("cpus") {
        let nano_cpus = units::parse_nano_cpus(m.text("cpus")).map_err(CliError::invalid)?;
        host.number("NanoCpus", nano_cpus);
    }
    for (flag, key) in [
        ("cpu-count", "CpuCount"),
        ("cpu-percent", "CpuPercent"),
        ("cpu-shares", "CpuShares"),
        ("cpu-period", "CpuPeriod"),
        ("cpu-quota", "CpuQuota"),
        ("cpu-rt-period", "CpuRealtimePeriod"),
        ("cpu-rt-runtime", "CpuRealtimeRuntime"),
        ("blkio-weight", "BlkioWeight"),
        ("io-maxiops", "IOMaximumIOps"),
    ] {
        host.number(key, m.int(flag));
    }
    host.number("IOMaximumBandwidth", m.bytes("io-maxbandwidth"));
    host.text("CpusetCpus", m.text("cpuset-cpus"));
    host.text("CpusetMems", m.text("cpuset-mems"));
    if m.given("pids-limit") {
        host.set("PidsLimit", m.int("pids-limit"));
    }
    if m.given("oom-kill-disable") {
        host.set("OomKillDisable", m.on("oom-kill-disable"));
    }
    let limits = m.list("ulimit");
    let limits = limits.iter().filter_map(|text| value::ulimit(text).ok());
    let limits = limits.map(|l| json!({"Name": l.name, "Soft": l.soft, "Hard": l.hard}));
    host.list("Ulimits", limits.collect());
    Ok(host)
}

fn device_config(m: &Matches, host: &mut Object) -> Result<(), CliError> {
    use devices::Amount::{BytesPerSecond, Operations, Weight};
    for (flag, key, amount) in [
        ("blkio-weight-device", "BlkioWeightDevice", Weight),
        ("device-read-bps", "BlkioDeviceReadBps", BytesPerSecond),
        ("device-write-bps", "BlkioDeviceWriteBps", BytesPerSecond),
        ("device-read-iops", "BlkioDeviceReadIOps", Operations),
        ("device-write-iops", "BlkioDeviceWriteIOps", Operations),
    ] {
        host.list(key, devices::throttles(&m.list(flag), amount)?);
    }
    let (paths, named) = devices::devices(&m.list("device"))?;
    host.list("Devices", paths);
    let rules = m.list("device-cgroup-rule");
    rules.iter().try_for_each(|rule| devices::check_rule(rule))?;
    host.list("DeviceCgroupRules", rules);
    let gpus = m.list("gpus");
    let mut requests = gpus.iter().map(|l| devices::gpus(l)).collect::<Result<Vec<_>, _>>()?;
    if !named.is_empty() {
        requests.push(json!({"Driver": "cdi", "DeviceIDs": named}));
    }
    host.list("DeviceRequests", requests);
    Ok(())
}

/// Reads `--restart`.
///
/// # Errors
/// Docker's sentences about wrong policies.
pub fn restart_policy(text: &str) -> Result<Json, CliError> {
    let (name, count) = match text.split_once(':') {
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    if name.is_empty() && count.is_some() {
        return Err(CliError::invalid(
            "invalid restart policy format: no policy provided before colon",
        ));
    }
    let count: i64 = count.map_or(Ok(0), str::parse).map_err(|_| {
        CliError::invalid("invalid restart policy format: maximum retry count must be an integer")
    })?;
    Ok(json!({"Name": name, "MaximumRetryCount": count}))
}

/// `--add-host` lines, with `=` or `:` between name and address.
///
/// # Errors
/// Docker's sentences about wrong lines.
pub fn extra_hosts(lines: &[String]) -> Result<Vec<String>, CliError> {
    lines.iter().map(|line| extra_host(line)).collect()
}

fn extra_host(line: &str) -> Result<String, CliError> {
    let wrong = |reason: String| {
        CliError::invalid(format!("invalid argument {line:?} for \"--add-host\" flag: {reason}"))
    };
    let divided = line.split_once('=').or_else(|| line.split_once(':'));
    let Some((name, address)) = divided.filter(|(name, _)| !name.is_empty()) else {
        return Err(wrong(format!("bad format for add-host: {line:?}")));
    };
    let bare = address.trim_start_matches('[').trim_end_matches(']');
    if bare != "host-gateway" && bare.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong(format!("invalid IP address in add-host: {bare:?}")));
    }
    Ok(format!("{name}:{bare}"))
}

/// A seccomp profile named by path is read here, because the engine may be elsewhere.
fn security_options(options: &[String]) -> Result<Vec<String>, CliError> {
    options.iter().map(|option| security_option(option)).collect()
}

fn security_option(option: &str) -> Result<String, CliError> {
    let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
        Some(parts) => parts,
        None if option == "no-new-privileges" => return Ok(option.to_owned()),
        None => return Err(CliError::invalid(format!("invalid --security-opt: {option:?}"))),
    };
    if key != "seccomp" || matches!(value, "unconfined" | "builtin") {
        return Ok(option.to_owned());
    }
    let failed = |step: &str, e: &dyn std::fmt::Display| {
        CliError::invalid(format!("{step} seccomp profile ({value}) failed: {e}"))
    };
    let text = std::fs::read_to_string(value).map_err(|e| failed("opening", &e))?;
    let compact: Json =
        serde_json::from_str(&text).map_err(|e| failed("compacting json for", &e))?;
    Ok(format!("seccomp={compact}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::run::RUN;
    use crate::cli::flags::parse as grammar;

    fn body(line: &str) -> Result<Json, CliError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let m = grammar::parse(&RUN, "cale", "run", &words).expect("valid flags");
        let attached = Attached::read(&m, m.on("detach"))?;
        build(&m, m.arg(0).unwrap_or(""), &m.args()[1..], attached, &[])
    }

    #[test]
    fn a_plain_run() {
        insta::assert_json_snapshot!(body("img sh -c x").expect("valid"));
    }

    #[test]
    fn many_flags() {
        let line = "-it --rm --name web -e A=1 -v /a:/b:ro -v vol:/v -w /w -u 1:2 -p 8080:80 -P \
            --memory 64m --cpus 1.5 --entrypoint /bin/x --init --read-only --tmpfs /t:size=1m \
            --cap-add NET_ADMIN --cap-drop ALL --privileged --ulimit nofile=1:2 --label a=b \
            --add-host h:1.2.3.4 --dns 1.1.1.1 --log-driver local --log-opt max-size=1m \
            --restart=no --health-cmd true --health-interval 5s --network n --network-alias al \
            --device /dev/null --shm-size 1m --sysctl net.x=1 --pids-limit 5 --stop-timeout 3 img arg";
        insta::assert_json_snapshot!(body(line).expect("valid"));
    }

    #[test]
    fn conflicts_are_refused() {
        let text = |line: &str| body(line).expect_err("conflict").to_string();
        assert_eq!(
            text("--rm --restart always x"),
            "conflicting options: cannot specify both --restart and --rm"
        );
        assert!(text("--no-healthcheck --health-cmd x x").contains("conflicts with"));
        assert!(text("--memory-swappiness 101 x").contains("0-100"));
        assert!(text("--restart on-failure:x x").contains("must be an integer"));
        assert!(text("--add-host h:x x").contains("invalid IP address in add-host"));
        assert!(text("-a foo x").contains("valid streams are"));
    }
}

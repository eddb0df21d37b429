//! What the options mean: [`Values`] → [`Settings`].

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use engine::config::{AddressPool, Config, RuntimeConfig};
use indexmap::IndexMap;
use model::{container::LogConfig, resources::Ulimit};

use super::{
    listen::{Listen, ListenError},
    options::{Fate, OPTIONS, Shape},
    values::Values,
};

/// The daemon's whole setup.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For the engine.
    pub engine: Config,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// TLS on TCP.
    pub tls: Option<TlsFiles>,
    /// TCP without client certificates was asked for in so many words.
    pub insecure_tcp: bool,
    /// Group of unix sockets; `None`: `docker` if there is one.
    pub group: Option<String>,
    /// File that gets the process id; `None`: no file.
    pub pid_file: Option<PathBuf>,
    /// Level of the daemon's own log.
    pub log_level: tracing::Level,
    /// It is written as JSON.
    pub log_json: bool,
    /// `--experimental`
    pub experimental: bool,
    /// Sentences about options that have no effect here.
    pub warnings: Vec<String>,
}

/// Certificate files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authority of client certificates; `None`: clients need none.
    pub client_authority: Option<PathBuf>,
}

/// An option whose value means nothing.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The value is wrong.
    #[error("invalid value {text:?} for {name}: {why}")]
    Value {
        /// Option.
        name: &'static str,
        /// What was given.
        text: String,
        /// What it must be.
        why: String,
    },
    /// The option can't be served.
    #[error("--{name} is not supported: {why}")]
    Refused {
        /// Option.
        name: &'static str,
        /// Why.
        why: &'static str,
    },
    /// An address to listen on is wrong.
    #[error("invalid value for host")]
    Listen(#[source] ListenError),
    /// A file that an option names can't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What isn't said is as Docker has it, or as Cale does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// Started as `cale daemon`: containers outlive the daemon.
    Cale,
    /// Started under the name `dockerd`: a stopped daemon stops its containers.
    Dockerd,
}

impl Settings {
    /// Understands every option.
    pub fn new(values: &Values, personality: Personality) -> Result<Self, SettingsError> {
        let warnings = judge(values)?;
        let tls = tls(values);
        let insecure_tcp =
            ["tls", "tlsverify"].iter().any(|name| values.has(name) && !values.flag(name, true));
        Ok(Self {
            engine: engine_config(values, personality)?,
            listen: listen(values, personality)?,
            tls,
            insecure_tcp,
            group: values.text("group").map(str::to_owned),
            pid_file: Some(PathBuf::from(values.text("pidfile").unwrap_or("/run/cale/cale.pid"))),
            log_level: log_level(values)?,
            log_json: match values.text("log-format") {
                None | Some("text") => false,
                Some("json") => true,
                Some(other) => return Err(wrong("log-format", other, "use text or json")),
            },
            experimental: values.flag("experimental", false),
            warnings,
        })
    }
}

fn wrong(name: &'static str, text: &str, why: impl Into<String>) -> SettingsError {
    SettingsError::Value { name, text: text.to_owned(), why: why.into() }
}

/// Refuses what can't be served; collects sentences about what has no effect.
fn judge(values: &Values) -> Result<Vec<String>, SettingsError> {
    let mut warnings = Vec::new();
    for opt in OPTIONS.iter().filter(|opt| values.has(opt.name())) {
        let name = opt.name();
        let on = match opt.shape {
            Shape::Bool => values.flag(name, false),
            _ => values.all(name).iter().any(|text| !text.is_empty() && text != "0"),
        };
        match opt.fate {
            Fate::Used => {}
            Fate::NoEffect(_) if !on => {}
            Fate::NoEffect(why) => warnings.push(format!("{name} has no effect: {why}")),
            Fate::Refused(_) if !on => {}
            Fate::Refused(why) => return Err(SettingsError::Refused { name, why }),
        }
    }
    if values.text("firewall-backend") == Some("iptables") {
        warnings.push("firewall-backend iptables has no effect: nftables is used".to_owned());
    }
    Ok(warnings)
}

fn log_level(values: &Values) -> Result<tracing::Level, SettingsError> {
    if values.flag("debug", false) {
        return Ok(tracing::Level::DEBUG);
    }
    Ok(match values.text("log-level").unwrap_or("info") {
        "trace" => tracing::Level::TRACE,
        "debug" => tracing::Level::DEBUG,
        "info" => tracing::Level::INFO,
        "warn" | "warning" => tracing::Level::WARN,
        "error" | "fatal" | "panic" => tracing::Level::ERROR,
        other => return Err(wrong("log-level", other, "use debug, info, warn, error or fatal")),
    })
}

fn tls(values: &Values) -> Option<TlsFiles> {
    let verify = values.flag("tlsverify", false);
    if !verify && !values.flag("tls", false) {
        return None;
    }
    let directory = Path::new("/etc/docker");
    let file = |name: &str, default: &str| {
        values.text(name).map_or_else(|| directory.join(default), PathBuf::from)
    };
    Some(TlsFiles {
        certificate: file("tlscert", "cert.pem"),
        key: file("tlskey", "key.pem"),
        client_authority: verify.then(|| file("tlscacert", "ca.pem")),
    })
}

fn listen(values: &Values, personality: Personality) -> Result<Vec<Listen>, SettingsError> {
    if values.has("host") {
        return values
            .all("host")
            .iter()
            .map(|text| text.parse().map_err(SettingsError::Listen))
            .collect();
    }
    let docker = PathBuf::from("/var/run/docker.sock");
    Ok(match personality {
        Personality::Dockerd => vec![Listen::Unix { path: docker, optional: false }],
        Personality::Cale => vec![
            Listen::Unix { path: PathBuf::from("/run/cale/cale.sock"), optional: false },
            // Somebody else may be Docker here.
            Listen::Unix { path: docker, optional: true },
        ],
    })
}

fn engine_config(values: &Values, personality: Personality) -> Result<Config, SettingsError> {
    let data_root = values.text("data-root").unwrap_or("/var/lib/cale");
    let exec_root = values.text("exec-root").unwrap_or("/run/cale");
    for (name, path) in [("data-root", data_root), ("exec-root", exec_root)] {
        if !path.starts_with('/') {
            return Err(wrong(name, path, "must be an absolute path"));
        }
    }
    let mut config = Config::new(data_root, exec_root);
    config.debug = values.flag("debug", false);
    config.live_restore = values.flag("live-restore", personality == Personality::Cale);
    config.labels = values.all("label").to_vec();
    if let Some(bad) = config.labels.iter().find(|label| !label.contains('=')) {
        return Err(wrong("label", bad, "bad attribute format, must be KEY=VALUE"));
    }
    config.dns_options = values.all("dns-opt").to_vec();
    config.dns_search = values.all("dns-search").to_vec();
    config.dns = addresses(values, "dns")?;
    config.host_gateways = addresses(values, "host-gateway-ip")?;
    config.log = log(values);
    config.no_new_privileges = values.flag("no-new-privileges", false);
    config.init = values.flag("init", false);
    config.cgroup_parent = values.text("cgroup-parent").unwrap_or_default().to_owned();
    config.insecure_registries = values.all("insecure-registry").to_vec();
    config.registry_mirrors = values.all("registry-mirror").to_vec();
    if let Some(name) = values.text("default-runtime") {
        name.clone_into(&mut config.default_runtime);
    }
    config.shutdown_timeout_s = number(values, "shutdown-timeout", config.shutdown_timeout_s)?;
    config.max_concurrent_downloads =
        number(values, "max-concurrent-downloads", config.max_concurrent_downloads)?;
    config.max_concurrent_uploads =
        number(values, "max-concurrent-uploads", config.max_concurrent_uploads)?;
    config.max_download_attempts =
        number(values, "max-download-attempts", config.max_download_attempts)?;
    if config.max_download_attempts == 0 {
        return Err(wrong("max-download-attempts", "0", "must be greater than zero"));
    }
    modes(values, &mut config)?;
    limits(values, &mut config)?;
    bridge(values, &mut config)?;
    Ok(config)
}

fn number<T: std::str::FromStr>(
    values: &Values,
    name: &'static str,
    default: T,
) -> Result<T, SettingsError> {
    match values.text(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| wrong(name, text, "must not be negative")),
    }
}

fn addresses(values: &Values, name: &'static str) -> Result<Vec<IpAddr>, SettingsError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            wrong(name, text, format!("ip address is not correctly formatted: {text:?}"))
        })
    };
    values.all(name).iter().map(parse).collect()
}

fn log(values: &Values) -> LogConfig {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    LogConfig {
        driver: values.text("log-driver").unwrap_or("json-file").to_owned(),
        options: values.all("log-opt").iter().map(pair).collect(),
    }
}

/// Options that choose among a few words.
fn modes(values: &Values, config: &mut Config) -> Result<(), SettingsError> {
    match values.text("default-ipc-mode") {
        None | Some("private") => {}
        Some("shareable") => config.default_ipc_shareable = true,
        Some(other) => return Err(wrong("default-ipc-mode", other, "use private or shareable")),
    }
    config.default_cgroupns_private = match values.text("default-cgroupns-mode") {
        None => None,
        Some("private") => Some(true),
        Some("host") => Some(false),
        Some(other) => return Err(wrong("default-cgroupns-mode", other, "use private or host")),
    };
    match values.text("storage-driver") {
        None | Some("overlay2" | "overlay" | "overlayfs") => {}
        Some(other) => {
            return Err(wrong("storage-driver", other, "driver not supported: use overlay2"));
        }
    }
    match values.text("firewall-backend") {
        None | Some("nftables" | "iptables") => {}
        Some(other) => return Err(wrong("firewall-backend", other, "use nftables")),
    }
    for text in values.all("exec-opt") {
        match text.as_str() {
            "native.cgroupdriver=cgroupfs" => {}
            "native.cgroupdriver=systemd" => {
                return Err(wrong("exec-opt", text, "control groups are made without systemd"));
            }
            _ => return Err(wrong("exec-opt", text, "no such option")),
        }
    }
    config.seccomp_profile = match values.text("seccomp-profile") {
        None | Some("builtin") => None,
        // A word that is no profile's text; the engine knows it.
        Some("unconfined") => Some("unconfined".to_owned()),
        Some(path) => Some(
            std::fs::read_to_string(path)
                .map_err(|source| SettingsError::Read { path: PathBuf::from(path), source })?,
        ),
    };
    Ok(())
}

fn limits(values: &Values, config: &mut Config) -> Result<(), SettingsError> {
    if let Some(text) = values.text("default-shm-size") {
        config.default_shm_size =
            bytes(text).ok_or_else(|| wrong("default-shm-size", text, "invalid size"))?;
    }
    for text in values.all("default-ulimit") {
        let fail = || wrong("default-ulimit", text, "must be NAME=SOFT[:HARD]");
        let (name, limits) = text.split_once('=').ok_or_else(fail)?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let soft = soft.parse().map_err(|_| fail())?;
        let hard = hard.parse().map_err(|_| fail())?;
        config.default_ulimits.push(Ulimit { name: name.to_owned(), soft, hard });
    }
    let mut runtimes = IndexMap::new();
    for text in values.all("add-runtime") {
        let fail = || wrong("add-runtime", text, "must be NAME=PATH");
        let (name, command) = text.split_once('=').ok_or_else(fail)?;
        let mut words = command.split('\u{1f}').map(str::to_owned);
        let path = words.next().filter(|path| !path.is_empty()).ok_or_else(fail)?;
        if matches!(name, "" | "runc" | "io.containerd.runc.v2") {
            return Err(wrong("add-runtime", text, format!("runtime name '{name}' is reserved")));
        }
        runtimes.insert(name.to_owned(), RuntimeConfig { path, args: words.collect() });
    }
    let default = config.default_runtime.as_str();
    let known = ["runc", "io.containerd.runc.v2", "cale"];
    if !known.contains(&default) && !runtimes.contains_key(default) {
        let why = format!("specified default runtime '{default}' does not exist");
        return Err(wrong("default-runtime", default, why));
    }
    config.runtimes = runtimes;
    Ok(())
}

/// `64m`, `1g`, `65536`
fn bytes(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    let number: f64 = digits.trim().parse().ok()?;
    (number >= 0.0).then_some((number * factor as f64) as u64)
}

fn cidr<A: std::str::FromStr>(text: &str, bits: u8) -> Option<(A, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits)?;
    Some((address.parse().ok()?, prefix))
}

fn bridge(values: &Values, config: &mut Config) -> Result<(), SettingsError> {
    let v4 = |name: &'static str| match values.text(name) {
        None => Ok(None),
        Some(text) => match cidr::<Ipv4Addr>(text, 32) {
            Some(range) => Ok(Some(range)),
            None => Err(wrong(name, text, format!("invalid CIDR address: {text}"))),
        },
    };
    let v6 = |name: &'static str| match values.text(name) {
        None => Ok(None),
        Some(text) => match cidr::<Ipv6Addr>(text, 128) {
            Some(range) => Ok(Some(range)),
            None => Err(wrong(name, text, format!("invalid CIDR address: {text}"))),
        },
    };
    let bridge = &mut config.bridge;
    if values.text("bip").is_some() && values.text("bridge").is_some() {
        return Err(wrong(
            "bip",
            values.text("bip").unwrap_or_default(),
            "You specified -b & --bip, mutually exclusive options. Please specify only one",
        ));
    }
    if let Some(name) = values.text("bridge") {
        name.clone_into(&mut bridge.name);
    }
    bridge.address = v4("bip")?;
    bridge.fixed_range = v4("fixed-cidr")?;
    bridge.address6 = match (v6("bip6")?, v6("fixed-cidr-v6")?) {
        (Some(address), _) => Some(address),
        // The subnet's first address is the bridge's.
        (None, Some((base, prefix))) => Some((Ipv6Addr::from_bits(base.to_bits() | 1), prefix)),
        (None, None) => None,
    };
    bridge.gateway = match values.text("default-gateway") {
        None => None,
        Some(text) => Some(
            text.parse().map_err(|_| wrong("default-gateway", text, "must be an IPv4 address"))?,
        ),
    };
    bridge.ipv6 = values.flag("ipv6", bridge.ipv6);
    bridge.icc = values.flag("icc", bridge.icc);
    bridge.masquerade = values.flag("ip-masq", bridge.masquerade);
    bridge.firewall = values.flag("iptables", bridge.firewall);
    bridge.ip_forward = values.flag("ip-forward", bridge.ip_forward);
    if !bridge.icc && !bridge.firewall {
        return Err(wrong(
            "icc",
            "false",
            "You specified --iptables=false with --icc=false. ICC=false uses packet filter rules. \
             Please set --icc or --iptables to true",
        ));
    }
    bridge.default_publish_ip = match values.text("ip") {
        None | Some("0.0.0.0") => None,
        Some(text) => Some(text.parse().map_err(|_| wrong("ip", text, "must be an IP address"))?),
    };
    bridge.mtu = match number(values, "mtu", 0u32)? {
        0 => None,
        mtu => Some(mtu),
    };
    let pools = values.all("default-address-pool").iter().map(|text| pool(text));
    bridge.address_pools = pools.collect::<Result<_, _>>()?;
    Ok(())
}

/// `base=10.0.0.0/8,size=24`
fn pool(text: &str) -> Result<AddressPool, SettingsError> {
    let fail = |why: &str| wrong("default-address-pool", text, why);
    let (mut base, mut size) = (None, None);
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("base", value)) => base = cidr::<IpAddr>(value, 128),
            Some(("size", value)) => size = value.parse::<u8>().ok(),
            _ => return Err(fail("must be base=CIDR,size=BITS")),
        }
    }
    match (base, size) {
        (Some((base, prefix)), Some(size)) if size >= prefix => {
            Ok(AddressPool { base, prefix, size })
        }
        _ => Err(fail("must be base=CIDR,size=BITS with a size not larger than the base")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let values = Values::from_words(&words).map_err(|e| e.to_string())?;
        Settings::new(&values, Personality::Cale).map_err(|e| e.to_string())
    }

    #[test]
    fn what_dockers_suites_start_with_is_taken() {
        let settings = settings(
            "--data-root /d --exec-root /e --pidfile /p -H unix:///s --debug \
             --storage-driver overlay2 --iptables=true --ip6tables=false --userland-proxy=false \
             --bip 10.9.0.1/24 --fixed-cidr 10.9.0.0/25 --fixed-cidr-v6 fd00::/64 \
             --default-address-pool base=10.0.0.0/8,size=24 --insecure-registry localhost:5000 \
             --registry-mirror https://m --log-opt max-size=1m --live-restore=false \
             --default-runtime x --add-runtime x=/x --containerd /c --containerd-namespace n \
             --containerd-plugins-namespace p --dns 1.1.1.1 --icc=true --ipv6 --feature a=true \
             --firewall-backend iptables --default-shm-size 128m --default-ulimit nofile=10:20",
        )
        .unwrap();
        let config = &settings.engine;
        assert_eq!(config.bridge.address, Some(("10.9.0.1".parse().unwrap(), 24)));
        assert_eq!(config.bridge.address6, Some(("fd00::1".parse().unwrap(), 64)));
        assert!(!config.live_restore && config.bridge.ipv6);
        assert_eq!(config.default_shm_size, 128 << 20);
        assert_eq!(config.runtimes["x"].path, "/x");
        assert_eq!(config.log.options["max-size"], "1m");
        assert_eq!(settings.log_level, tracing::Level::DEBUG);
        assert!(settings.warnings.iter().any(|text| text.starts_with("containerd has no effect")));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        for (text, want) in [
            ("--authorization-plugin x", "--authorization-plugin is not supported"),
            ("--userns-remap default", "--userns-remap is not supported"),
            ("--selinux-enabled", "--selinux-enabled is not supported"),
            ("--storage-driver vfs", "driver not supported"),
            ("--bip nonsense", "invalid CIDR address: nonsense"),
            ("--icc=false --iptables=false", "--icc=false"),
            ("--default-runtime y", "specified default runtime 'y' does not exist"),
            ("--log-level loud", "use debug"),
            ("--label x", "must be KEY=VALUE"),
            ("--data-root rel", "absolute path"),
            ("-H foo://x", "invalid value for host"),
            ("--dns x", "ip address is not correctly formatted"),
        ] {
            let error = settings(text).unwrap_err();
            assert!(error.contains(want), "{text}: {error}");
        }
        assert!(settings("--selinux-enabled=false").is_ok());
    }

    #[test]
    fn containers_outlive_cale_but_not_dockerd() {
        assert!(settings("").unwrap().engine.live_restore);
        let dockerd = Settings::new(&Values::default(), Personality::Dockerd).unwrap();
        assert!(!dockerd.engine.live_restore);
        assert_eq!(dockerd.listen.len(), 1);
    }
}

//! Every option of the daemon, once: flag, key of the configuration file, shape, and what it
//! means here. Parsing, the file, help and docs are made from this table.
//!
//! Names are dockerd's. An option that can't mean anything here says so when it is given.

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `--flag`, `--flag=false`; `true` in the file.
    Bool,
    /// One text.
    Text,
    /// One number.
    Integer,
    /// May be repeated; a list in the file.
    List,
    /// `key=value`, may be repeated; an object in the file.
    Map,
    /// `name=path`; `{"name": {"path": …, "runtimeArgs": […]}}` in the file.
    Runtimes,
    /// `name=soft:hard`; `{"name": {"Name": …, "Soft": …, "Hard": …}}` in the file.
    Ulimits,
    /// `base=…,size=…`; `[{"base": …, "size": …}]` in the file.
    Pools,
    /// Anything; only in the file.
    Free,
}

/// What becomes of a given value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It works.
    Used,
    /// Accepted, and said to have no effect, for this reason.
    NoEffect(&'static str),
    /// Refused unless it says "off", for this reason.
    Refused(&'static str),
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Long flag; empty: only in the file.
    pub flag: &'static str,
    /// Short flag.
    pub short: Option<char>,
    /// Key in the file; empty: only a flag.
    pub key: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// What becomes of it.
    pub fate: Fate,
    /// For `--help`.
    pub help: &'static str,
}

impl Opt {
    /// The name under which values are kept.
    pub fn name(&self) -> &'static str {
        if self.flag.is_empty() { self.key } else { self.flag }
    }
}

const fn opt(
    flag: &'static str,
    key: &'static str,
    shape: Shape,
    fate: Fate,
    help: &'static str,
) -> Opt {
    Opt { flag, short: None, key, shape, fate, help }
}

const fn short(letter: char, opt: Opt) -> Opt {
    Opt { short: Some(letter), ..opt }
}

use Fate::{NoEffect, Refused, Used};
use Shape::{Bool, Free, Integer, List, Map, Pools, Runtimes, Text, Ulimits};

const NO_CONTAINERD: Fate = NoEffect("this engine needs no containerd");
const NO_SWARM: Fate = NoEffect("this engine has no swarm mode");

/// Every option, in the order of `--help`.
pub const OPTIONS: &[Opt] = &[
    opt("add-runtime", "runtimes", Runtimes, Used, "Register an additional OCI runtime, NAME=PATH"),
    opt(
        "allow-direct-routing",
        "allow-direct-routing",
        Bool,
        NoEffect("direct routes to containers are not filtered"),
        "Let remote hosts reach published ports at the containers' addresses",
    ),
    opt(
        "authorization-plugin",
        "authorization-plugins",
        List,
        Refused("authorization plugins are not supported; requests would pass unchecked"),
        "Authorization plugins to load",
    ),
    opt("bip", "bip", Text, Used, "IPv4 address and prefix of the default bridge"),
    opt("bip6", "bip6", Text, Used, "IPv6 address and prefix of the default bridge"),
    short(
        'b',
        opt(
            "bridge",
            "bridge",
            Text,
            Used,
            "Interface of the default bridge; 'none' for no default network",
        ),
    ),
    opt(
        "bridge-accept-fwmark",
        "bridge-accept-fwmark",
        Text,
        Refused("packets can't be accepted by mark"),
        "Accept packets with this mark",
    ),
    opt(
        "",
        "builder",
        Free,
        NoEffect("the build cache is collected by the engine's own rules"),
        "",
    ),
    opt(
        "cdi-spec-dir",
        "cdi-spec-dirs",
        List,
        NoEffect("CDI devices are not supported"),
        "CDI specification directories",
    ),
    opt("cgroup-parent", "cgroup-parent", Text, Used, "Parent control group of all containers"),
    opt("config-file", "", Text, Used, "Configuration file"),
    opt("containerd", "containerd", Text, NO_CONTAINERD, "containerd address"),
    opt(
        "containerd-namespace",
        "containerd-namespace",
        Text,
        NO_CONTAINERD,
        "containerd namespace",
    ),
    opt(
        "containerd-plugins-namespace",
        "containerd-plugins-namespace",
        Text,
        NO_CONTAINERD,
        "containerd namespace for plugins",
    ),
    opt(
        "cpu-rt-period",
        "cpu-rt-period",
        Integer,
        Refused("real-time limits for all containers are not supported"),
        "Real-time period in microseconds",
    ),
    opt(
        "cpu-rt-runtime",
        "cpu-rt-runtime",
        Integer,
        Refused("real-time limits for all containers are not supported"),
        "Real-time runtime in microseconds",
    ),
    opt("cri-containerd", "cri-containerd", Bool, NO_CONTAINERD, "Start containerd with CRI"),
    opt("data-root", "data-root", Text, Used, "Directory of durable state"),
    short('D', opt("debug", "debug", Bool, Used, "More output")),
    opt(
        "default-address-pool",
        "default-address-pools",
        Pools,
        Used,
        "Pool that networks get subnets from, base=CIDR,size=BITS",
    ),
    opt(
        "default-cgroupns-mode",
        "default-cgroupns-mode",
        Text,
        Used,
        "Default cgroup namespace (host or private)",
    ),
    opt(
        "default-gateway",
        "default-gateway",
        Text,
        Used,
        "Default IPv4 gateway of containers on the default bridge",
    ),
    opt(
        "default-gateway-v6",
        "default-gateway-v6",
        Text,
        Refused("the IPv6 gateway is always the bridge"),
        "Default IPv6 gateway",
    ),
    opt(
        "default-ipc-mode",
        "default-ipc-mode",
        Text,
        Used,
        "Default IPC namespace (shareable or private)",
    ),
    opt(
        "default-network-opt",
        "default-network-opts",
        Free,
        Refused("give options to each network instead"),
        "Default options of networks",
    ),
    opt("default-runtime", "default-runtime", Text, Used, "Default OCI runtime"),
    opt("default-shm-size", "default-shm-size", Text, Used, "Default size of /dev/shm"),
    opt(
        "default-ulimit",
        "default-ulimits",
        Ulimits,
        Used,
        "Default limits of processes, NAME=SOFT[:HARD]",
    ),
    opt("dns", "dns", List, Used, "Name servers"),
    opt("dns-opt", "dns-opts", List, Used, "Resolver options"),
    opt("dns-search", "dns-search", List, Used, "Search domains"),
    opt("exec-opt", "exec-opts", List, Used, "Runtime options: native.cgroupdriver=cgroupfs"),
    opt("exec-root", "exec-root", Text, Used, "Directory of state that ends with the boot"),
    opt("experimental", "experimental", Bool, Used, "Say that experimental features are on"),
    opt(
        "feature",
        "features",
        Map,
        NoEffect("the features that Docker switches are always on or not there"),
        "Switch a feature, NAME=BOOL",
    ),
    opt("firewall-backend", "firewall-backend", Text, Used, "Packet filter: nftables"),
    opt("fixed-cidr", "fixed-cidr", Text, Used, "IPv4 range for containers on the default bridge"),
    opt("fixed-cidr-v6", "fixed-cidr-v6", Text, Used, "IPv6 subnet of the default bridge"),
    short('G', opt("group", "group", Text, Used, "Group of the unix socket")),
    opt("help", "", Bool, Used, "Print this and end"),
    short(
        'H',
        opt("host", "hosts", List, Used, "Where to listen: unix://PATH, tcp://ADDRESS:PORT, fd://"),
    ),
    opt(
        "host-gateway-ip",
        "host-gateway-ips",
        List,
        Used,
        "What 'host-gateway' in --add-host means",
    ),
    opt(
        "http-proxy",
        "http-proxy",
        Text,
        NoEffect("registries are reached directly"),
        "HTTP proxy for registries",
    ),
    opt(
        "https-proxy",
        "https-proxy",
        Text,
        NoEffect("registries are reached directly"),
        "HTTPS proxy for registries",
    ),
    opt("icc", "icc", Bool, Used, "Containers on the default bridge reach each other"),
    opt("init", "init", Bool, Used, "Run an init in every container"),
    opt("init-path", "init-path", Text, NoEffect("the init is built in"), "Path of the init"),
    opt("insecure-registry", "insecure-registries", List, Used, "Registries without TLS"),
    opt("ip", "ip", Text, Used, "Default address of published ports"),
    opt("ip-forward", "ip-forward", Bool, Used, "Switch IP forwarding on"),
    opt(
        "ip-forward-no-drop",
        "ip-forward-no-drop",
        Bool,
        NoEffect("the host's forwarding policy is never changed"),
        "Don't set the forwarding policy to drop",
    ),
    opt("ip-masq", "ip-masq", Bool, Used, "Outgoing traffic gets the host's address"),
    opt(
        "ip6tables",
        "ip6tables",
        Bool,
        NoEffect("IPv4 and IPv6 share one table; see --iptables"),
        "Make IPv6 packet filter rules",
    ),
    opt("iptables", "iptables", Bool, Used, "Make packet filter rules"),
    opt("ipv6", "ipv6", Bool, Used, "IPv6 on the default bridge"),
    opt("label", "labels", List, Used, "Labels of the engine, KEY=VALUE"),
    opt("live-restore", "live-restore", Bool, Used, "Containers go on when the daemon ends"),
    opt("log-driver", "log-driver", Text, Used, "Default log driver"),
    opt("log-format", "log-format", Text, Used, "The daemon's own log: text or json"),
    short(
        'l',
        opt(
            "log-level",
            "log-level",
            Text,
            Used,
            "The daemon's own log: debug, info, warn, error, fatal",
        ),
    ),
    opt("log-opt", "log-opts", Map, Used, "Default options of log drivers"),
    opt(
        "max-concurrent-downloads",
        "max-concurrent-downloads",
        Integer,
        Used,
        "Layers pulled at once",
    ),
    opt("max-concurrent-uploads", "max-concurrent-uploads", Integer, Used, "Layers pushed at once"),
    opt("max-download-attempts", "max-download-attempts", Integer, Used, "Attempts for one layer"),
    opt(
        "metrics-addr",
        "metrics-addr",
        Text,
        Refused("metrics are not served on a port of their own"),
        "Where to serve metrics",
    ),
    opt("mtu", "mtu", Integer, Used, "MTU of the default bridge"),
    opt(
        "network-control-plane-mtu",
        "network-control-plane-mtu",
        Integer,
        NO_SWARM,
        "MTU of swarm's control plane",
    ),
    opt(
        "network-diagnostic-port",
        "network-diagnostic-port",
        Integer,
        Refused("there is no network diagnostic server"),
        "Port of the network diagnostic server",
    ),
    opt(
        "no-new-privileges",
        "no-new-privileges",
        Bool,
        Used,
        "No container gains privileges by executing",
    ),
    opt(
        "no-proxy",
        "no-proxy",
        Text,
        NoEffect("registries are reached directly"),
        "Hosts reached without proxy",
    ),
    opt(
        "node-generic-resource",
        "node-generic-resources",
        List,
        NO_SWARM,
        "Resources of this node",
    ),
    opt("nri-opts", "nri-opts", Free, NoEffect("NRI plugins are not supported"), "NRI options"),
    opt(
        "oom-score-adjust",
        "oom-score-adjust",
        Integer,
        NoEffect("set it in the service file"),
        "The daemon's oom_score_adj",
    ),
    short('p', opt("pidfile", "pidfile", Text, Used, "File that gets the daemon's process id")),
    opt("", "proxies", Free, NoEffect("registries are reached directly"), ""),
    opt("raw-logs", "raw-logs", Bool, Used, "The daemon's own log without colours"),
    opt("registry-mirror", "registry-mirrors", List, Used, "Mirrors of the hub"),
    opt(
        "rootless",
        "rootless",
        Bool,
        Refused("rootless mode is not supported"),
        "Run without root",
    ),
    opt(
        "seccomp-profile",
        "seccomp-profile",
        Text,
        Used,
        "Seccomp profile: a file, builtin or unconfined",
    ),
    opt(
        "selinux-enabled",
        "selinux-enabled",
        Bool,
        Refused("SELinux labels are not supported"),
        "SELinux labels",
    ),
    opt(
        "shutdown-timeout",
        "shutdown-timeout",
        Integer,
        Used,
        "Seconds that containers get at the end (without --live-restore)",
    ),
    short('s', opt("storage-driver", "storage-driver", Text, Used, "Storage driver: overlay2")),
    opt(
        "storage-opt",
        "storage-opts",
        List,
        Refused("the storage driver has no options"),
        "Storage driver options",
    ),
    opt(
        "swarm-default-advertise-addr",
        "swarm-default-advertise-addr",
        Text,
        NO_SWARM,
        "Address advertised in a swarm",
    ),
    opt("", "swarm-raft-heartbeat-tick", Free, NO_SWARM, ""),
    opt("", "swarm-raft-election-tick", Free, NO_SWARM, ""),
    opt("tls", "tls", Bool, Used, "TLS on TCP"),
    opt("tlscacert", "tlscacert", Text, Used, "Trust client certificates of this authority"),
    opt("tlscert", "tlscert", Text, Used, "The server's certificate"),
    opt("tlskey", "tlskey", Text, Used, "The server's key"),
    opt("tlsverify", "tlsverify", Bool, Used, "TLS with client certificates"),
    opt(
        "userland-proxy",
        "userland-proxy",
        Bool,
        NoEffect("ports are published without a process each"),
        "A proxy process for each port",
    ),
    opt(
        "userland-proxy-path",
        "userland-proxy-path",
        Text,
        NoEffect("ports are published without a process each"),
        "Path of the proxy",
    ),
    opt(
        "userns-remap",
        "userns-remap",
        Text,
        Refused("user namespaces for all containers are not supported"),
        "User namespace of all containers",
    ),
    opt("validate", "", Bool, Used, "Check the configuration and end"),
    short('v', opt("version", "", Bool, Used, "Print the version and end")),
];

/// The option with this flag.
pub fn by_flag(flag: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| !opt.flag.is_empty() && opt.flag == flag)
}

/// The option with this short flag.
pub fn by_letter(letter: char) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| opt.short == Some(letter))
}

/// The option with this key.
pub fn by_key(key: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|opt| !opt.key.is_empty() && opt.key == key)
}

/// The text of `--help`.
pub fn help(program: &str) -> String {
    let mut out = format!("Usage:  {program} [OPTIONS]\n\nThe container engine.\n\nOptions:\n");
    for opt in OPTIONS.iter().filter(|opt| !opt.flag.is_empty()) {
        let short = opt.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        let value = match opt.shape {
            Bool => "",
            Integer => " int",
            Text | Free | Runtimes => " string",
            List => " list",
            Map => " map",
            Ulimits => " ulimit",
            Pools => " pool-options",
        };
        let left = format!("  {short}--{}{value}", opt.flag);
        out.push_str(&format!("{left:<48}{}\n", opt.help));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_flags_sorted() {
        let mut flags = HashSet::new();
        let mut keys = HashSet::new();
        let mut letters = HashSet::new();
        for opt in OPTIONS {
            assert!(opt.flag.is_empty() || flags.insert(opt.flag), "{}", opt.flag);
            assert!(opt.key.is_empty() || keys.insert(opt.key), "{}", opt.key);
            assert!(opt.short.is_none_or(|letter| letters.insert(letter)), "{}", opt.flag);
        }
        let flags: Vec<_> = OPTIONS.iter().map(Opt::name).collect();
        assert!(by_flag("host").is_some() && by_key("hosts").is_some());
        assert!(by_flag("").is_none() && by_key("").is_none());
        assert!(flags.len() > 80);
    }
}

//! The flags that describe a container, defined once for `run` and `create`.

use crate::cli::flags::{Flag, Kind};

/// Flags of every command that makes a container.
pub static CONTAINER: &[Flag] = &[
    Flag::list("add-host", "Add a line to /etc/hosts (name:address)"),
    Flag::new("annotation", Kind::Map, "Add a note that the low-level runtime sees"),
    Flag::list("attach", "Attach to stdin, stdout or stderr").short('a'),
    Flag::new("blkio-weight", Kind::Uint16, "Relative weight of block I/O, 10 to 1000, 0 for none")
        .default("0"),
    Flag::list("blkio-weight-device", "Relative weight of block I/O on a device (path:weight)"),
    Flag::list("cap-add", "Give a Linux capability"),
    Flag::list("cap-drop", "Take away a Linux capability"),
    Flag::text("cgroup-parent", "Control group to put the container's one below"),
    Flag::text("cgroupns", "Control group namespace: host or private"),
    Flag::text("cidfile", "Write the container's ID to this new file"),
    Flag::new("cpu-count", Kind::Int, "Number of processors (Windows only)").default("0").hidden(),
    Flag::new("cpu-percent", Kind::Int, "Share of processors (Windows only)").default("0").hidden(),
    Flag::new("cpu-period", Kind::Int, "Period of the processor quota, in microseconds")
        .default("0"),
    Flag::new("cpu-quota", Kind::Int, "Processor time per period, in microseconds").default("0"),
    Flag::new("cpu-rt-period", Kind::Int, "Period of real-time scheduling, in microseconds")
        .default("0"),
    Flag::new("cpu-rt-runtime", Kind::Int, "Real-time scheduling per period, in microseconds")
        .default("0"),
    Flag::new("cpu-shares", Kind::Int, "Relative weight of processor time").short('c').default("0"),
    Flag::new("cpus", Kind::Decimal, "Number of processors, such as 1.5"),
    Flag::text("cpuset-cpus", "Processors that may be used (0-3 or 0,1)"),
    Flag::text("cpuset-mems", "Memory nodes that may be used (0-3 or 0,1)"),
    Flag::list("device", "Make a host device available (host[:container[:rwm]])"),
    Flag::list("device-cgroup-rule", "Add a rule to the list of allowed devices (c 1:3 rwm)"),
    Flag::list("device-read-bps", "Limit the bytes per second read from a device (path:rate)"),
    Flag::list("device-read-iops", "Limit the reads per second from a device (path:rate)"),
    Flag::list("device-write-bps", "Limit the bytes per second written to a device (path:rate)"),
    Flag::list("device-write-iops", "Limit the writes per second to a device (path:rate)"),
    Flag::switch("disable-content-trust", "Accepted for compatibility").default("true").hidden(),
    Flag::list("dns", "Ask this name server"),
    Flag::list("dns-opt", "Old name of --dns-option").alias("dns-option"),
    Flag::list("dns-option", "Set an option of the resolver"),
    Flag::list("dns-search", "Search names in this domain"),
    Flag::text("domainname", "NIS domain name of the container"),
    Flag::text("entrypoint", "Run this instead of the image's entrypoint"),
    Flag::list("env", "Set an environment variable (NAME=value, or NAME to pass on ours)")
        .short('e'),
    Flag::list("env-file", "Set the environment variables that are listed in a file"),
    Flag::list("expose", "Note a port or a range of ports as used"),
    Flag::new("gpus", Kind::Fields("gpu-request"), "Add GPUs ('all' for every one)"),
    Flag::list("group-add", "Join another group"),
    Flag::text("health-cmd", "Command that tells whether the container is healthy"),
    Flag::new("health-interval", Kind::Duration, "Time between two health checks").default("0s"),
    Flag::new("health-retries", Kind::Int, "Failures in a row that make it unhealthy").default("0"),
    Flag::new("health-start-interval", Kind::Duration, "Time between two checks while it starts")
        .default("0s"),
    Flag::new(
        "health-start-period",
        Kind::Duration,
        "Time to start, in which failures don't count",
    )
    .default("0s"),
    Flag::new("health-timeout", Kind::Duration, "Time that one check may take").default("0s"),
    Flag::text("hostname", "Host name inside the container").short('h'),
    Flag::switch("init", "Run a small init that passes signals on and reaps processes"),
    Flag::switch("interactive", "Keep stdin open").short('i'),
    Flag::new("io-maxbandwidth", Kind::Bytes, "Limit of bandwidth (Windows only)")
        .default("0")
        .hidden(),
    Flag::new("io-maxiops", Kind::Uint, "Limit of I/O operations (Windows only)")
        .default("0")
        .hidden(),
    Flag::text("ip", "IPv4 address of the container, such as 172.30.100.104"),
    Flag::text("ip6", "IPv6 address of the container, such as 2001:db8::33"),
    Flag::text("ipc", "IPC namespace: none, private, shareable, host, container:NAME"),
    Flag::text("isolation", "Isolation technology").hidden(),
    Flag::new("kernel-memory", Kind::Bytes, "Limit of kernel memory").default("0").hidden(),
    Flag::list("label", "Set a label (name=value)").short('l'),
    Flag::list("label-file", "Set the labels that are listed in a file"),
    Flag::list("link", "Link to another container (name[:alias])"),
    Flag::list("link-local-ip", "Add a link-local address"),
    Flag::text("log-driver", "Where the container's output is kept"),
    Flag::list("log-opt", "Set an option of the log driver (name=value)"),
    Flag::text("mac-address", "MAC address of the container, such as 92:d0:c6:0a:29:33"),
    Flag::new("memory", Kind::Bytes, "Limit of memory").short('m').default("0"),
    Flag::new("memory-reservation", Kind::Bytes, "Memory to keep when it gets short").default("0"),
    Flag::new("memory-swap", Kind::SignedBytes, "Limit of memory and swap together, -1 for none")
        .default("0"),
    Flag::new("memory-swappiness", Kind::Int, "How readily memory is swapped, 0 to 100")
        .default("-1"),
    Flag::new("mount", Kind::Fields("mount"), "Mount something (type=…,source=…,target=…)"),
    Flag::text("name", "Name of the container"),
    Flag::new("net", Kind::Fields("network"), "Old name of --network").alias("network"),
    Flag::list("net-alias", "Old name of --network-alias").alias("network-alias"),
    Flag::new("network", Kind::Fields("network"), "Connect to a network"),
    Flag::list("network-alias", "Add a name for the container in its network"),
    Flag::switch("no-healthcheck", "Ignore the image's health check"),
    Flag::switch("oom-kill-disable", "Let processes wait when memory runs out, not end"),
    Flag::new("oom-score-adj", Kind::Int, "Preference when memory runs out, -1000 to 1000")
        .default("0"),
    Flag::text("pid", "Process namespace: host, container:NAME"),
    Flag::new("pids-limit", Kind::Int, "Limit of processes, -1 for none").default("0"),
    Flag::text("platform", "Platform of the image, such as linux/amd64"),
    Flag::switch("privileged", "Give nearly all rights of the host's root"),
    Flag::list("publish", "Publish a port ([address:][host:]container[/protocol])").short('p'),
    Flag::switch("publish-all", "Publish all exposed ports to random ones").short('P'),
    Flag::text("pull", "Pull the image: always, missing, never").default("missing"),
    Flag::switch("quiet", "Don't show the progress of pulling").short('q'),
    Flag::switch("read-only", "Make the container's root filesystem read-only"),
    Flag::text("restart", "What happens when it ends: no, on-failure[:N], always, unless-stopped")
        .default("no"),
    Flag::switch("rm", "Remove the container and its anonymous volumes when it ends"),
    Flag::text("runtime", "Low-level runtime to use"),
    Flag::list("security-opt", "Set a security option"),
    Flag::new("shm-size", Kind::Bytes, "Size of /dev/shm").default("0"),
    Flag::text("stop-signal", "Signal that stops the container"),
    Flag::new("stop-timeout", Kind::Int, "Seconds that stopping may take before it is killed")
        .default("0"),
    Flag::list("storage-opt", "Set an option of the storage driver (name=value)"),
    Flag::new("sysctl", Kind::Map, "Set a kernel parameter of the container's namespaces"),
    Flag::list("tmpfs", "Mount an empty filesystem in memory (path[:options])"),
    Flag::switch("tty", "Give it a terminal").short('t'),
    Flag::new("ulimit", Kind::Ulimit, "Set a limit of resources (name=soft[:hard])"),
    Flag::switch("use-api-socket", "Make the engine's socket available inside"),
    Flag::text("user", "User to run as (name|uid[:group|gid])").short('u'),
    Flag::text("userns", "User namespace: host"),
    Flag::text("uts", "Host name namespace: host"),
    Flag::list("volume", "Mount a directory or a volume (source:target[:options])").short('v'),
    Flag::text("volume-driver", "Driver of new volumes"),
    Flag::list("volumes-from", "Mount the volumes of another container (name[:ro|rw])"),
    Flag::text("workdir", "Working directory inside the container").short('w'),
];

/// Flags of `run` only.
pub static RUN: &[Flag] = &[
    Flag::switch("detach", "Run in the background and print the container's ID").short('d'),
    Flag::text("detach-keys", "Keys that detach from the container"),
    Flag::switch("sig-proxy", "Pass signals on to the process").default("true"),
];

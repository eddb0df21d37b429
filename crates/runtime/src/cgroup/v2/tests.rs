//! v2 on a tree of plain files: what is written where, and what is read from it.
//!
//! Plain files refuse nothing and change nothing by themselves; the suite in
//! `cgroup/tests` makes the same demands on a real v2 kernel.

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use crate::spec::{
    LinuxBlockIo, LinuxCpu, LinuxHugepageLimit, LinuxInterfacePriority, LinuxMemory, LinuxNetwork,
    LinuxPids, LinuxRdma, LinuxResources, LinuxThrottleDevice, LinuxWeightDevice,
};

use super::super::{Cgroup, CgroupError, GroupPath};
use super::*;

const FILES: [(&str, &str); 22] = [
    ("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n"),
    ("cgroup.events", "populated 0\nfrozen 0\n"),
    ("cgroup.freeze", "0\n"),
    ("cgroup.kill", ""),
    ("cgroup.procs", "12\n7\n"),
    (
        "cpu.stat",
        "usage_usec 5\nuser_usec 3\nsystem_usec 2\nnr_periods 4\nnr_throttled 1\nthrottled_usec 9\n",
    ),
    ("cpu.weight", "100\n"),
    ("cpu.idle", "0\n"),
    ("cpu.max", "max 100000\n"),
    ("cpu.max.burst", "0\n"),
    ("cpuset.cpus", "\n"),
    ("cpuset.mems", "\n"),
    ("memory.current", "4096\n"),
    ("memory.peak", "8192\n"),
    ("memory.max", "max\n"),
    ("memory.low", "0\n"),
    ("memory.swap.max", "max\n"),
    ("memory.swap.current", "0\n"),
    ("memory.events", "low 0\nhigh 0\nmax 6\noom 2\noom_kill 1\n"),
    ("memory.stat", "anon 4096\ninactive_file 1024\n"),
    ("pids.max", "max\n"),
    ("pids.current", "2\n"),
];

struct Fake {
    directory: TempDir,
    group: V2,
}

impl Fake {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        for (name, text) in FILES {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let path = GroupPath::new("/test").unwrap();
        let group = V2::in_directory(&path, directory.path());
        Self { directory, group }
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn without(self, name: &str) -> Self {
        fs::remove_file(self.directory.path().join(name)).unwrap();
        self
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    fn memory(&self, limit: Option<i64>, swap: Option<i64>) -> Result<()> {
        let memory = LinuxMemory { limit, swap, ..LinuxMemory::default() };
        self.group.apply(&LinuxResources { memory: Some(memory), ..LinuxResources::default() })
    }

    fn cpu(&self, cpu: LinuxCpu) -> Result<()> {
        self.group.apply(&LinuxResources { cpu: Some(cpu), ..LinuxResources::default() })
    }
}

#[test]
fn memory_and_swap() {
    let fake = Fake::new();
    let files = |fake: &Fake| (fake.file("memory.max"), fake.file("memory.swap.max"));
    fake.memory(Some(100), Some(300)).unwrap();
    assert_eq!(files(&fake), ("100".into(), "200".into()));
    // Swap alone is relative to the limit in force.
    fake.memory(None, Some(150)).unwrap();
    assert_eq!(files(&fake), ("100".into(), "50".into()));
    fake.memory(Some(200), None).unwrap();
    assert_eq!(files(&fake), ("200".into(), "50".into()));
    fake.memory(Some(-1), None).unwrap();
    assert_eq!(files(&fake), ("max".into(), "max".into()));
    assert!(fake.memory(None, Some(10)).is_err(), "no limit to be relative to");
    assert!(fake.memory(Some(20), Some(10)).is_err());
}

#[test]
fn reservation_and_a_limit_below_the_usage() {
    let fake = Fake::new();
    let apply = |memory| {
        fake.group.apply(&LinuxResources { memory: Some(memory), ..LinuxResources::default() })
    };
    apply(LinuxMemory { reservation: Some(50), ..LinuxMemory::default() }).unwrap();
    assert_eq!(fake.file("memory.low"), "50");
    let checked = LinuxMemory {
        limit: Some(4095),
        check_before_update: Some(true),
        ..LinuxMemory::default()
    };
    assert!(matches!(apply(checked), Err(CgroupError::Invalid { .. })));
    assert_eq!(fake.file("memory.max"), "max\n");
}

#[test]
fn v1_memory_settings_are_refused_by_name() {
    let cases = [
        ("memory.swappiness", LinuxMemory { swappiness: Some(10), ..LinuxMemory::default() }),
        ("memory.kernel", LinuxMemory { kernel: Some(1), ..LinuxMemory::default() }),
        (
            "disableOOMKiller",
            LinuxMemory { disable_oom_killer: Some(true), ..LinuxMemory::default() },
        ),
    ];
    for (name, memory) in cases {
        let resources = LinuxResources { memory: Some(memory), ..LinuxResources::default() };
        let error = Fake::new().group.apply(&resources).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.kind(), model::ErrorKind::Unsupported);
    }
}

#[test]
fn cpu_files() {
    let fake = Fake::new();
    fake.cpu(LinuxCpu {
        shares: Some(2048),
        quota: Some(50_000),
        burst: Some(1_000),
        ..LinuxCpu::default()
    })
    .unwrap();
    assert_eq!(
        (fake.file("cpu.weight"), fake.file("cpu.max")),
        ("174".into(), "50000 100000".into())
    );
    assert_eq!(fake.file("cpu.max.burst"), "1000");
    // Only the period: the quota stays.
    fake.cpu(LinuxCpu { period: Some(20_000), ..LinuxCpu::default() }).unwrap();
    assert_eq!(fake.file("cpu.max"), "50000 20000");
    let place =
        LinuxCpu { cpus: Some("0-3".into()), mems: Some("0".into()), ..LinuxCpu::default() };
    fake.cpu(place).unwrap();
    assert_eq!((fake.file("cpuset.cpus"), fake.file("cpuset.mems")), ("0-3".into(), "0".into()));
    fake.cpu(LinuxCpu { idle: Some(1), shares: Some(2), ..LinuxCpu::default() }).unwrap();
    assert_eq!((fake.file("cpu.idle"), fake.file("cpu.weight")), ("1".into(), "174".into()));
    let realtime = LinuxCpu { realtime_runtime: Some(1), ..LinuxCpu::default() };
    assert!(fake.cpu(realtime).unwrap_err().to_string().contains("realtime"));
}

#[test]
fn block_io_files() {
    let fake = Fake::new().with("io.weight", "").with("io.max", "");
    let apply =
        |io| fake.group.apply(&LinuxResources { block_io: Some(io), ..LinuxResources::default() });
    apply(LinuxBlockIo { weight: Some(1000), ..LinuxBlockIo::default() }).unwrap();
    assert_eq!(fake.file("io.weight"), "10000");
    let weight = LinuxWeightDevice { major: 8, minor: 0, weight: Some(10), leaf_weight: None };
    apply(LinuxBlockIo { weight_device: vec![weight], ..LinuxBlockIo::default() }).unwrap();
    assert_eq!(fake.file("io.weight"), "8:0 1");
    let rate = |rate| vec![LinuxThrottleDevice { major: 8, minor: 16, rate }];
    apply(LinuxBlockIo { throttle_read_bps_device: rate(4096), ..LinuxBlockIo::default() })
        .unwrap();
    assert_eq!(fake.file("io.max"), "8:16 rbps=4096");
    apply(LinuxBlockIo { throttle_write_iops_device: rate(0), ..LinuxBlockIo::default() }).unwrap();
    assert_eq!(fake.file("io.max"), "8:16 wiops=max");
    let leaf = LinuxBlockIo { leaf_weight: Some(10), ..LinuxBlockIo::default() };
    assert!(apply(leaf).is_err());
    let bfq = Fake::new().with("io.bfq.weight", "");
    let io = LinuxBlockIo { weight: Some(300), ..LinuxBlockIo::default() };
    bfq.group.apply(&LinuxResources { block_io: Some(io), ..LinuxResources::default() }).unwrap();
    assert_eq!(bfq.file("io.bfq.weight"), "300");
}

#[test]
fn other_controllers() {
    let fake = Fake::new()
        .with("hugetlb.2MB.max", "max")
        .with("hugetlb.2MB.rsvd.max", "max")
        .with("rdma.max", "")
        .with("memory.high", "max");
    let resources = LinuxResources {
        pids: Some(LinuxPids { limit: Some(0) }),
        hugepage_limits: vec![LinuxHugepageLimit { page_size: "2MB".into(), limit: 1 << 21 }],
        rdma: BTreeMap::from([(
            "mlx5_0".to_owned(),
            LinuxRdma { hca_handles: Some(3), hca_objects: Some(10) },
        )]),
        unified: BTreeMap::from([("memory.high".to_owned(), "64M".to_owned())]),
        ..LinuxResources::default()
    };
    fake.group.apply(&resources).unwrap();
    assert_eq!(fake.file("pids.max"), "max");
    assert_eq!(fake.file("hugetlb.2MB.max"), "2097152");
    assert_eq!(fake.file("hugetlb.2MB.rsvd.max"), "2097152");
    assert_eq!(fake.file("rdma.max"), "mlx5_0 hca_handle=3 hca_object=10");
    assert_eq!(fake.file("memory.high"), "64M");
}

#[test]
fn missing_things_are_named() {
    let message = |fake: Fake, resources: &LinuxResources| {
        fake.group.apply(resources).unwrap_err().to_string()
    };
    let pids =
        LinuxResources { pids: Some(LinuxPids { limit: Some(5) }), ..LinuxResources::default() };
    let off = Fake::new().without("pids.max").with("cgroup.controllers", "cpu memory\n");
    assert!(message(off, &pids).contains("the pids controller is not enabled"));
    let old = Fake::new().without("cpu.idle");
    let idle = LinuxCpu { idle: Some(1), ..LinuxCpu::default() };
    let idle = LinuxResources { cpu: Some(idle), ..LinuxResources::default() };
    assert!(message(old, &idle).contains("kernel does not support cpu.idle"));
    let priorities = vec![LinuxInterfacePriority { name: "eth0".into(), priority: 1 }];
    let network = LinuxNetwork { class_id: None, priorities };
    let network = LinuxResources { network: Some(network), ..LinuxResources::default() };
    assert!(message(Fake::new(), &network).contains("network.priorities"));
    for bad in ["cgroup.freeze", "../memory.max", "nodot", ".x"] {
        let unified = BTreeMap::from([(bad.to_owned(), "1".to_owned())]);
        let resources = LinuxResources { unified, ..LinuxResources::default() };
        assert!(message(Fake::new(), &resources).contains(bad));
    }
}

#[test]
fn readings() {
    let fake = Fake::new()
        .with("io.stat", "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n7:0\n")
        .with("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=3\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n");
    let usage = fake.group.usage().unwrap();
    assert_eq!((usage.cpu.total_ns, usage.cpu.throttled_ns, usage.cpu.periods), (5000, 9000, 4));
    assert_eq!(usage.memory.usage, Some(4096));
    assert_eq!((usage.memory.max_usage, usage.memory.limit), (Some(8192), None));
    assert_eq!((usage.memory.failcnt, usage.memory.oom_kills), (Some(6), Some(1)));
    assert_eq!(usage.memory.working_set(), 3072);
    assert_eq!((usage.pids.current, usage.pids.limit), (Some(2), None));
    let operations: Vec<_> = usage
        .io_service_bytes
        .iter()
        .map(|entry| (entry.operation.as_str(), entry.value))
        .collect();
    assert_eq!(operations, [("read", 10), ("write", 20), ("discard", 0)]);
    assert_eq!(usage.memory_pressure.unwrap().full.unwrap().total_us, 1);
    assert_eq!(usage.cpu_pressure, None);
    assert_eq!(fake.group.pids().unwrap(), [7, 12]);
}

#[test]
fn life() {
    let fake = Fake::new();
    fake.group.kill().unwrap();
    assert_eq!(fake.file("cgroup.kill"), "1");
    // Nothing ever says "frozen" here: the time runs out, and the group is thawed.
    let frozen = fake.group.freeze(Duration::from_millis(3));
    assert!(matches!(frozen, Err(CgroupError::Timeout { .. })));
    assert_eq!(fake.file("cgroup.freeze"), "0");
    let fake = fake.with("cgroup.events", "populated 1\nfrozen 1\n");
    fake.group.freeze(Duration::ZERO).unwrap();
    assert!(fake.group.is_frozen().unwrap());
    assert_eq!(fake.file("cgroup.freeze"), "1");
    assert!(fake.group.entry().unwrap().clone_into().is_some());
}

#[test]
fn out_of_memory_wakes_the_watcher() {
    let fake = Fake::new();
    let mut watch = fake.group.watch_oom().unwrap();
    assert_eq!(watch.kills().unwrap(), 0);
    let fake = fake.with("memory.events", "oom_kill 3\n");
    assert_eq!((watch.kills().unwrap(), fake.group.oom_kills().unwrap()), (2, 3));
}

#[test]
fn controllers_are_handed_down() {
    let root = TempDir::new().unwrap();
    let file = |name: &str| root.path().join(name);
    fs::write(file("cgroup.controllers"), "cpu io memory pids\n").unwrap();
    fs::write(file("cgroup.subtree_control"), "memory\n").unwrap();
    enable_controllers(&Dir::new(root.path().to_owned())).unwrap();
    assert_eq!(fs::read_to_string(file("cgroup.subtree_control")).unwrap(), "+cpu +io +pids");
}

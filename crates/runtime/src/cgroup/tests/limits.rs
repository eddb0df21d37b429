//! Limits stop what exceeds them, and read back as they were set.

use std::time::Duration;

use sys::pidfd::Ended;

use crate::spec::{LinuxCpu, LinuxDeviceCgroup, LinuxMemory, LinuxPids, LinuxResources};

use super::super::Cgroup;
use super::fixture::{Group, eventually, on_every_layout, on_every_tree, shell};

const MIB: i64 = 1 << 20;

fn memory(memory: LinuxMemory) -> LinuxResources {
    LinuxResources { memory: Some(memory), ..LinuxResources::default() }
}

fn cpu(cpu: LinuxCpu) -> LinuxResources {
    LinuxResources { cpu: Some(cpu), ..LinuxResources::default() }
}

#[test]
fn too_much_memory_is_fatal_and_reported() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let (limit, swap) = (Some(16 * MIB), Some(16 * MIB));
        group.apply(&memory(LinuxMemory { limit, swap, ..LinuxMemory::default() })).unwrap();
        let mut watch = group.watch_oom().unwrap();
        assert_eq!(watch.kills().unwrap(), 0);
        // tail keeps the last line, which has no end here.
        let process = shell(&*group, "exec tail /dev/zero");
        assert_eq!(process.wait(), Ended::Signaled(9));
        eventually("the kill is counted", || group.oom_kills().unwrap() == 1);
        assert!(sys_readable(&watch), "the fd signals");
        assert_eq!(watch.kills().unwrap(), 1);
        assert_eq!(watch.kills().unwrap(), 0);
        let usage = group.usage().unwrap().memory;
        assert_eq!((usage.limit, usage.oom_kills), (Some(16 << 20), Some(1)));
        assert!(usage.max_usage.unwrap() > 8 << 20);
        assert!(usage.stat.contains_key("pgfault"), "{:?}", usage.stat);
    });
}

/// Whether a poll of the watch would return at once.
fn sys_readable(watch: &super::super::OomWatch) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(watch, PollFlags::IN)];
    let wait = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
    poll(&mut fds, Some(&wait)).unwrap() == 1
}

#[test]
fn memory_limits_go_up_and_down_and_away() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let set = |limit, swap| {
            group.apply(&memory(LinuxMemory { limit, swap, ..LinuxMemory::default() })).unwrap();
            let usage = group.usage().unwrap().memory;
            (usage.limit.map(|limit| limit >> 20), usage.swap_limit.map(|limit| limit >> 20))
        };
        assert_eq!(set(Some(64 * MIB), Some(128 * MIB)), (Some(64), Some(64)));
        assert_eq!(set(Some(256 * MIB), Some(512 * MIB)), (Some(256), Some(256)));
        assert_eq!(set(Some(32 * MIB), Some(48 * MIB)), (Some(32), Some(16)));
        assert_eq!(set(Some(64 * MIB), Some(-1)), (Some(64), None));
        assert_eq!(set(Some(-1), Some(-1)), (None, None));
        assert_eq!(set(Some(64 * MIB), Some(64 * MIB)), (Some(64), Some(0)));
        assert_eq!(set(Some(-1), None), (None, None), "swap follows");
    });
}

#[test]
fn contradictory_memory_limits_are_refused() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let refused = |limit, swap| {
            let limits = LinuxMemory { limit, swap, ..LinuxMemory::default() };
            group.apply(&memory(limits)).unwrap_err().to_string()
        };
        assert!(refused(Some(64 * MIB), Some(32 * MIB)).contains("below the memory limit"));
    });
}

#[test]
fn too_many_tasks_fail_to_fork() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let limit = |limit| LinuxResources {
            pids: Some(LinuxPids { limit: Some(limit) }),
            ..LinuxResources::default()
        };
        group.apply(&limit(6)).unwrap();
        assert_eq!(group.usage().unwrap().pids.limit, Some(6));
        let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3 & done; wait";
        let process = shell(&*group, script);
        // The shell gives up at the first fork that fails.
        assert_eq!(process.wait(), Ended::Exited(2));
        assert_eq!(group.usage().unwrap().pids.current, Some(5));
        eventually("empty", || group.pids().unwrap().is_empty());
        // Unlimited again, as a live update.
        group.apply(&limit(-1)).unwrap();
        assert_eq!(group.usage().unwrap().pids.limit, None);
        let process = shell(&*group, "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0 & done; wait");
        assert_eq!(process.wait(), Ended::Exited(0));
    });
}

#[test]
fn a_quota_throttles() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let quota = |quota, period, burst| {
            group.apply(&cpu(LinuxCpu { quota, period, burst, ..LinuxCpu::default() })).unwrap();
        };
        quota(Some(5_000), Some(50_000), None);
        let _process = shell(&*group, "while :; do :; done");
        eventually("throttled", || group.usage().unwrap().cpu.throttled_periods >= 2);
        let usage = group.usage().unwrap().cpu;
        assert!(usage.periods >= usage.throttled_periods && usage.throttled_ns > 0);
        assert!(usage.total_ns > 0 && usage.user_ns + usage.system_ns > 0);
        // Live, in orders that the kernel would refuse if each value came alone.
        quota(Some(500_000), Some(1_000_000), Some(400_000));
        quota(Some(5_000), Some(10_000), Some(1_000));
        quota(Some(-1), None, Some(0));
    });
}

#[test]
fn cpus_are_chosen() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let place =
            LinuxCpu { cpus: Some("0".into()), mems: Some("0".into()), ..LinuxCpu::default() };
        group.apply(&cpu(place)).unwrap();
        let process = shell(&*group, "grep -q '^Cpus_allowed_list:.0$' /proc/self/status");
        assert_eq!(process.wait(), Ended::Exited(0));
        let nowhere = LinuxCpu { cpus: Some("4000".into()), ..LinuxCpu::default() };
        assert!(group.apply(&cpu(nowhere)).is_err());
    });
}

#[test]
fn devices_are_denied_and_allowed_live() {
    on_every_tree(|hierarchies| {
        let group = Group::new(hierarchies);
        let rule = |allow, kind: &str, major, minor| LinuxDeviceCgroup {
            allow,
            kind: Some(kind.into()),
            major,
            minor,
            access: Some("rwm".into()),
        };
        let deny_all = rule(false, "a", None, None);
        let devices = |devices| LinuxResources { devices, ..LinuxResources::default() };
        let opens = |script: &str| shell(&*group, script).wait() == Ended::Exited(0);
        let zero = "head -c1 /dev/zero >/dev/null";
        group.apply(&devices(vec![deny_all.clone(), rule(true, "c", Some(1), Some(3))])).unwrap();
        assert!(opens(": </dev/null"), "allowed");
        assert!(!opens(zero), "not in the list");
        assert!(!opens("d=$(mktemp -u) && mknod $d b 1 1"), "no block device may be made");
        let more = vec![
            deny_all.clone(),
            rule(true, "c", Some(1), Some(3)),
            rule(true, "c", Some(1), Some(5)),
        ];
        group.apply(&devices(more)).unwrap();
        assert!(opens(zero) && opens(": </dev/null"), "added");
        group.apply(&devices(vec![deny_all, rule(true, "c", Some(1), Some(3))])).unwrap();
        assert!(!opens(zero) && opens(": </dev/null"), "taken away");
    });
}

#[test]
fn what_the_host_lacks_is_named() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let message = |resources: &LinuxResources| group.apply(resources).unwrap_err().to_string();
        let network = crate::spec::LinuxNetwork { class_id: Some(1), ..Default::default() };
        if !hierarchies.has("net_cls") {
            let network = LinuxResources { network: Some(network), ..LinuxResources::default() };
            assert!(message(&network).contains("network.classID"), "{}", message(&network));
        }
        let nonsense = LinuxResources {
            unified: [("nonsense.max".to_owned(), "1".to_owned())].into(),
            ..LinuxResources::default()
        };
        assert!(message(&nonsense).contains("unified.nonsense.max"), "{}", message(&nonsense));
        let shares = cpu(LinuxCpu { shares: Some(1 << 30), ..LinuxCpu::default() });
        // v2 has no such range to exceed: the weight is the highest then.
        assert!(hierarchies.v1_with("cpu").is_none() || message(&shares).contains("262144"));
    });
}

#[test]
fn all_readings_are_there() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let process = shell(
            &*group,
            "dd if=/dev/zero of=/dev/null bs=1M count=50 2>/dev/null; exec sleep 1000",
        );
        eventually("some CPU time", || group.usage().unwrap().cpu.total_ns > 1_000_000);
        let usage = group.usage().unwrap();
        eventually("counted as listed", || {
            group.usage().unwrap().pids.current == Some(group.pids().unwrap().len() as u64)
        });
        assert!(usage.memory.usage.unwrap() > 0);
        assert!(usage.memory.working_set() <= usage.memory.usage.unwrap());
        assert_eq!(usage.cpu_pressure.is_some(), hierarchies.v2.is_some());
        if hierarchies.v1_with("cpuacct").is_some() {
            let sum: u64 = usage.cpu.per_cpu_ns.iter().sum();
            assert!(
                sum.abs_diff(usage.cpu.total_ns) < Duration::from_millis(500).as_nanos() as u64
            );
        }
        drop(process);
    });
}

#[test]
fn weights_and_rates_are_taken() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        group.apply(&cpu(LinuxCpu { shares: Some(512), ..LinuxCpu::default() })).unwrap();
        group.apply(&cpu(LinuxCpu { idle: Some(1), ..LinuxCpu::default() })).unwrap();
        let soft = LinuxMemory { reservation: Some(8 * MIB), ..LinuxMemory::default() };
        group.apply(&memory(soft)).unwrap();
        if let Some(rate) = root_disk() {
            let io = crate::spec::LinuxBlockIo {
                throttle_read_bps_device: vec![rate],
                throttle_write_iops_device: vec![rate],
                ..Default::default()
            };
            let io = LinuxResources { block_io: Some(io), ..LinuxResources::default() };
            group.apply(&io).unwrap();
        }
        let bad = crate::spec::LinuxBlockIo { weight: Some(5), ..Default::default() };
        let bad = LinuxResources { block_io: Some(bad), ..LinuxResources::default() };
        assert!(group.apply(&bad).unwrap_err().to_string().contains("10 and 1000"));
    });
}

/// Some whole disk of this machine, with a rate.
fn root_disk() -> Option<crate::spec::LinuxThrottleDevice> {
    let text = std::fs::read_to_string("/proc/partitions").ok()?;
    text.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[major, minor, _, name] = fields.as_slice() else { return None };
        (name.ends_with('a')).then(|| crate::spec::LinuxThrottleDevice {
            major: major.parse().unwrap(),
            minor: minor.parse().unwrap(),
            rate: 1 << 20,
        })
    })
}

/// The suite's demand on any implementation: nothing asked, nothing changed.
#[test]
fn an_empty_request_is_fine() {
    on_every_layout(|hierarchies| {
        let group = Group::new(hierarchies);
        let group: &dyn Cgroup = &*group;
        group.apply(&LinuxResources::default()).unwrap();
        let empty = LinuxResources {
            memory: Some(LinuxMemory::default()),
            cpu: Some(LinuxCpu::default()),
            pids: Some(LinuxPids::default()),
            block_io: Some(Default::default()),
            network: Some(Default::default()),
            ..LinuxResources::default()
        };
        group.apply(&empty).unwrap();
    });
}

//! Which limits this host can enforce: for the engine to tell (`docker info`), and to
//! warn about before it leaves a limit out.
//!
//! Only looks; [`super::Cgroup::apply`] is what decides.

use std::path::Path;

use super::Hierarchies;

/// Answers by limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// `memory.limit`.
    pub memory: bool,
    /// `memory.reservation`.
    pub memory_reservation: bool,
    /// `memory.swap`.
    pub swap: bool,
    /// `memory.swappiness`.
    pub swappiness: bool,
    /// `memory.disableOOMKiller`.
    pub oom_kill_disable: bool,
    /// `memory.kernelTCP`.
    pub kernel_memory_tcp: bool,
    /// `cpu.shares`.
    pub cpu_shares: bool,
    /// `cpu.quota` and `cpu.period`.
    pub cpu_quota: bool,
    /// `cpu.realtimeRuntime`.
    pub cpu_realtime: bool,
    /// `cpu.cpus` and `cpu.mems`.
    pub cpuset: bool,
    /// `pids.limit`.
    pub pids: bool,
    /// `blockIO.weight`.
    pub block_io_weight: bool,
    /// `blockIO.throttle…`.
    pub block_io_throttle: bool,
    /// `hugepageLimits`.
    pub hugetlb: bool,
    /// `network.classID`.
    pub network_class: bool,
    /// `rdma`.
    pub rdma: bool,
}

impl Hierarchies {
    /// What can be limited here. Looks at a few files; call it once.
    pub fn features(&self) -> Features {
        let v1 = |controller: &str, file: &str| {
            self.v1_with(controller).is_some_and(|tree| tree.mount.join(file).exists())
        };
        // BFQ's files are missing in the root of its hierarchy, as all are on v2.
        let below = |controller: &str, file: &str| {
            self.v1_with(controller).is_some_and(|tree| any_child_has(&tree.mount, file))
        };
        let v2 = |controller: &str| self.v2.as_ref().is_some_and(|tree| tree.has(controller));
        let v2_file = |controller: &str, file: &str| {
            v2(controller) && self.v2.as_ref().is_some_and(|tree| any_child_has(&tree.mount, file))
        };
        Features {
            memory: v1("memory", "memory.limit_in_bytes") || v2("memory"),
            memory_reservation: v1("memory", "memory.soft_limit_in_bytes") || v2("memory"),
            swap: v1("memory", "memory.memsw.limit_in_bytes")
                || v2_file("memory", "memory.swap.max"),
            swappiness: v1("memory", "memory.swappiness"),
            oom_kill_disable: v1("memory", "memory.oom_control"),
            kernel_memory_tcp: v1("memory", "memory.kmem.tcp.limit_in_bytes"),
            cpu_shares: v1("cpu", "cpu.shares") || v2("cpu"),
            cpu_quota: v1("cpu", "cpu.cfs_quota_us") || v2_file("cpu", "cpu.max"),
            cpu_realtime: v1("cpu", "cpu.rt_runtime_us"),
            cpuset: v1("cpuset", "cpuset.cpus") || v2("cpuset"),
            pids: self.has("pids"),
            block_io_weight: v1("blkio", "blkio.weight")
                || below("blkio", "blkio.bfq.weight")
                || v2_file("io", "io.weight")
                || v2_file("io", "io.bfq.weight"),
            block_io_throttle: v1("blkio", "blkio.throttle.read_bps_device")
                || v2_file("io", "io.max"),
            hugetlb: self.has("hugetlb"),
            network_class: v1("net_cls", "net_cls.classid"),
            rdma: self.has("rdma"),
        }
    }
}

/// Whether some group below `mount` has the file: the root itself has no limits. A host
/// without any group yet counts as one that lacks the file.
fn any_child_has(mount: &Path, file: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(mount) else { return false };
    entries.flatten().any(|entry| entry.path().join(file).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_that_are_mounted_have_features() {
        let found = Hierarchies::detect().unwrap();
        let features = found.features();
        assert_eq!(features.pids, found.has("pids"));
        assert_eq!(features.cpuset, found.has("cpuset"));
        assert_eq!(features.memory, found.has("memory"));
        assert!(!features.network_class || found.has("net_cls"));
    }
}

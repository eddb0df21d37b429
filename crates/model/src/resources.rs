//! Limits on what a container may use. Zero never means "no limit" here: `None` does.

use serde::{Deserialize, Serialize};

/// Limits on memory, processors, processes and disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes.
    pub memory: Option<u64>,
    /// Soft limit, bytes.
    pub memory_reservation: Option<u64>,
    /// Memory plus swap, bytes; −1: unlimited swap.
    pub memory_swap: Option<i64>,
    /// 0 … 100; `None`: the parent's.
    pub memory_swappiness: Option<u64>,
    /// Don't kill when out of memory (v1 only).
    pub oom_kill_disable: Option<bool>,
    /// Kernel TCP buffer memory, bytes (v1 only).
    pub kernel_memory_tcp: Option<u64>,
    /// Billionths of a processor.
    pub nano_cpus: Option<u64>,
    /// Relative weight, 2 … 262144.
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds a period; −1: no limit.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_realtime_period: Option<u64>,
    /// Microseconds.
    pub cpu_realtime_runtime: Option<i64>,
    /// `0-2,4`
    pub cpuset_cpus: Option<String>,
    /// `0-1`
    pub cpuset_mems: Option<String>,
    /// Processes and threads; −1: unlimited; `None`: the engine's default.
    pub pids_limit: Option<i64>,
    /// 10 … 1000.
    pub blkio_weight: Option<u16>,
    /// Per device.
    pub blkio_weight_device: Vec<WeightDevice>,
    /// Bytes a second.
    pub blkio_read_bps: Vec<ThrottleDevice>,
    /// Bytes a second.
    pub blkio_write_bps: Vec<ThrottleDevice>,
    /// Operations a second.
    pub blkio_read_iops: Vec<ThrottleDevice>,
    /// Operations a second.
    pub blkio_write_iops: Vec<ThrottleDevice>,
}

/// A weight for one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightDevice {
    /// Path of the device node.
    pub path: String,
    /// 10 … 1000.
    pub weight: u16,
}

/// A rate for one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThrottleDevice {
    /// Path of the device node.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// A device of the host shown in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceMapping {
    /// Path of the node (or directory of nodes) on the host.
    pub host_path: String,
    /// Path in the container.
    pub container_path: String,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// A process limit (getrlimit(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `nofile`, `core`, …
    pub name: String,
    /// −1: unlimited.
    pub soft: i64,
    /// −1: unlimited.
    pub hard: i64,
}

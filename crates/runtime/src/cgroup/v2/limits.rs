//! v2 limits with a file each: cpu, cpuset, memory, pids, hugetlb, rdma, and files that
//! the specification passes through.

use std::collections::BTreeMap;
use std::fs;

use crate::spec::{LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxNetwork, LinuxRdma};

use super::super::convert::{cpu_max, or_max, pids_max, swap_alone, weight_of_shares};
use super::super::files::is_invalid;
use super::super::{CgroupError, Result};
use super::V2;

impl V2 {
    pub(super) fn apply_cpu(&self, cpu: &LinuxCpu) -> Result<()> {
        let realtime =
            cpu.realtime_period.unwrap_or(0) != 0 || cpu.realtime_runtime.unwrap_or(0) != 0;
        if realtime {
            return Err(v1_only("cpu.realtimeRuntime"));
        }
        let placed =
            [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)];
        for (setting, file, value) in placed {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                self.set("cpuset", setting, file, value)?;
            }
        }
        if let Some(idle) = cpu.idle {
            self.set("cpu", "cpu.idle", "cpu.idle", &idle.to_string())?;
        }
        // An idle group has no weight, and the kernel refuses to set one.
        if let Some(weight) = cpu.shares.and_then(weight_of_shares).filter(|_| cpu.idle != Some(1))
        {
            self.set("cpu", "cpu.shares", "cpu.weight", &weight.to_string())?;
        }
        self.apply_bandwidth(cpu)
    }

    /// As on v1, quota and burst limit each other: the one refused is tried again.
    fn apply_bandwidth(&self, cpu: &LinuxCpu) -> Result<()> {
        let burst = cpu.burst.map(|burst| burst.to_string());
        let mut burst_refused = false;
        if let Some(burst) = &burst {
            match self.set("cpu", "cpu.burst", "cpu.max.burst", burst) {
                Err(CgroupError::Write { source, .. }) if is_invalid(&source) => {
                    burst_refused = true
                }
                other => other?,
            }
        }
        if cpu.quota.unwrap_or(0) != 0 || cpu.period.unwrap_or(0) != 0 {
            let current = self.dir.read_if_there("cpu.max")?.unwrap_or_default();
            let line = cpu_max(cpu.quota, cpu.period, &current);
            self.set("cpu", "cpu.quota", "cpu.max", &line)?;
        }
        match burst {
            Some(burst) if burst_refused => self.set("cpu", "cpu.burst", "cpu.max.burst", &burst),
            _ => Ok(()),
        }
    }

    pub(super) fn apply_memory(&self, memory: &LinuxMemory) -> Result<()> {
        refuse_v1_memory(memory)?;
        let limit = memory.limit.filter(|limit| *limit != 0);
        if let (Some(true), Some(limit)) = (memory.check_before_update, limit) {
            let usage = self.dir.number("memory.current")?.unwrap_or(0);
            if u64::try_from(limit).is_ok_and(|limit| limit < usage) {
                return Err(CgroupError::Invalid {
                    setting: "memory.limit".into(),
                    value: limit.to_string(),
                    reason: "is below the current usage",
                });
            }
        }
        // An update of swap alone is relative to the limit that is in force.
        let in_force = match limit {
            None if memory.swap.is_some_and(|swap| swap > 0) => self.dir.number("memory.max")?,
            _ => None,
        };
        let base = limit.or(in_force.and_then(|limit| i64::try_from(limit).ok()));
        if let Some(swap) = swap_alone(memory.swap.unwrap_or(0), base)? {
            self.set_swap(swap)?;
        }
        if let Some(limit) = limit {
            self.set("memory", "memory.limit", "memory.max", &or_max(limit))?;
        }
        if let Some(low) = memory.reservation.filter(|low| *low != 0) {
            self.set("memory", "memory.reservation", "memory.low", &or_max(low))?;
        }
        Ok(())
    }

    /// Without swap accounting there is no file; no swap and unlimited swap are then in
    /// force already, provided (for "no swap") that the host has none.
    fn set_swap(&self, swap: i64) -> Result<()> {
        match self.set("memory", "memory.swap", "memory.swap.max", &or_max(swap)) {
            Err(CgroupError::Unavailable { .. })
                if self.has_controller("memory") && (swap < 0 || swap == 0 && !host_swaps()) =>
            {
                Ok(())
            }
            other => other,
        }
    }

    pub(super) fn apply_pids(&self, limit: i64) -> Result<()> {
        self.set("pids", "pids.limit", "pids.max", &pids_max(limit))
    }

    pub(super) fn apply_hugepages(&self, limits: &[LinuxHugepageLimit]) -> Result<()> {
        for LinuxHugepageLimit { page_size, limit } in limits {
            let setting = format!("hugepageLimits.{page_size}");
            let limit = limit.to_string();
            self.set("hugetlb", &setting, &format!("hugetlb.{page_size}.max"), &limit)?;
            // Reservations count separately since Linux 5.7.
            let reserved = format!("hugetlb.{page_size}.rsvd.max");
            if self.dir.has(&reserved) {
                self.set("hugetlb", &setting, &reserved, &limit)?;
            }
        }
        Ok(())
    }

    pub(super) fn apply_rdma(&self, devices: &BTreeMap<String, LinuxRdma>) -> Result<()> {
        for (device, limits) in devices {
            let line = super::super::v1::rdma_line(device, limits);
            self.set("rdma", "rdma", "rdma.max", &line)?;
        }
        Ok(())
    }

    /// Files by name, as they are. Core files (`cgroup.*`) are the engine's own.
    pub(super) fn apply_unified(&self, files: &BTreeMap<String, String>) -> Result<()> {
        for (file, value) in files {
            let setting = format!("unified.{file}");
            let invalid = |reason| CgroupError::Invalid {
                setting: setting.clone(),
                value: value.clone(),
                reason,
            };
            let Some((controller, _)) = file.split_once('.') else {
                return Err(invalid("is not a file of a controller"));
            };
            if file.contains('/') || controller.is_empty() {
                return Err(invalid("is not a file of a controller"));
            }
            if controller == "cgroup" {
                return Err(invalid("is managed by the engine"));
            }
            // Several lines (io.max) are several commands.
            for line in value.lines() {
                self.set(controller, &setting, file, line)?;
            }
        }
        Ok(())
    }
}

fn refuse_v1_memory(memory: &LinuxMemory) -> Result<()> {
    let asked = [
        ("memory.kernel", memory.kernel.is_some_and(|limit| limit > 0)),
        ("memory.kernelTCP", memory.kernel_tcp.is_some_and(|limit| limit > 0)),
        ("memory.swappiness", memory.swappiness.is_some()),
        ("memory.disableOOMKiller", memory.disable_oom_killer == Some(true)),
        ("memory.useHierarchy", memory.use_hierarchy == Some(false)),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((setting, _)) => Err(v1_only(setting)),
        None => Ok(()),
    }
}

pub(super) fn refuse_network(network: &LinuxNetwork) -> Result<()> {
    match (network.class_id, network.priorities.is_empty()) {
        (None, true) => Ok(()),
        (Some(_), _) => Err(v1_only("network.classID")),
        (None, false) => Err(v1_only("network.priorities")),
    }
}

fn v1_only(setting: &str) -> CgroupError {
    CgroupError::Unavailable {
        setting: setting.into(),
        missing: "it exists with control groups v1 only".into(),
    }
}

/// Whether the host has a swap device in use: a line below the heading.
fn host_swaps() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().nth(1).is_some())
}

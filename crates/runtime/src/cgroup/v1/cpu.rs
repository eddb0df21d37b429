//! v1 `cpu` and `cpuset`.

use std::path::Path;

use crate::spec::LinuxCpu;

use super::super::files::{Dir, is_invalid};
use super::super::{CgroupError, Result};
use super::V1;

impl V1 {
    pub(super) fn apply_cpu(&self, cpu: &LinuxCpu) -> Result<()> {
        let placed =
            [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)];
        for (setting, file, value) in placed {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                self.dir("cpuset", setting)?.set(setting, file, value)?;
            }
        }
        let timed = LinuxCpu { cpus: None, mems: None, ..cpu.clone() };
        if timed == LinuxCpu::default() {
            return Ok(());
        }
        let dir = self.dir("cpu", "cpu")?;
        if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
            set_shares(dir, shares)?;
        }
        set_bandwidth(dir, cpu)?;
        if let Some(period) = cpu.realtime_period.filter(|period| *period != 0) {
            dir.set("cpu.realtimePeriod", "cpu.rt_period_us", &period.to_string())?;
        }
        if let Some(runtime) = cpu.realtime_runtime.filter(|runtime| *runtime != 0) {
            dir.set("cpu.realtimeRuntime", "cpu.rt_runtime_us", &runtime.to_string())?;
        }
        if let Some(idle) = cpu.idle {
            dir.set("cpu.idle", "cpu.idle", &idle.to_string())?;
        }
        Ok(())
    }
}

/// The kernel rounds shares into its range without a word; whoever asked should know.
fn set_shares(dir: &Dir, shares: u64) -> Result<()> {
    dir.set("cpu.shares", "cpu.shares", &shares.to_string())?;
    let reason = match dir.number("cpu.shares")? {
        Some(now) if now < shares => "is above the kernel's maximum of 262144",
        Some(now) if now > shares => "is below the kernel's minimum of 2",
        _ => return Ok(()),
    };
    Err(CgroupError::Invalid { setting: "cpu.shares".into(), value: shares.to_string(), reason })
}

/// Period, burst and quota limit each other: a value that is refused before the others
/// are changed may be right after, so `EINVAL` is believed only the second time.
fn set_bandwidth(dir: &Dir, cpu: &LinuxCpu) -> Result<()> {
    let number =
        |value: Option<u64>| value.filter(|value| *value != 0).map(|value| value.to_string());
    let period = number(cpu.period).map(|value| ("cpu.period", "cpu.cfs_period_us", value));
    let quota = cpu.quota.filter(|quota| *quota != 0).map(|quota| quota.max(-1).to_string());
    let quota = quota.map(|value| ("cpu.quota", "cpu.cfs_quota_us", value));
    let burst = cpu.burst.map(|burst| ("cpu.burst", "cpu.cfs_burst_us", burst.to_string()));
    let mut refused = Vec::new();
    for (setting, file, value) in [period, burst, quota].into_iter().flatten() {
        match dir.set(setting, file, &value) {
            Ok(()) => {}
            Err(CgroupError::Write { source, .. }) if is_invalid(&source) => {
                refused.push((setting, file, value));
            }
            Err(error) => return Err(error),
        }
    }
    // Last refused first: the quota lets the burst in, or the burst the quota.
    for (setting, file, value) in refused.into_iter().rev() {
        dir.set(setting, file, &value)?;
    }
    Ok(())
}

/// A new cpuset is empty, and no task may enter it then: takes the lists of the parent,
/// which is seen to first, up to the root of the hierarchy at `mount`.
pub(super) fn inherit_cpuset(mount: &Path, directory: &Path) -> Result<()> {
    let dir = Dir::new(directory.to_owned());
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if directory == mount || !dir.read(file)?.trim().is_empty() {
            continue;
        }
        if let Some(parent) = directory.parent() {
            inherit_cpuset(mount, parent)?;
            dir.write(file, Dir::new(parent.to_owned()).read(file)?.trim())?;
        }
    }
    Ok(())
}

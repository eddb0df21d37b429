//! Limits: from the request's terms to the specification's.
//!
//! Block devices are named by path in requests and by number in the specification; the caller
//! looks them up (`device`).

use model::resources::{Resources, ThrottleDevice};
use runtime::spec::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
    LinuxWeightDevice,
};

use crate::{Error, Result};

/// Smallest memory limit with which a container starts (Docker's).
const MEMORY_MIN: u64 = 6 * 1024 * 1024;

/// Checks what can be checked without the machine.
///
/// # Errors
/// Docker's sentence for the first thing that is wrong.
pub fn check(resources: &Resources) -> Result<()> {
    let invalid = |text: &str| Err(Error::Invalid(text.to_owned()));
    let r = resources;
    if r.memory.is_some_and(|bytes| bytes > 0 && bytes < MEMORY_MIN) {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if let (Some(memory), Some(swap)) = (r.memory, r.memory_swap)
        && swap > 0
        && u64::try_from(swap).is_ok_and(|swap| swap < memory)
    {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if r.memory.is_none() && r.memory_swap.is_some_and(|swap| swap > 0) {
        return invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if r.memory_swappiness.is_some_and(|percent| percent > 100) {
        return Err(Error::Invalid(format!(
            "Invalid value: {}, valid memory swappiness range is 0-100",
            r.memory_swappiness.unwrap_or_default()
        )));
    }
    if r.memory_reservation.is_some_and(|bytes| bytes > 0 && bytes < MEMORY_MIN) {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if let (Some(memory), Some(reservation)) = (r.memory, r.memory_reservation)
        && memory > 0
        && reservation > memory
    {
        return invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if r.nano_cpus.is_some() && (r.cpu_quota.is_some() || r.cpu_period.is_some()) {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if r.cpu_period.is_some_and(|us| us != 0 && !(1000..=1_000_000).contains(&us)) {
        return invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if r.cpu_quota.is_some_and(|us| us > 0 && us < 1000) {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if r.blkio_weight.is_some_and(|weight| weight > 0 && !(10..=1000).contains(&weight)) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    for set in [&r.cpuset_cpus, &r.cpuset_mems].into_iter().flatten() {
        if !is_set(set) {
            return Err(Error::Invalid(format!("Invalid value {set} for cpuset cpus")));
        }
    }
    Ok(())
}

/// `0-2,4`
fn is_set(text: &str) -> bool {
    text.is_empty()
        || text.split(',').all(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.parse::<u32>(), last.parse::<u32>()) {
                (Ok(first), Ok(last)) => first <= last,
                _ => false,
            }
        })
}

/// Converts; `device` gives major and minor number of a block device's path.
pub fn convert(
    resources: &Resources,
    device: impl Fn(&str) -> Result<(i64, i64)>,
) -> Result<LinuxResources> {
    let r = resources;
    let bytes = |value: Option<u64>| value.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let memory = LinuxMemory {
        limit: bytes(r.memory.filter(|bytes| *bytes > 0)),
        reservation: bytes(r.memory_reservation.filter(|bytes| *bytes > 0)),
        swap: swap(r),
        kernel_tcp: bytes(r.kernel_memory_tcp),
        swappiness: r.memory_swappiness,
        disable_oom_killer: r.oom_kill_disable.filter(|disabled| *disabled),
        ..LinuxMemory::default()
    };
    let cpu = cpu(r);
    let block_io = block_io(r, device)?;
    Ok(LinuxResources {
        memory: (memory != LinuxMemory::default()).then_some(memory),
        cpu: (cpu != LinuxCpu::default()).then_some(cpu),
        pids: r
            .pids_limit
            .filter(|limit| *limit != 0)
            .map(|limit| LinuxPids { limit: Some(limit) }),
        block_io: (block_io != LinuxBlockIo::default()).then_some(block_io),
        ..LinuxResources::default()
    })
}

/// A memory limit alone allows as much swap again.
fn swap(r: &Resources) -> Option<i64> {
    match (r.memory.filter(|bytes| *bytes > 0), r.memory_swap) {
        (Some(memory), None | Some(0)) => i64::try_from(memory.saturating_mul(2)).ok(),
        (_, Some(0)) => None,
        (_, swap) => swap,
    }
}

fn cpu(r: &Resources) -> LinuxCpu {
    const PERIOD_US: u64 = 100_000;
    let (period, quota) = match r.nano_cpus.filter(|nano| *nano > 0) {
        Some(nano) => {
            let quota = i64::try_from(nano.saturating_mul(PERIOD_US) / 1_000_000_000);
            (Some(PERIOD_US), quota.ok())
        }
        None => (r.cpu_period.filter(|us| *us > 0), r.cpu_quota.filter(|us| *us != 0)),
    };
    let text = |value: &Option<String>| value.clone().filter(|set| !set.is_empty());
    LinuxCpu {
        shares: r.cpu_shares.filter(|shares| *shares > 0),
        quota,
        period,
        realtime_runtime: r.cpu_realtime_runtime,
        realtime_period: r.cpu_realtime_period,
        cpus: text(&r.cpuset_cpus),
        mems: text(&r.cpuset_mems),
        ..LinuxCpu::default()
    }
}

fn block_io(r: &Resources, device: impl Fn(&str) -> Result<(i64, i64)>) -> Result<LinuxBlockIo> {
    let throttle = |list: &[ThrottleDevice]| -> Result<Vec<LinuxThrottleDevice>> {
        list.iter()
            .map(|entry| {
                let (major, minor) = device(&entry.path)?;
                Ok(LinuxThrottleDevice { major, minor, rate: entry.rate })
            })
            .collect()
    };
    let weights = r
        .blkio_weight_device
        .iter()
        .map(|entry| {
            let (major, minor) = device(&entry.path)?;
            Ok(LinuxWeightDevice { major, minor, weight: Some(entry.weight), leaf_weight: None })
        })
        .collect::<Result<_>>()?;
    Ok(LinuxBlockIo {
        weight: r.blkio_weight.filter(|weight| *weight > 0),
        weight_device: weights,
        throttle_read_bps_device: throttle(&r.blkio_read_bps)?,
        throttle_write_bps_device: throttle(&r.blkio_write_bps)?,
        throttle_read_iops_device: throttle(&r.blkio_read_iops)?,
        throttle_write_iops_device: throttle(&r.blkio_write_iops)?,
        ..LinuxBlockIo::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Result<(i64, i64)> {
        Ok((8, 0))
    }

    #[test]
    fn cpus_become_quota_and_memory_brings_swap() {
        let asked = Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(64 << 20),
            pids_limit: Some(-1),
            ..Resources::default()
        };
        check(&asked).unwrap();
        let spec = convert(&asked, none).unwrap();
        let cpu = spec.cpu.unwrap();
        assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
        assert_eq!(spec.memory.unwrap().swap, Some(128 << 20));
        assert_eq!(spec.pids.unwrap().limit, Some(-1));
        assert_eq!(spec.block_io, None);
    }

    #[test]
    fn nothing_asked_is_nothing_said() {
        assert_eq!(convert(&Resources::default(), none).unwrap(), LinuxResources::default());
    }

    #[test]
    fn wrong_limits_are_refused() {
        for (resources, text) in [
            (Resources { memory: Some(1024), ..Resources::default() }, "6MB"),
            (Resources { memory_swappiness: Some(101), ..Resources::default() }, "0-100"),
            (Resources { cpu_quota: Some(10), ..Resources::default() }, "quota"),
            (Resources { cpuset_cpus: Some("3-1".to_owned()), ..Resources::default() }, "cpuset"),
            (Resources { memory_swap: Some(1 << 30), ..Resources::default() }, "always set"),
        ] {
            let error = check(&resources).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}

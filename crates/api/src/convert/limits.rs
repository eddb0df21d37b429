//! Limits: memory, processors, disk, ulimits, with Docker's rules of what goes with what.

use model::resources::{Resources, ThrottleDevice, Ulimit, WeightDevice};

use super::{Refusal, Result, some_text};
use crate::wire::{self, HostConfig, List};

/// What the limits are judged against.
#[derive(Clone, Copy, Debug)]
pub struct HostFacts {
    /// Processors.
    pub cpus: u32,
}

/// The least memory that a container may be limited to, bytes.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;

/// Reads the limits of a host configuration.
pub fn resources(host: &HostConfig, facts: HostFacts) -> Result<Resources> {
    check_memory(host)?;
    check_processors(host, facts)?;
    check_disk(host)?;
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let nonzero = |value: i64| (value != 0).then_some(value);
    Ok(Resources {
        memory: positive(host.memory),
        memory_reservation: positive(host.memory_reservation),
        memory_swap: nonzero(host.memory_swap),
        // −1 is how older clients say "the default".
        memory_swappiness: host.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        oom_kill_disable: host.oom_kill_disable,
        kernel_memory_tcp: positive(host.kernel_memory_tcp),
        nano_cpus: positive(host.nano_cpus),
        cpu_shares: positive(host.cpu_shares),
        cpu_period: positive(host.cpu_period),
        cpu_quota: nonzero(host.cpu_quota),
        cpu_realtime_period: positive(host.cpu_realtime_period),
        cpu_realtime_runtime: nonzero(host.cpu_realtime_runtime),
        cpuset_cpus: some_text(&host.cpuset_cpus),
        cpuset_mems: some_text(&host.cpuset_mems),
        pids_limit: host.pids_limit,
        // The range was checked.
        blkio_weight: u16::try_from(host.blkio_weight).ok().filter(|weight| *weight != 0),
        blkio_weight_device: weights(&host.blkio_weight_device)?,
        blkio_read_bps: throttles(&host.blkio_device_read_bps),
        blkio_write_bps: throttles(&host.blkio_device_write_bps),
        blkio_read_iops: throttles(&host.blkio_device_read_iops),
        blkio_write_iops: throttles(&host.blkio_device_write_iops),
    })
}

fn refuse(text: impl Into<String>) -> Result<()> {
    Err(Refusal::new(text))
}

fn check_memory(host: &HostConfig) -> Result<()> {
    let HostConfig { memory, memory_swap: swap, memory_reservation: reservation, .. } = *host;
    if memory < 0 || (memory > 0 && memory < MEMORY_MIN) {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return refuse(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if let Some(swappiness) = host.memory_swappiness
        && !(-1..=100).contains(&swappiness)
    {
        return refuse(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        ));
    }
    if reservation < 0 || (reservation > 0 && reservation < MEMORY_MIN) {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > memory {
        return refuse(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    if host.oom_score_adj.abs() > 1000 {
        return refuse(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    if host.shm_size < 0 {
        return refuse("SHM size can not be less than 0");
    }
    Ok(())
}

fn check_processors(host: &HostConfig, facts: HostFacts) -> Result<()> {
    if host.nano_cpus > 0 && host.cpu_period > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if host.nano_cpus > 0 && host.cpu_quota > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    if host.nano_cpus < 0 || host.nano_cpus > i64::from(facts.cpus) * 1_000_000_000 {
        return refuse(format!(
            "range of CPUs is from 0.01 to {0}.00, as there are only {0} CPUs available",
            facts.cpus
        ));
    }
    if host.cpu_shares < 0 {
        return refuse(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares
        ));
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1_000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if host.cpu_realtime_runtime != 0
        && host.cpu_realtime_period != 0
        && host.cpu_realtime_runtime > host.cpu_realtime_period
    {
        return refuse("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    check_cpuset("cpus", &host.cpuset_cpus)?;
    check_cpuset("mems", &host.cpuset_mems)
}

/// `0-2,4`; whether those processors exist only the kernel knows for sure.
fn check_cpuset(what: &str, text: &str) -> Result<()> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n <= 8192);
    let ok = text.is_empty()
        || text.split(',').all(|part| match part.split_once('-') {
            Some((first, last)) => match (number(first), number(last)) {
                (Some(first), Some(last)) => first <= last,
                _ => false,
            },
            None => number(part).is_some(),
        });
    if ok { Ok(()) } else { refuse(format!("Invalid value {text} for cpuset {what}")) }
}

fn check_disk(host: &HostConfig) -> Result<()> {
    if host.blkio_weight != 0 && !(10..=1000).contains(&host.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000");
    }
    if host.io_maximum_bandwidth != 0 {
        return refuse(
            "invalid QoS settings: Linux does not support configuration of maximum bandwidth",
        );
    }
    if host.io_maximum_iops != 0 {
        return refuse(
            "invalid QoS settings: Linux does not support configuration of maximum IOPs",
        );
    }
    Ok(())
}

fn weights(list: &List<wire::WeightDevice>) -> Result<Vec<WeightDevice>> {
    let convert = |device: &wire::WeightDevice| match u16::try_from(device.weight) {
        Ok(weight) if (10..=1000).contains(&weight) => {
            Ok(WeightDevice { path: device.path.clone(), weight })
        }
        _ => Err(Refusal::new("Range of blkio weight is from 10 to 1000")),
    };
    list.iter().flatten().map(convert).collect()
}

fn throttles(list: &List<wire::ThrottleDevice>) -> Vec<ThrottleDevice> {
    let convert = |device: &wire::ThrottleDevice| ThrottleDevice {
        path: device.path.clone(),
        rate: device.rate,
    };
    list.iter().flatten().map(convert).collect()
}

/// Names of getrlimit(2), as in `RLIMIT_…`.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads `Ulimits`.
pub(super) fn ulimits(list: &List<wire::Ulimit>) -> Result<Vec<Ulimit>> {
    let convert = |limit: &wire::Ulimit| {
        let wire::Ulimit { name, soft, hard } = limit.clone();
        if !ULIMITS.contains(&name.as_str()) {
            return Err(Refusal::new(format!("invalid ulimit type: {name}")));
        }
        if soft < -1 || hard < -1 {
            return Err(Refusal::new(format!("invalid ulimit value for {name}: {soft}:{hard}")));
        }
        if hard != -1 && (soft > hard || soft == -1) {
            return Err(Refusal::new(format!(
                "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
            )));
        }
        Ok(Ulimit { name, soft, hard })
    };
    list.iter().flatten().map(convert).collect()
}

/// Sentences for limits that have an effect the user may not expect.
pub(super) fn warnings(host: &HostConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    if host.oom_kill_disable == Some(true) && host.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can \
             result in the system running out of resources."
                .to_owned(),
        );
    }
    if host.kernel_memory > 0 {
        warnings.push(
            "Specifying a kernel memory limit is deprecated and ignored: Linux 5.4 dropped it."
                .to_owned(),
        );
    }
    if host.cpu_percent > 0 || host.cpu_count > 0 {
        warnings.push("CpuCount and CpuPercent are for Windows only. Ignored.".to_owned());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> std::result::Result<Resources, String> {
        let host: HostConfig = crate::go::from_slice(json.as_bytes()).unwrap();
        resources(&host, HostFacts { cpus: 2 }).map_err(|e| e.message)
    }

    #[test]
    fn absent_and_zero_mean_no_limit() {
        assert_eq!(read("{}").unwrap(), Resources::default());
        let some = read(r#"{"Memory":6291456,"MemorySwap":-1,"NanoCpus":500000000,"PidsLimit":5}"#);
        let some = some.unwrap();
        assert_eq!(some.memory, Some(6_291_456));
        assert_eq!(some.memory_swap, Some(-1));
        assert_eq!(some.nano_cpus, Some(500_000_000));
    }

    #[test]
    fn impossible_limits_are_refused_in_dockers_words() {
        for (json, want) in [
            (r#"{"Memory":6291455}"#, "Minimum memory limit allowed is 6MB"),
            (
                r#"{"Memory":8388608,"MemorySwap":7000000}"#,
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                r#"{"MemorySwap":7000000}"#,
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                r#"{"MemorySwappiness":101}"#,
                "Invalid value: 101, valid memory swappiness range is 0-100",
            ),
            (
                r#"{"Memory":8388608,"MemoryReservation":9000000}"#,
                "Minimum memory limit can not be less than memory reservation limit, see usage",
            ),
            (
                r#"{"NanoCpus":3000000000}"#,
                "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                r#"{"CpuPeriod":500}"#,
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
            ),
            (r#"{"CpuQuota":500}"#, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
            (r#"{"CpusetCpus":"0-x"}"#, "Invalid value 0-x for cpuset cpus"),
            (r#"{"BlkioWeight":5}"#, "Range of blkio weight is from 10 to 1000"),
            (
                r#"{"OomScoreAdj":1001}"#,
                "Invalid value 1001, range for oom score adj is [-1000, 1000]",
            ),
            (r#"{"ShmSize":-1}"#, "SHM size can not be less than 0"),
        ] {
            assert_eq!(read(json).unwrap_err(), want, "{json}");
        }
    }

    #[test]
    fn ulimits_are_checked() {
        let one = |name: &str, soft, hard| {
            ulimits(&Some(vec![wire::Ulimit { name: name.into(), soft, hard }]))
        };
        assert!(one("nofile", 10, 20).is_ok());
        assert!(one("core", -1, -1).is_ok());
        assert!(one("nofile", 30, 20).unwrap_err().message.contains("30 > 20"));
        assert!(one("bogus", 1, 1).is_err());
    }
}

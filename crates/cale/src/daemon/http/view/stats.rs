//! Readings of a container's use.

use api::{
    convert::rfc3339_nano,
    wire::{
        BlkioEntry, BlkioStats, CpuStats, CpuUsage, List, MemoryStats, NetworkStats, PidsStats,
        Stats, ThrottlingData,
    },
};
use engine::container::{StatsFrame, StatsSample};

/// A reading and the one before.
pub fn stats(frame: &StatsFrame) -> Stats {
    let mut out = Stats {
        name: format!("/{}", frame.name),
        id: frame.id.to_string(),
        os_type: frame.os.clone(),
        read: rfc3339_nano(frame.current.as_ref().map(|sample| sample.read_ns)),
        preread: rfc3339_nano(frame.previous.as_ref().map(|sample| sample.read_ns)),
        ..Stats::default()
    };
    if let Some(previous) = &frame.previous {
        out.precpu_stats = cpu(previous);
    }
    let Some(sample) = &frame.current else { return out };
    let usage = &sample.usage;
    out.cpu_stats = cpu(sample);
    out.pids_stats = PidsStats {
        current: usage.pids.current.unwrap_or_default(),
        limit: usage.pids.limit.unwrap_or_default(),
    };
    out.blkio_stats = blkio(sample);
    let memory = &usage.memory;
    out.memory_stats = MemoryStats {
        usage: memory.usage.unwrap_or_default(),
        max_usage: memory.max_usage.unwrap_or_default(),
        stats: memory.stat.clone(),
        failcnt: memory.failcnt.unwrap_or_default(),
        limit: memory.limit.unwrap_or_else(host_memory),
    };
    out.networks = sample
        .networks
        .iter()
        .map(|(name, counters)| {
            let stats = NetworkStats {
                rx_bytes: counters.rx_bytes,
                rx_packets: counters.rx_packets,
                rx_errors: counters.rx_errors,
                rx_dropped: counters.rx_dropped,
                tx_bytes: counters.tx_bytes,
                tx_packets: counters.tx_packets,
                tx_errors: counters.tx_errors,
                tx_dropped: counters.tx_dropped,
            };
            (name.clone(), stats)
        })
        .collect();
    out
}

/// dockerd shows the host's memory where there is no limit.
fn host_memory() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/meminfo") else { return 0 };
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn cpu(sample: &StatsSample) -> CpuStats {
    let cpu = &sample.usage.cpu;
    CpuStats {
        cpu_usage: CpuUsage {
            total_usage: cpu.total_ns,
            percpu_usage: (!cpu.per_cpu_ns.is_empty()).then(|| cpu.per_cpu_ns.clone()),
            usage_in_kernelmode: cpu.system_ns,
            usage_in_usermode: cpu.user_ns,
        },
        system_cpu_usage: sample.system_cpu_ns,
        online_cpus: sample.online_cpus,
        throttling_data: ThrottlingData {
            periods: cpu.periods,
            throttled_periods: cpu.throttled_periods,
            throttled_time: cpu.throttled_ns,
        },
    }
}

fn blkio(sample: &StatsSample) -> BlkioStats {
    let entries = |entries: &[runtime::cgroup::BlkioEntry]| -> List<BlkioEntry> {
        let convert = |entry: &runtime::cgroup::BlkioEntry| BlkioEntry {
            major: entry.major,
            minor: entry.minor,
            op: entry.operation.clone(),
            value: entry.value,
        };
        Some(entries.iter().map(convert).collect())
    };
    // What the kernel no longer counts stays null, as on cgroup v2.
    BlkioStats {
        io_service_bytes_recursive: entries(&sample.usage.io_service_bytes),
        io_serviced_recursive: entries(&sample.usage.io_serviced),
        ..BlkioStats::default()
    }
}

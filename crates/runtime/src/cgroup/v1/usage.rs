//! v1 readings.

use super::super::Result;
use super::super::files::{Dir, keyed_lines};
use super::super::usage::{BlkioEntry, CpuUsage, HugetlbUsage, MemoryUsage, PidsUsage, Usage};
use super::V1;

/// `USER_HZ`: the unit of `cpuacct.stat` is fixed for user space on every architecture
/// that has a number table here.
const TICK_NS: u64 = 10_000_000;
/// The largest page-aligned number stands for "unlimited"; anything near it does too.
const UNLIMITED: u64 = i64::MAX as u64 - 0xffff;

impl V1 {
    pub(super) fn read_usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        if let Some(dir) = self.find("cpuacct") {
            read_cpuacct(dir, &mut usage.cpu)?;
        }
        if let Some(dir) = self.find("cpu") {
            let stat = dir.keyed("cpu.stat")?;
            let value = |key: &str| stat.get(key).copied().unwrap_or(0);
            usage.cpu.periods = value("nr_periods");
            usage.cpu.throttled_periods = value("nr_throttled");
            usage.cpu.throttled_ns = value("throttled_time");
        }
        if let Some(dir) = self.find("memory") {
            usage.memory = read_memory(dir)?;
        }
        if let Some(dir) = self.find("pids") {
            usage.pids =
                PidsUsage { current: dir.number("pids.current")?, limit: dir.number("pids.max")? };
        }
        if let Some(dir) = self.find("blkio") {
            usage.io_service_bytes = read_blkio(dir, "io_service_bytes")?;
            usage.io_serviced = read_blkio(dir, "io_serviced")?;
        }
        if let Some(dir) = self.find("hugetlb") {
            read_hugetlb(dir, &mut usage)?;
        }
        Ok(usage)
    }
}

fn read_cpuacct(dir: &Dir, cpu: &mut CpuUsage) -> Result<()> {
    cpu.total_ns = dir.number("cpuacct.usage")?.unwrap_or(0);
    let per_cpu = dir.read_if_there("cpuacct.usage_percpu")?.unwrap_or_default();
    cpu.per_cpu_ns = per_cpu.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // Exact since Linux 4.9; the older file counts ticks.
    let exact = (dir.number("cpuacct.usage_user")?, dir.number("cpuacct.usage_sys")?);
    (cpu.user_ns, cpu.system_ns) = match exact {
        (Some(user), Some(system)) => (user, system),
        _ => {
            let ticks = dir.keyed("cpuacct.stat")?;
            let ns = |key| ticks.get(key).copied().unwrap_or(0) * TICK_NS;
            (ns("user"), ns("system"))
        }
    };
    Ok(())
}

fn read_memory(dir: &Dir) -> Result<MemoryUsage> {
    let usage = dir.number("memory.usage_in_bytes")?;
    let limited = |value: Option<u64>| value.filter(|value| *value < UNLIMITED);
    let limit = limited(dir.number("memory.limit_in_bytes")?);
    let both = dir.number("memory.memsw.usage_in_bytes")?;
    let both_limit = limited(dir.number("memory.memsw.limit_in_bytes")?);
    let control = keyed_lines(&dir.read_if_there("memory.oom_control")?.unwrap_or_default());
    Ok(MemoryUsage {
        usage,
        max_usage: dir.number("memory.max_usage_in_bytes")?,
        limit,
        // Read one after the other, so that the difference may be below zero.
        swap_usage: both.map(|both| both.saturating_sub(usage.unwrap_or(0))),
        swap_limit: both_limit.map(|both| both.saturating_sub(limit.unwrap_or(0))),
        failcnt: dir.number("memory.failcnt")?,
        oom_kills: control.get("oom_kill").copied(),
        stat: dir.keyed("memory.stat")?,
        unified: false,
    })
}

/// The scheduler's recursive counters if it keeps some (CFQ, BFQ), else the throttling
/// layer's: those exist for every device, and are what Docker falls back to.
fn read_blkio(dir: &Dir, what: &str) -> Result<Vec<BlkioEntry>> {
    for scheduler in ["", "bfq.", "throttle."] {
        let file = format!("blkio.{scheduler}{what}_recursive");
        let entries = blkio_entries(&dir.read_if_there(&file)?.unwrap_or_default());
        if !entries.is_empty() {
            return Ok(entries);
        }
    }
    Ok(blkio_entries(&dir.read_if_there(&format!("blkio.throttle.{what}"))?.unwrap_or_default()))
}

/// Lines of `major:minor operation value`; the grand total at the end is skipped.
fn blkio_entries(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let mut fields = line.split([' ', ':']);
        Some(BlkioEntry {
            major: fields.next()?.parse().ok()?,
            minor: fields.next()?.parse().ok()?,
            operation: fields.next()?.to_owned(),
            value: fields.next()?.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}

fn read_hugetlb(dir: &Dir, usage: &mut Usage) -> Result<()> {
    for size in super::super::usage::hugepage_sizes() {
        let number = |field: &str| dir.number(&format!("hugetlb.{size}.{field}"));
        if let Some(now) = number("usage_in_bytes")? {
            let max_usage = number("max_usage_in_bytes")?;
            let failcnt = number("failcnt")?.unwrap_or(0);
            usage.hugetlb.insert(size, HugetlbUsage { usage: now, max_usage, failcnt });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkio_lines() {
        let entries = blkio_entries("254:0 Read 4096\n254:0 Total 4096\nTotal 4096\n");
        assert_eq!(entries.len(), 2);
        assert_eq!(
            (entries[0].major, entries[0].operation.as_str(), entries[0].value),
            (254, "Read", 4096)
        );
    }
}

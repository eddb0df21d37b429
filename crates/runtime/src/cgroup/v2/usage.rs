//! v2 readings.

use super::super::Result;
use super::super::files::keyed_lines;
use super::super::usage::{
    BlkioEntry, CpuUsage, HugetlbUsage, MemoryUsage, PidsUsage, Usage, hugepage_sizes, pressure,
};
use super::V2;

impl V2 {
    pub(super) fn read_usage(&self) -> Result<Usage> {
        let mut usage = Usage {
            cpu: self.read_cpu()?,
            memory: self.read_memory()?,
            pids: PidsUsage {
                current: self.dir.number("pids.current")?,
                limit: self.dir.number("pids.max")?,
            },
            ..Usage::default()
        };
        let io = self.dir.read_if_there("io.stat")?.unwrap_or_default();
        usage.io_service_bytes = io_entries(&io, ["rbytes", "wbytes", "dbytes"]);
        usage.io_serviced = io_entries(&io, ["rios", "wios", "dios"]);
        for size in hugepage_sizes() {
            let Some(now) = self.dir.number(&format!("hugetlb.{size}.current"))? else { continue };
            let events = self.dir.keyed(&format!("hugetlb.{size}.events"))?;
            let failcnt = events.get("max").copied().unwrap_or(0);
            usage.hugetlb.insert(size, HugetlbUsage { usage: now, max_usage: None, failcnt });
        }
        for (file, into) in [
            ("cpu.pressure", &mut usage.cpu_pressure),
            ("memory.pressure", &mut usage.memory_pressure),
            ("io.pressure", &mut usage.io_pressure),
        ] {
            *into = self.dir.read_if_there(file)?.as_deref().and_then(pressure);
        }
        Ok(usage)
    }

    /// `cpu.stat` is there without the controller too, only shorter.
    fn read_cpu(&self) -> Result<CpuUsage> {
        let stat = self.dir.keyed("cpu.stat")?;
        let value = |key: &str| stat.get(key).copied().unwrap_or(0);
        Ok(CpuUsage {
            total_ns: value("usage_usec") * 1000,
            user_ns: value("user_usec") * 1000,
            system_ns: value("system_usec") * 1000,
            per_cpu_ns: Vec::new(),
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_ns: value("throttled_usec") * 1000,
        })
    }

    fn read_memory(&self) -> Result<MemoryUsage> {
        let number = |file: &str| self.dir.number(file);
        let events = keyed_lines(&self.dir.read_if_there("memory.events")?.unwrap_or_default());
        Ok(MemoryUsage {
            usage: number("memory.current")?,
            max_usage: number("memory.peak")?,
            limit: number("memory.max")?,
            swap_usage: number("memory.swap.current")?,
            swap_limit: number("memory.swap.max")?,
            failcnt: events.get("max").copied(),
            oom_kills: events.get("oom_kill").copied(),
            stat: self.dir.keyed("memory.stat")?,
            unified: true,
        })
    }
}

/// Lines of `major:minor key=value …`, with the keys for read, write and discard.
fn io_entries(text: &str, keys: [&str; 3]) -> Vec<BlkioEntry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let Some((device, fields)) = line.split_once(' ') else { continue };
        let numbers = device
            .split_once(':')
            .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let Some((major, minor)) = numbers else { continue };
        for (key, operation) in keys.iter().zip(["read", "write", "discard"]) {
            let value = fields.split_whitespace().find_map(|field| {
                let (name, value) = field.split_once('=')?;
                (name == *key).then(|| value.parse().ok()).flatten()
            });
            if let Some(value) = value {
                entries.push(BlkioEntry { major, minor, operation: operation.into(), value });
            }
        }
    }
    entries
}

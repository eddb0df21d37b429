//! Readings of a group, in the terms of `docker stats`.
//!
//! Only types; each driver fills them. What a host doesn't count is `None` or empty,
//! never a made-up zero.

use std::collections::BTreeMap;

/// All readings at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// CPU time.
    pub cpu: CpuUsage,
    /// Memory.
    pub memory: MemoryUsage,
    /// Tasks.
    pub pids: PidsUsage,
    /// Block I/O in bytes: `(device, operation, value)`.
    pub io_service_bytes: Vec<BlkioEntry>,
    /// Block I/O in requests.
    pub io_serviced: Vec<BlkioEntry>,
    /// Huge pages by page size (`2MB`).
    pub hugetlb: BTreeMap<String, HugetlbUsage>,
    /// Stall information of the group, where the kernel keeps it.
    pub cpu_pressure: Option<Pressure>,
    /// As above, for memory.
    pub memory_pressure: Option<Pressure>,
    /// As above, for block I/O.
    pub io_pressure: Option<Pressure>,
}

/// CPU time; all in ns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuUsage {
    /// Time used.
    pub total_ns: u64,
    /// … in user mode.
    pub user_ns: u64,
    /// … in kernel mode.
    pub system_ns: u64,
    /// … by CPU; empty on v2, which doesn't count it.
    pub per_cpu_ns: Vec<u64>,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Periods in which the group ran out of quota.
    pub throttled_periods: u64,
    /// Time spent out of quota.
    pub throttled_ns: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Charged now, page cache included. `None` where no memory controller is.
    pub usage: Option<u64>,
    /// The most that was charged at once; v2 has it since Linux 5.19.
    pub max_usage: Option<u64>,
    /// The limit; `None` if unlimited.
    pub limit: Option<u64>,
    /// Swap in use (v1: memory+swap minus memory).
    pub swap_usage: Option<u64>,
    /// The swap limit by itself; `None` if unlimited or not counted.
    pub swap_limit: Option<u64>,
    /// How often the limit was hit.
    pub failcnt: Option<u64>,
    /// How often a process was killed for lack of memory.
    pub oom_kills: Option<u64>,
    /// Every line of `memory.stat`, under the kernel's name.
    pub stat: BTreeMap<String, u64>,
    /// The reading is of a v2 group; the names in `stat` differ.
    pub unified: bool,
}

impl MemoryUsage {
    /// What people expect of "memory used": without the page cache that the kernel can
    /// drop at once. As the docker client computes it from the raw numbers
    /// (`total_inactive_file` on v1, `inactive_file` on v2).
    pub fn working_set(&self) -> u64 {
        let key = if self.unified { "inactive_file" } else { "total_inactive_file" };
        let usage = self.usage.unwrap_or(0);
        match self.stat.get(key) {
            Some(&inactive) if inactive < usage => usage - inactive,
            _ => usage,
        }
    }
}

/// Tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PidsUsage {
    /// Now. `None` where no pids controller is.
    pub current: Option<u64>,
    /// The limit; `None` if unlimited.
    pub limit: Option<u64>,
}

/// One count of block I/O.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlkioEntry {
    /// Major device number.
    pub major: u64,
    /// Minor device number.
    pub minor: u64,
    /// As v1 names it: `Read`, `Write`, `Discard`, `Sync`, `Async`, `Total`; v2 has
    /// lower-case `read`, `write`, `discard`, as the Docker API shows them.
    pub operation: String,
    /// Bytes or requests.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HugetlbUsage {
    /// Now.
    pub usage: u64,
    /// The most at once; v2 doesn't count it.
    pub max_usage: Option<u64>,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Pressure stall information, Documentation/accounting/psi.rst.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Some tasks waited.
    pub some: PressureLine,
    /// All tasks waited; absent for the CPU before Linux 5.13.
    pub full: Option<PressureLine>,
}

/// Share of time in percent over windows of 10, 60 and 300 s, and the sum in µs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)]
pub struct PressureLine {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total_us: u64,
}

/// Page sizes as the files of the hugetlb controller have them: `2MB`, `1GB`.
pub(super) fn hugepage_sizes() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| hugepage_size(&name)).collect()
}

/// `hugepages-2048kB` as `2MB`.
fn hugepage_size(name: &str) -> Option<String> {
    let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(match kib {
        gib if gib >= 1 << 20 => format!("{}GB", gib >> 20),
        mib if mib >= 1 << 10 => format!("{}MB", mib >> 10),
        kib => format!("{kib}KB"),
    })
}

/// A `*.pressure` file.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let line = |name: &str| {
        let fields = text.lines().find_map(|line| line.strip_prefix(name))?;
        let mut line = PressureLine::default();
        for (key, value) in fields.split_whitespace().filter_map(|field| field.split_once('=')) {
            match key {
                "avg10" => line.avg10 = value.parse().ok()?,
                "avg60" => line.avg60 = value.parse().ok()?,
                "avg300" => line.avg300 = value.parse().ok()?,
                "total" => line.total_us = value.parse().ok()?,
                _ => {}
            }
        }
        Some(line)
    };
    Some(Pressure { some: line("some ")?, full: line("full ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        let sizes =
            ["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB"].map(hugepage_size);
        assert_eq!(sizes.map(Option::unwrap), ["64KB", "2MB", "1GB"]);
    }

    #[test]
    fn pressure_lines() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=42\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=7\n";
        let read = pressure(text).unwrap();
        assert_eq!(
            (read.some.avg10, read.some.total_us, read.full.unwrap().total_us),
            (1.5, 42, 7)
        );
        assert_eq!(pressure(""), None);
    }

    #[test]
    fn working_set_leaves_out_droppable_cache() {
        let memory = |unified, key: &str| MemoryUsage {
            usage: Some(100),
            stat: [(key.to_owned(), 30)].into(),
            unified,
            ..MemoryUsage::default()
        };
        assert_eq!(memory(false, "total_inactive_file").working_set(), 70);
        assert_eq!(memory(true, "inactive_file").working_set(), 70);
        assert_eq!(memory(true, "total_inactive_file").working_set(), 100);
    }
}

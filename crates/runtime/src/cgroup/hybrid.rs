//! v1 groups that hold the controllers, and a v2 leaf beside them.
//!
//! Every process of the container is in both. Limits go to the generation that has
//! their controller; kill and freeze go to v2, which does them at once.

use std::time::Duration;

use crate::spec::{LinuxCpu, LinuxResources};

use super::v1::V1;
use super::v2::V2;
use super::{Cgroup, Entry, GroupPath, OomWatch, Result, Usage};

/// A group in every tree of a hybrid host.
#[derive(Debug)]
pub(super) struct Hybrid {
    pub v1: V1,
    pub v2: V2,
}

impl Cgroup for Hybrid {
    fn path(&self) -> &GroupPath {
        self.v1.path()
    }

    fn apply(&self, resources: &LinuxResources) -> Result<()> {
        let (v1, v2) = split(resources, |controller| self.v1.find(controller).is_some());
        self.v1.apply(&v1)?;
        self.v2.apply(&v2)
    }

    fn entry(&self) -> Result<Entry> {
        Ok(Entry { clone_into: self.v2.entry()?.clone_into, tasks: self.v1.entry()?.tasks })
    }

    fn attach(&self, pid: u32) -> Result<()> {
        self.v1.attach(pid)?;
        self.v2.attach(pid)
    }

    fn pids(&self) -> Result<Vec<u32>> {
        // A process that was moved in one tree only still belongs to the container.
        let mut pids = self.v1.pids()?;
        pids.extend(self.v2.pids()?);
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    fn usage(&self) -> Result<Usage> {
        let (v1, v2) = (self.v1.usage()?, self.v2.usage()?);
        let has = |controller| self.v1.find(controller).is_some();
        let mut hugetlb = v2.hugetlb;
        hugetlb.extend(v1.hugetlb);
        let (io_service_bytes, io_serviced) = match has("blkio") {
            true => (v1.io_service_bytes, v1.io_serviced),
            false => (v2.io_service_bytes, v2.io_serviced),
        };
        Ok(Usage {
            cpu: if has("cpuacct") { v1.cpu } else { v2.cpu },
            memory: if has("memory") { v1.memory } else { v2.memory },
            pids: if has("pids") { v1.pids } else { v2.pids },
            io_service_bytes,
            io_serviced,
            hugetlb,
            cpu_pressure: v2.cpu_pressure,
            memory_pressure: v2.memory_pressure,
            io_pressure: v2.io_pressure,
        })
    }

    fn freeze(&self, limit: Duration) -> Result<()> {
        self.v2.freeze(limit)
    }

    fn thaw(&self) -> Result<()> {
        self.v2.thaw()
    }

    fn is_frozen(&self) -> Result<bool> {
        self.v2.is_frozen()
    }

    fn kill(&self) -> Result<()> {
        self.v2.kill()?;
        // Anything left is in a v1 group only.
        let left: std::collections::BTreeSet<u32> = self.v1.pids()?.into_iter().collect();
        super::processes::kill_each(self.path(), &left)
    }

    fn watch_oom(&self) -> Result<OomWatch> {
        if self.v1.find("memory").is_some() { self.v1.watch_oom() } else { self.v2.watch_oom() }
    }

    fn oom_kills(&self) -> Result<u64> {
        if self.v1.find("memory").is_some() { self.v1.oom_kills() } else { self.v2.oom_kills() }
    }

    fn remove(&self, limit: Duration) -> Result<()> {
        self.v1.remove(limit)?;
        self.v2.remove(limit)
    }
}

/// What v1 gets, and what v2 gets. A part whose controller v1 lacks goes to v2, which
/// has it or says that it is missing; marks that only v1 ever had stay with v1.
fn split(all: &LinuxResources, v1_has: impl Fn(&str) -> bool) -> (LinuxResources, LinuxResources) {
    let (mut v1, mut v2) = (all.clone(), LinuxResources::default());
    v2.unified = std::mem::take(&mut v1.unified);
    if !v1_has("memory") {
        v2.memory = v1.memory.take();
    }
    if !v1_has("pids") {
        v2.pids = v1.pids.take();
    }
    if !v1_has("blkio") {
        v2.block_io = v1.block_io.take();
    }
    if !v1_has("hugetlb") {
        v2.hugepage_limits = std::mem::take(&mut v1.hugepage_limits);
    }
    if !v1_has("rdma") {
        v2.rdma = std::mem::take(&mut v1.rdma);
    }
    if !v1_has("devices") {
        v2.devices = std::mem::take(&mut v1.devices);
    }
    if let Some(cpu) = &all.cpu {
        let placement =
            LinuxCpu { cpus: cpu.cpus.clone(), mems: cpu.mems.clone(), ..LinuxCpu::default() };
        let time = LinuxCpu { cpus: None, mems: None, ..cpu.clone() };
        let part =
            |wanted: bool, part: &LinuxCpu| if wanted { part.clone() } else { LinuxCpu::default() };
        let join = |place: LinuxCpu, time: LinuxCpu| LinuxCpu {
            cpus: place.cpus,
            mems: place.mems,
            ..time
        };
        let (places, times) = (v1_has("cpuset"), v1_has("cpu"));
        v1.cpu = Some(join(part(places, &placement), part(times, &time)));
        v2.cpu = Some(join(part(!places, &placement), part(!times, &time)));
    }
    (v1, v2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{LinuxHugepageLimit, LinuxMemory, LinuxPids};

    #[test]
    fn parts_go_where_their_controller_is() {
        let all = LinuxResources {
            memory: Some(LinuxMemory { limit: Some(1), ..LinuxMemory::default() }),
            pids: Some(LinuxPids { limit: Some(2) }),
            cpu: Some(LinuxCpu { shares: Some(3), cpus: Some("0".into()), ..LinuxCpu::default() }),
            hugepage_limits: vec![LinuxHugepageLimit { page_size: "2MB".into(), limit: 4 }],
            unified: [("memory.high".to_owned(), "5".to_owned())].into(),
            ..LinuxResources::default()
        };
        let (v1, v2) = split(&all, |controller| ["memory", "cpu"].contains(&controller));
        assert!(v1.memory.is_some() && v2.memory.is_none());
        assert!(v1.pids.is_none() && v2.pids == all.pids);
        assert_eq!(
            v1.cpu.as_ref().map(|cpu| (cpu.shares, cpu.cpus.clone())),
            Some((Some(3), None))
        );
        assert_eq!(
            v2.cpu.as_ref().map(|cpu| (cpu.shares, cpu.cpus.clone())),
            Some((None, Some("0".into())))
        );
        assert!(v1.hugepage_limits.is_empty() && v2.hugepage_limits.len() == 1);
        assert!(v1.unified.is_empty() && v2.unified == all.unified);
    }
}

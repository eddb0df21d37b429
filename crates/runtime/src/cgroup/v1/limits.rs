//! v1 controllers with a single file each: pids, hugetlb, net_cls, net_prio, rdma.

use std::collections::BTreeMap;

use crate::spec::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma};

use super::super::Result;
use super::super::convert::pids_max;
use super::V1;

impl V1 {
    pub(super) fn apply_pids(&self, limit: i64) -> Result<()> {
        self.dir("pids", "pids.limit")?.set("pids.limit", "pids.max", &pids_max(limit))
    }

    pub(super) fn apply_hugepages(&self, limits: &[LinuxHugepageLimit]) -> Result<()> {
        for LinuxHugepageLimit { page_size, limit } in limits {
            let setting = format!("hugepageLimits.{page_size}");
            let dir = self.dir("hugetlb", &setting)?;
            let limit = limit.to_string();
            dir.set(&setting, &format!("hugetlb.{page_size}.limit_in_bytes"), &limit)?;
            // Reservations count separately since Linux 5.7.
            let reserved = format!("hugetlb.{page_size}.rsvd.limit_in_bytes");
            if dir.has(&reserved) {
                dir.set(&setting, &reserved, &limit)?;
            }
        }
        Ok(())
    }

    pub(super) fn apply_network(&self, network: &LinuxNetwork) -> Result<()> {
        if let Some(class) = network.class_id {
            let dir = self.dir("net_cls", "network.classID")?;
            dir.set("network.classID", "net_cls.classid", &class.to_string())?;
        }
        for priority in &network.priorities {
            let dir = self.dir("net_prio", "network.priorities")?;
            let value = format!("{} {}", priority.name, priority.priority);
            dir.set("network.priorities", "net_prio.ifpriomap", &value)?;
        }
        Ok(())
    }

    pub(super) fn apply_rdma(&self, devices: &BTreeMap<String, LinuxRdma>) -> Result<()> {
        for (device, limits) in devices {
            self.dir("rdma", "rdma")?.set("rdma", "rdma.max", &rdma_line(device, limits))?;
        }
        Ok(())
    }
}

/// A line of `rdma.max`, the same on v1 and v2.
pub(in super::super) fn rdma_line(device: &str, limits: &LinuxRdma) -> String {
    let mut line = device.to_owned();
    for (name, limit) in [("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects)] {
        if let Some(limit) = limit {
            line.push_str(&format!(" {name}={limit}"));
        }
    }
    line
}

//! Update: limits, live where it runs, and the restart policy.

use model::{container::RestartPolicy, resources::Resources};

use super::{Containers, UpdateRequest, actor::Actor, handle::Ask, oci, sources, start};
use crate::{Error, Result, blocking, records::Weight};

impl Containers<'_> {
    /// Changes limits and restart policy; returns warnings.
    pub async fn update(&self, container: &str, request: UpdateRequest) -> Result<Vec<String>> {
        let handle = self.engine.registry().find(container)?;
        let snapshot = handle.snapshot();
        if let Some(policy) = request.restart_policy
            && policy != RestartPolicy::No
            && snapshot.record.spec.host.auto_remove
        {
            return Err(Error::Conflict(
                "Restart policy cannot be updated because AutoRemove is enabled for the container"
                    .to_owned(),
            ));
        }
        oci::resources::check(&merged(&snapshot.record.spec.host.resources, &request.resources))?;
        handle.ask(self.engine, Ask::Update(Box::new(request))).await?;
        Ok(Vec::new())
    }
}

/// `new` over `old`: what isn't said stays.
fn merged(old: &Resources, new: &Resources) -> Resources {
    let mut result = old.clone();
    macro_rules! take {
        ($($field:ident),*) => {$(
            if new.$field.is_some() {
                result.$field.clone_from(&new.$field);
            }
        )*};
    }
    macro_rules! take_list {
        ($($field:ident),*) => {$(
            if !new.$field.is_empty() {
                result.$field.clone_from(&new.$field);
            }
        )*};
    }
    take!(
        memory,
        memory_reservation,
        memory_swap,
        memory_swappiness,
        oom_kill_disable,
        kernel_memory_tcp,
        nano_cpus,
        cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_realtime_period,
        cpu_realtime_runtime,
        cpuset_cpus,
        cpuset_mems,
        pids_limit,
        blkio_weight
    );
    take_list!(
        blkio_weight_device,
        blkio_read_bps,
        blkio_write_bps,
        blkio_read_iops,
        blkio_write_iops
    );
    result
}

impl Actor {
    pub(super) async fn update(&mut self, request: UpdateRequest) -> Result<()> {
        let resources = merged(&self.record.spec.host.resources, &request.resources);
        if let Some(live) = &self.live {
            // Only what was asked for is written again.
            let mut change = oci::resources::convert(&request.resources, sources::block_device)?;
            if request.resources.memory.is_some() && request.resources.memory_swap.is_none() {
                let kept = oci::resources::convert(&resources, sources::block_device)?;
                if let (Some(memory), Some(kept)) = (&mut change.memory, kept.memory) {
                    memory.swap = kept.swap;
                }
            }
            let group = live.group.clone();
            blocking::spawn(move || {
                group.apply(&change).map_err(|error| start::group_error("change", error))
            })
            .await?;
        }
        self.record.spec.host.resources = resources;
        if let Some(policy) = request.restart_policy {
            self.record.spec.host.restart_policy = policy;
            let waiting_in_vain = policy == RestartPolicy::No && self.revive_at.is_some();
            if waiting_in_vain {
                self.revive_at = None;
                self.state.status = model::state::Status::Exited;
            }
        }
        let event = self.event("update", &[]);
        self.save_with(Weight::Durable, vec![event])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_stays() {
        let old = Resources { memory: Some(1), cpu_shares: Some(2), ..Resources::default() };
        let new = Resources { cpu_shares: Some(3), pids_limit: Some(4), ..Resources::default() };
        let result = merged(&old, &new);
        assert_eq!(
            (result.memory, result.cpu_shares, result.pids_limit),
            (Some(1), Some(3), Some(4))
        );
    }
}

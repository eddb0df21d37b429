//! Inspect: one container with everything around it.

use model::ContainerId;

use super::{Containers, Inspection, Sizes, logs};
use crate::{Result, blocking};

impl Containers<'_> {
    /// Everything about one; `size` counts its bytes too.
    pub async fn inspect(&self, container: &str, size: bool) -> Result<Inspection> {
        let handle = self.engine.registry().find(container)?;
        let snapshot = handle.snapshot();
        let record = &snapshot.record;
        let rootfs = self.engine.records().rootfs(record)?;
        let directory = self.engine.records().container_dir(&record.id);
        let log_path = logs::configure(self.engine, record)
            .ok()
            .filter(|log| log.driver == keeper::log::Driver::JsonFile)
            .map(|log| log.path);
        let sizes = if size { Some(self.sizes(&record.id).await?) } else { None };
        let mut snapshot = (*snapshot).clone();
        snapshot.state.execs = self.engine.execs_table().of_container(&snapshot.record.id);
        Ok(Inspection {
            log_path,
            resolv_conf_path: directory.join("resolv.conf"),
            hostname_path: directory.join("hostname"),
            hosts_path: directory.join("hosts"),
            lower_dirs: rootfs.lowers.clone(),
            upper_dir: rootfs.upper.clone(),
            work_dir: rootfs.work.clone(),
            sizes,
            snapshot,
        })
    }

    /// Bytes of its writable layer and in all.
    pub(super) async fn sizes(&self, id: &ContainerId) -> Result<Sizes> {
        let (engine, id) = (self.engine.clone(), id.clone());
        blocking::spawn(move || {
            let writable = engine.records().writable_size(&id)?;
            let total = writable + engine.records().image_size_of(&id)?;
            Ok(Sizes { writable, total })
        })
        .await
    }

    /// The id that a name, id or unique prefix means.
    pub async fn resolve(&self, container: &str) -> Result<ContainerId> {
        Ok(self.engine.registry().find(container)?.id.clone())
    }
}

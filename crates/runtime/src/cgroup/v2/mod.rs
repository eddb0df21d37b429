//! Control groups v2: one directory for everything.
//!
//! On a hybrid host the same type serves the leaf beside the v1 groups, with the few
//! controllers that v1 left over; what needs none (kill, freeze, pressure, device
//! programs) works there too.

use std::fs::File;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::spec::LinuxResources;

use super::files::Dir;
use super::hierarchies::Hierarchy;
use super::oom::kill_count;
use super::{Cgroup, CgroupError, Entry, GroupPath, OomWatch, Result, Usage, processes};

mod devices;
mod io;
mod limits;
mod program;
mod usage;

/// A group in the v2 tree.
#[derive(Debug)]
pub(super) struct V2 {
    path: GroupPath,
    dir: Dir,
}

impl V2 {
    /// Makes the group, or takes it over, and hands every controller down to it.
    pub fn create(tree: &Hierarchy, path: &GroupPath) -> Result<Self> {
        let leaf = path.below(&tree.mount);
        enable_controllers(&Dir::new(tree.mount.clone()))?;
        processes::create(&tree.mount, path, |directory| match directory == leaf {
            true => Ok(()),
            false => enable_controllers(&Dir::new(directory.to_owned())),
        })?;
        Ok(Self::at(tree, path))
    }

    /// The group's handle, whether it exists or not.
    pub fn at(tree: &Hierarchy, path: &GroupPath) -> Self {
        Self::in_directory(path, &path.below(&tree.mount))
    }

    pub(super) fn in_directory(path: &GroupPath, directory: &Path) -> Self {
        Self { path: path.clone(), dir: Dir::new(directory.to_owned()) }
    }

    pub fn exists(&self) -> bool {
        self.dir.path().exists()
    }

    /// Writes a limit that needs `controller`.
    fn set(&self, controller: &str, setting: &str, file: &str, value: &str) -> Result<()> {
        self.dir.set(setting, file, value).map_err(|error| self.explain(error, controller))
    }

    /// A missing file has one of two causes; says which one.
    fn explain(&self, error: CgroupError, controller: &str) -> CgroupError {
        match error {
            CgroupError::Unavailable { setting, .. } if !self.has_controller(controller) => {
                CgroupError::Unavailable {
                    setting,
                    missing: format!(
                        "the {controller} controller is not enabled for {}",
                        self.dir.path().display()
                    ),
                }
            }
            other => other,
        }
    }

    fn has_controller(&self, controller: &str) -> bool {
        let list = self.dir.read("cgroup.controllers").unwrap_or_default();
        list.split_whitespace().any(|enabled| enabled == controller)
    }

    fn frozen_now(&self) -> Result<bool> {
        Ok(self.dir.read("cgroup.events")?.lines().any(|line| line == "frozen 1"))
    }
}

/// Lets children of `parent` have all that it has itself. What the kernel refuses (a
/// parent that holds processes, a realtime task under `cpu`) isn't an error yet: it is
/// one when a limit of that controller is asked for.
fn enable_controllers(parent: &Dir) -> Result<()> {
    let available = parent.read("cgroup.controllers")?;
    let enabled = parent.read("cgroup.subtree_control")?;
    let missing: Vec<String> = available
        .split_whitespace()
        .filter(|name| !enabled.split_whitespace().any(|enabled| enabled == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() || parent.try_write("cgroup.subtree_control", &missing.join(" ")).is_ok()
    {
        return Ok(());
    }
    // One refusal fails the whole line; alone, the others may pass.
    for name in missing {
        let _refused = parent.try_write("cgroup.subtree_control", &name);
    }
    Ok(())
}

impl Cgroup for V2 {
    fn path(&self) -> &GroupPath {
        &self.path
    }

    fn apply(&self, resources: &LinuxResources) -> Result<()> {
        if let Some(cpu) = &resources.cpu {
            self.apply_cpu(cpu)?;
        }
        if let Some(memory) = &resources.memory {
            self.apply_memory(memory)?;
        }
        if let Some(limit) = resources.pids.and_then(|pids| pids.limit) {
            self.apply_pids(limit)?;
        }
        if let Some(block_io) = &resources.block_io {
            self.apply_block_io(block_io)?;
        }
        self.apply_hugepages(&resources.hugepage_limits)?;
        if let Some(network) = &resources.network {
            limits::refuse_network(network)?;
        }
        self.apply_rdma(&resources.rdma)?;
        self.apply_unified(&resources.unified)?;
        self.apply_devices(&resources.devices)
    }

    fn entry(&self) -> Result<Entry> {
        let path = self.dir.path();
        let directory = File::open(path)
            .map_err(|source| CgroupError::Read { path: path.to_owned(), source })?;
        Ok(Entry { clone_into: Some(directory), tasks: Vec::new() })
    }

    fn attach(&self, pid: u32) -> Result<()> {
        self.dir.write("cgroup.procs", &pid.to_string())
    }

    fn pids(&self) -> Result<Vec<u32>> {
        Ok(processes::pids(self.dir.path())?.into_iter().collect())
    }

    fn usage(&self) -> Result<Usage> {
        self.read_usage()
    }

    fn freeze(&self, limit: Duration) -> Result<()> {
        self.dir.set("freezing", "cgroup.freeze", "1")?;
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(20);
        while !self.frozen_now()? {
            if Instant::now() >= deadline {
                self.thaw()?;
                let path = self.path.to_string();
                return Err(CgroupError::Timeout { path, state: "frozen", limit });
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
        Ok(())
    }

    fn thaw(&self) -> Result<()> {
        self.dir.set("thawing", "cgroup.freeze", "0")
    }

    fn is_frozen(&self) -> Result<bool> {
        self.frozen_now()
    }

    /// `cgroup.kill` since Linux 5.14; before, passes over the group's list.
    fn kill(&self) -> Result<()> {
        if self.dir.has("cgroup.kill") {
            return self.dir.write("cgroup.kill", "1");
        }
        for _ in 0..100 {
            let pids = processes::pids(self.dir.path())?;
            if pids.is_empty() {
                break;
            }
            processes::kill_each(&self.path, &pids)?;
            sleep(Duration::from_millis(1));
        }
        self.thaw()
    }

    fn watch_oom(&self) -> Result<OomWatch> {
        let counter = self.dir.file("memory.events");
        let seen = self.oom_kills()?;
        let signal = sys::notify::modifications(&counter)
            .map_err(|source| CgroupError::Watch { path: counter.clone(), source })?;
        Ok(OomWatch { signal, counter, seen })
    }

    fn oom_kills(&self) -> Result<u64> {
        match self.dir.read_if_there("memory.events")? {
            Some(text) => Ok(kill_count(&text)),
            None => Err(CgroupError::Unavailable {
                setting: "an out-of-memory count".into(),
                missing: format!(
                    "the memory controller is not enabled for {}",
                    self.dir.path().display()
                ),
            }),
        }
    }

    fn remove(&self, limit: Duration) -> Result<()> {
        processes::remove(self.dir.path(), Instant::now() + limit)
    }
}

#[cfg(test)]
mod tests;

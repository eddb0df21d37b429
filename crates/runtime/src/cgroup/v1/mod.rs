//! Control groups v1: a directory in each hierarchy.
//!
//! A limit's controller must be mounted; [`V1::dir`] is the only way to a file, and
//! names the controller that is missing.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::time::{Duration, Instant};

use crate::spec::LinuxResources;

use super::files::Dir;
use super::hierarchies::Hierarchy;
use super::oom::kill_count;
use super::{Cgroup, CgroupError, Entry, GroupPath, OomWatch, Result, Usage, processes};

mod blkio;
mod cpu;
mod devices;
mod freezer;
mod limits;
mod memory;
mod usage;

pub(super) use limits::rdma_line;

/// A group in every v1 hierarchy.
#[derive(Debug)]
pub(super) struct V1 {
    path: GroupPath,
    dirs: Vec<(BTreeSet<String>, Dir)>,
}

impl V1 {
    /// Makes the group, or takes it over if it exists.
    pub fn create(trees: &[Hierarchy], path: &GroupPath) -> Result<Self> {
        for tree in trees {
            processes::create_plain(&tree.mount, path)?;
            if tree.has("cpuset") {
                cpu::inherit_cpuset(&tree.mount, &path.below(&tree.mount))?;
            }
        }
        Ok(Self::at(trees, path))
    }

    /// The group's handle, whether it exists or not.
    pub fn at(trees: &[Hierarchy], path: &GroupPath) -> Self {
        let dirs =
            trees.iter().map(|tree| (tree.controllers.clone(), Dir::new(path.below(&tree.mount))));
        Self { path: path.clone(), dirs: dirs.collect() }
    }

    pub fn exists(&self) -> bool {
        self.dirs.iter().any(|(_, dir)| dir.path().exists())
    }

    /// The group in the hierarchy of `controller`, if that is mounted.
    pub fn find(&self, controller: &str) -> Option<&Dir> {
        self.dirs
            .iter()
            .find(|(controllers, _)| controllers.contains(controller))
            .map(|(_, dir)| dir)
    }

    /// As [`Self::find`], for a limit that was asked for.
    pub fn dir(&self, controller: &str, setting: &str) -> Result<&Dir> {
        self.find(controller).ok_or_else(|| CgroupError::Unavailable {
            setting: setting.into(),
            missing: format!("the {controller} controller is not mounted"),
        })
    }

    /// A directory that lists the group's processes: any will do.
    fn any(&self) -> Option<&Dir> {
        self.find("pids").or_else(|| self.dirs.first().map(|(_, dir)| dir))
    }
}

impl Cgroup for V1 {
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
            self.apply_network(network)?;
        }
        self.apply_rdma(&resources.rdma)?;
        if let Some(key) = resources.unified.keys().next() {
            return Err(CgroupError::Unavailable {
                setting: format!("unified.{key}"),
                missing: "control groups v2 are not in use".into(),
            });
        }
        self.apply_devices(&resources.devices)
    }

    fn entry(&self) -> Result<Entry> {
        let tasks = self.dirs.iter().map(|(_, dir)| {
            let path = dir.file("tasks");
            OpenOptions::new()
                .write(true)
                .open(&path)
                .map_err(|source| CgroupError::Read { path, source })
        });
        Ok(Entry { clone_into: None, tasks: tasks.collect::<Result<_>>()? })
    }

    fn attach(&self, pid: u32) -> Result<()> {
        self.dirs.iter().try_for_each(|(_, dir)| dir.write("cgroup.procs", &pid.to_string()))
    }

    fn pids(&self) -> Result<Vec<u32>> {
        match self.any() {
            Some(dir) => Ok(processes::pids(dir.path())?.into_iter().collect()),
            None => Ok(Vec::new()),
        }
    }

    fn usage(&self) -> Result<Usage> {
        self.read_usage()
    }

    fn freeze(&self, limit: Duration) -> Result<()> {
        self.freeze_and_wait(limit)
    }

    fn thaw(&self) -> Result<()> {
        self.write_thawed()
    }

    fn is_frozen(&self) -> Result<bool> {
        self.reads_frozen()
    }

    /// v1 has no kill of a whole group: stopped tasks can't fork or exit, so that one
    /// pass over a frozen group gets all. Without a freezer, passes are repeated.
    fn kill(&self) -> Result<()> {
        let Some(dir) = self.any() else { return Ok(()) };
        if self.find("freezer").is_some() {
            // A group that won't freeze (tasks in uninterruptible sleep) is killed anyway.
            let frozen = self.freeze_and_wait(Duration::from_millis(200));
            let killed = processes::pids(dir.path())
                .and_then(|pids| processes::kill_each(&self.path, &pids));
            self.write_thawed()?;
            killed?;
            if frozen.is_ok() {
                return Ok(());
            }
        }
        // Bounded: a fork bomb that outruns this is ended by the pids limit.
        for _ in 0..100 {
            let pids = processes::pids(dir.path())?;
            if pids.is_empty() {
                return Ok(());
            }
            processes::kill_each(&self.path, &pids)?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn watch_oom(&self) -> Result<OomWatch> {
        let dir = self.dir("memory", "an out-of-memory watch")?;
        let counter = dir.file("memory.oom_control");
        let seen = kill_count(&dir.read("memory.oom_control")?);
        let watch = |source| CgroupError::Watch { path: counter.clone(), source };
        let signal = sys::notify::counter().map_err(watch)?;
        let control = std::fs::File::open(&counter).map_err(watch)?;
        use std::os::fd::AsRawFd;
        let registration = format!("{} {}", signal.as_raw_fd(), control.as_raw_fd());
        dir.set("an out-of-memory watch", "cgroup.event_control", &registration)?;
        Ok(OomWatch { signal, counter, seen })
    }

    fn oom_kills(&self) -> Result<u64> {
        let dir = self.dir("memory", "an out-of-memory count")?;
        Ok(kill_count(&dir.read("memory.oom_control")?))
    }

    fn remove(&self, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        self.dirs.iter().try_for_each(|(_, dir)| processes::remove(dir.path(), deadline))
    }
}

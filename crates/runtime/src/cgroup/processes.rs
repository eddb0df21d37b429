//! Processes of a group and its subgroups, and the removal of directories: the same on
//! v1 and v2.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{CgroupError, GroupPath, Result};

const SIGKILL: i32 = 9;

/// The directory and all below it, children before parents. Empty if it is gone.
pub(super) fn tree(root: &Path) -> Result<Vec<PathBuf>> {
    let mut all = vec![root.to_owned()];
    let mut next = 0;
    while let Some(directory) = all.get(next).cloned() {
        next += 1;
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(CgroupError::Read { path: directory, source }),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                // A container may remove its own subgroups meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(CgroupError::Read { path: directory, source }),
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                all.push(entry.path());
            }
        }
    }
    all.reverse();
    Ok(all)
}

/// Processes in `root` and below.
pub(super) fn pids(root: &Path) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    for directory in tree(root)? {
        let path = directory.join("cgroup.procs");
        match fs::read_to_string(&path) {
            // 0 stands for a process of another pid namespace.
            Ok(text) => found.extend(
                text.lines().filter_map(|line| line.parse().ok()).filter(|pid: &u32| *pid != 0),
            ),
            Err(error) if super::files::is_absent(&error) => {}
            Err(source) => return Err(CgroupError::Read { path, source }),
        }
    }
    Ok(found)
}

/// SIGKILL to each of `pids` that still exists.
pub(super) fn kill_each(path: &GroupPath, pids: &BTreeSet<u32>) -> Result<()> {
    for &pid in pids {
        let sent = sys::pidfd::open(pid as i32).and_then(|fd| sys::pidfd::send_signal(fd, SIGKILL));
        match sent {
            Ok(()) | Err(sys::Errno::SRCH) => {}
            Err(errno) => {
                return Err(CgroupError::Kill {
                    path: path.to_string(),
                    pid,
                    source: errno.into(),
                });
            }
        }
    }
    Ok(())
}

/// Removes `root` with its subgroups until `deadline`. The kernel refuses with `EBUSY`
/// for as long as a task that has exited isn't reaped.
pub(super) fn remove(root: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(500);
    loop {
        let refusal = match remove_once(root)? {
            None => return Ok(()),
            Some(refusal) => refusal,
        };
        if Instant::now() >= deadline {
            let pids = pids(root)?.into_iter().collect();
            return Err(CgroupError::Busy { path: root.to_owned(), pids, source: refusal });
        }
        sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// `Some` if the kernel says that something is still in use.
fn remove_once(root: &Path) -> Result<Option<io::Error>> {
    for directory in tree(root)? {
        match fs::remove_dir(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => return Ok(Some(error)),
            Err(source) => return Err(CgroupError::Remove { path: directory, source }),
        }
    }
    Ok(None)
}

/// Creates `path` under `mount`, parents first; tells of each directory, new or not.
pub(super) fn create(
    mount: &Path,
    path: &GroupPath,
    mut prepare: impl FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let parents = path.ancestors().map(|ancestor| mount.join(&ancestor[1..]));
    for directory in parents.chain([path.below(mount)]) {
        make(&directory)?;
        prepare(&directory)?;
    }
    Ok(())
}

/// As [`create`], for a tree in which parents need no care: in the usual case, where
/// they exist, this is a single call.
pub(super) fn create_plain(mount: &Path, path: &GroupPath) -> Result<()> {
    match make(&path.below(mount)) {
        Err(CgroupError::Create { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            create(mount, path, |_| Ok(()))
        }
        other => other,
    }
}

fn make(directory: &Path) -> Result<()> {
    match fs::create_dir(directory) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(CgroupError::Create { path: directory.to_owned(), source }),
    }
}

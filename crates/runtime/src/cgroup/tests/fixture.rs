//! Groups that go away with the test, and processes born in them.

use std::ffi::CString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sys::clone::Child;
use sys::pidfd::Ended;
use sys::process::{StringArray, execute};

use super::super::{Cgroup, CgroupError, GroupPath, Hierarchies, Layout};

pub const PATIENCE: Duration = Duration::from_secs(10);

/// A group below a parent of its own. Dropping it kills and removes both.
pub struct Group {
    hierarchies: Hierarchies,
    parent: GroupPath,
    pub group: Box<dyn Cgroup>,
}

impl Group {
    pub fn new(hierarchies: &Hierarchies) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let parent = GroupPath::new(&format!("/cale-test-{}-{id}", std::process::id())).unwrap();
        let path = GroupPath::new(&format!("{parent}/inner")).unwrap();
        let group = hierarchies.create(&path).unwrap();
        Self { hierarchies: hierarchies.clone(), parent, group }
    }
}

impl std::ops::Deref for Group {
    type Target = dyn Cgroup;

    fn deref(&self) -> &Self::Target {
        self.group.as_ref()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let cleaned = self.group.kill().and_then(|()| self.group.thaw());
        let removed = match self.hierarchies.open(&self.parent) {
            Ok(parent) => parent.remove(PATIENCE),
            Err(CgroupError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        if !std::thread::panicking() {
            cleaned.or_else(|error| if removed.is_ok() { Ok(()) } else { Err(error) }).unwrap();
            removed.unwrap();
        }
    }
}

/// Runs `test` on every layout that this machine can show.
pub fn on_every_layout(test: impl Fn(&Hierarchies)) {
    let detected = Hierarchies::detect().unwrap();
    test(&detected);
    if detected.layout() == Layout::Hybrid {
        test(&Hierarchies { v2: None, ..detected });
    }
}

/// As [`on_every_layout`], and on the v2 tree of a hybrid host alone: for what needs no
/// controller there.
pub fn on_every_tree(test: impl Fn(&Hierarchies)) {
    on_every_layout(&test);
    let detected = Hierarchies::detect().unwrap();
    if detected.layout() == Layout::Hybrid {
        test(&Hierarchies { v1: Vec::new(), ..detected });
    }
}

/// A shell in the group from its first instruction on.
pub fn shell(group: &dyn Cgroup, script: &str) -> Process {
    let entry = group.entry().unwrap();
    let words = ["sh", "-c", script].map(|word| CString::new(word).unwrap());
    let environment = [CString::new("PATH=/usr/bin:/bin").unwrap()];
    let argv = StringArray::new(&words, 0);
    let env = StringArray::new(&environment, 0);
    let child = sys::clone::clone_process(0, entry.clone_into(), || {
        if entry.join().is_err() {
            return 90;
        }
        execute(c"/bin/sh", &argv, &env);
        91
    });
    Process(child.unwrap())
}

/// Is killed, at the latest when dropped.
pub struct Process(Child);

impl Process {
    pub fn pid(&self) -> u32 {
        self.0.pid as u32
    }

    pub fn wait(&self) -> Ended {
        sys::pidfd::wait(&self.0.pidfd).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if sys::pidfd::send_signal(&self.0.pidfd, 9).is_ok() {
            // Waited for already, or a zombie of ours.
            let _reaped = sys::pidfd::wait(&self.0.pidfd);
        }
    }
}

/// Polls until `holds`, and fails after a while.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until the process is in every hierarchy that containers get a group in: it
/// enters those of v1 by itself, one after the other.
pub fn settled(hierarchies: &Hierarchies, group: &dyn Cgroup, process: &Process) {
    let wanted = hierarchies.v1.len() + usize::from(hierarchies.v2.is_some());
    let path = group.path().as_str();
    eventually("in every hierarchy", || {
        let text = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid())).unwrap();
        text.lines().filter(|line| line.ends_with(path)).count() == wanted
    });
}

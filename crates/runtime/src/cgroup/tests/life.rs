//! Making, entering, stopping, ending and removing.

use std::time::{Duration, Instant};

use sys::pidfd::Ended;

use super::super::{CgroupError, GroupPath};
use super::fixture::{Group, PATIENCE, eventually, on_every_tree, settled, shell};

const KILLED: Ended = Ended::Signaled(9);

#[test]
fn a_process_is_born_inside() {
    on_every_tree(|hierarchies| {
        let group = Group::new(hierarchies);
        let process = shell(&*group, "exec sleep 1000");
        settled(hierarchies, &*group, &process);
        assert_eq!(group.pids().unwrap(), [process.pid()]);
    });
}

#[test]
fn a_running_process_is_moved() {
    on_every_tree(|hierarchies| {
        let (from, to) = (Group::new(hierarchies), Group::new(hierarchies));
        let process = shell(&*from, "exec sleep 1000");
        settled(hierarchies, &*from, &process);
        to.attach(process.pid()).unwrap();
        assert_eq!(to.pids().unwrap(), [process.pid()]);
        assert!(from.pids().unwrap().is_empty());
    });
}

#[test]
fn kill_reaches_children_and_subgroups() {
    on_every_tree(|hierarchies| {
        let group = Group::new(hierarchies);
        let below = GroupPath::new(&format!("{}/sub", group.path())).unwrap();
        // As a container does it: v2 groups with processes may not hand controllers down.
        for tree in hierarchies.v1.iter().chain(&hierarchies.v2) {
            let directory = below.below(&tree.mount);
            std::fs::create_dir(&directory).unwrap();
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if tree.has("cpuset") && tree.mount.join("tasks").exists() {
                    let above = std::fs::read(directory.join("..").join(file)).unwrap();
                    std::fs::write(directory.join(file), above).unwrap();
                }
            }
        }
        let below = hierarchies.open(&below).unwrap();
        let (outer, inner) = (
            shell(&*group, "sleep 1000 & sleep 1000 & wait"),
            shell(below.as_ref(), "exec sleep 1000"),
        );
        eventually("four processes", || group.pids().unwrap().len() == 4);
        group.kill().unwrap();
        assert_eq!((outer.wait(), inner.wait()), (KILLED, KILLED));
        eventually("empty", || group.pids().unwrap().is_empty());
        group.remove(PATIENCE).unwrap();
        assert!(matches!(hierarchies.open(group.path()), Err(CgroupError::NotFound { .. })));
        group.remove(PATIENCE).unwrap();
    });
}

#[test]
fn a_frozen_group_stands_still_and_can_be_killed() {
    on_every_tree(|hierarchies| {
        let group = Group::new(hierarchies);
        let process = shell(&*group, "while :; do :; done");
        let used = || group.usage().unwrap().cpu.total_ns;
        eventually("running", || used() > 0);
        assert!(!group.is_frozen().unwrap());
        group.freeze(PATIENCE).unwrap();
        assert!(group.is_frozen().unwrap());
        let before = used();
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(used(), before);
        group.thaw().unwrap();
        eventually("running again", || used() > before && !group.is_frozen().unwrap());
        group.freeze(PATIENCE).unwrap();
        group.kill().unwrap();
        assert_eq!(process.wait(), KILLED);
        group.thaw().unwrap();
    });
}

#[test]
fn a_group_in_use_is_not_removed() {
    on_every_tree(|hierarchies| {
        let group = Group::new(hierarchies);
        let process = shell(&*group, "exec sleep 1000");
        settled(hierarchies, &*group, &process);
        match group.remove(Duration::from_millis(5)) {
            Err(CgroupError::Busy { pids, .. }) => assert_eq!(pids, [process.pid()]),
            other => panic!("{other:?}"),
        }
        // As found after a restart of the engine.
        let again = hierarchies.open(group.path()).unwrap();
        assert_eq!(again.pids().unwrap(), [process.pid()]);
    });
}

#[test]
fn a_group_that_is_not_there() {
    on_every_tree(|hierarchies| {
        let path = GroupPath::new("/cale-test-never-made").unwrap();
        assert!(matches!(hierarchies.open(&path), Err(CgroupError::NotFound { .. })));
    });
}

/// A generous bound: the machine that runs tests may be busy. Run with `--nocapture` for
/// the figures.
#[test]
fn the_whole_way_is_fast() {
    on_every_tree(|hierarchies| {
        let mut times = Vec::new();
        let parent = Group::new(hierarchies);
        for round in 0..20 {
            let path = GroupPath::new(&format!("{}/{round}", parent.path())).unwrap();
            let start = Instant::now();
            let group = hierarchies.create(&path).unwrap();
            let created = start.elapsed();
            let limits = crate::spec::LinuxResources {
                memory: hierarchies.has("memory").then(|| crate::spec::LinuxMemory {
                    limit: Some(64 << 20),
                    ..Default::default()
                }),
                pids: Some(crate::spec::LinuxPids {
                    limit: hierarchies.has("pids").then_some(100),
                }),
                ..Default::default()
            };
            group.apply(&limits).unwrap();
            let applied = start.elapsed() - created;
            let before = Instant::now();
            assert_eq!(shell(group.as_ref(), "exit 0").wait(), Ended::Exited(0));
            let ran = before.elapsed();
            let before = Instant::now();
            group.usage().unwrap();
            let read = before.elapsed();
            let before = Instant::now();
            group.remove(PATIENCE).unwrap();
            times.push([created, applied, ran, read, before.elapsed()]);
        }
        let median = |column: usize| {
            let mut all: Vec<_> = times.iter().map(|row| row[column]).collect();
            all.sort();
            (all[0], all[all.len() / 2])
        };
        let columns = ["create", "limits", "shell", "usage", "remove"];
        for (column, name) in columns.iter().enumerate() {
            println!("{:?} {name}: {:?} (min, median)", hierarchies.layout(), median(column));
        }
        assert!(median(0).0 < Duration::from_millis(50));
    });
}

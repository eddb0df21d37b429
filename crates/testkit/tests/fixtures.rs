//! The fixtures are what they say: the other suites stand on them.

use std::process::Command;

use testkit::{audit::Snapshot, fixture, program::run};

#[test]
fn busybox_is_one_program_under_many_names() {
    let listing = run(Command::new("tar").arg("tvf").arg(fixture::busybox_tar())).ok();
    assert!(listing.lines().filter(|line| line.contains(" link to bin/[")).count() > 100);
    assert!(listing.contains("etc/passwd"));
    assert!(!listing.contains("bin/dpkg"), "real images have no such applets");
}

#[test]
fn the_audit_sees_what_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let before = Snapshot::take(&[dir.path().to_owned()]);
    assert_eq!(before.leaks(std::time::Duration::ZERO), Vec::<String>::new());
    let left = dir.path().join("left");
    std::fs::write(&left, "").unwrap();
    assert_eq!(before.leaks(std::time::Duration::ZERO), vec![format!("file {}", left.display())]);
}

//! Roots that want out: each would change or show something of the host if a guard were missing.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::fixture::Bundle;

/// `/dev`, `/proc`, `/sys` as links to a directory of the host (CVE-2019-19921, CVE-2026-41579).
#[test]
fn linked_system_directories_are_refused() {
    for name in ["dev", "proc", "sys"] {
        let mut bundle = Bundle::new("true");
        let canary = bundle.path().join("canary");
        fs::create_dir(&canary).expect("makes");
        fs::remove_dir(bundle.root().join(name)).expect("removes");
        symlink(&canary, bundle.root().join(name)).expect("links");
        assert!(bundle.launch().is_err(), "/{name}");
        symlink("tmp", bundle.root().join("x")).expect("links");
        fs::remove_file(bundle.root().join(name)).expect("removes");
        symlink("/tmp", bundle.root().join(name)).expect("links");
        let error = bundle.launch().expect_err("fails");
        assert!(error.to_string().contains("symbolic link"), "{error}");
        assert_eq!(fs::read_dir(&canary).expect("reads").count(), 0);
    }
}

/// A mount's target is a link out of the root (CVE-2021-30465).
#[test]
fn targets_stay_inside() {
    let mut bundle = Bundle::new("ls /out; grep -c out /proc/mounts");
    let canary = bundle.path().join("canary");
    fs::create_dir(&canary).expect("makes");
    symlink("../../../../../../tmp", bundle.root().join("out")).expect("links");
    symlink(&canary, bundle.root().join("abs")).expect("links");
    bundle
        .mount(json!({"destination": "/out/a", "type": "tmpfs", "source": "tmpfs"}))
        .mount(json!({"destination": "/abs/b", "type": "tmpfs", "source": "tmpfs"}));
    let outcome = bundle.run();
    assert!(bundle.root().join("tmp/a").is_dir(), "{outcome:?}");
    assert_eq!(fs::read_dir(&canary).expect("reads").count(), 0);
}

/// A bind that a link turns into procfs (CVE-2019-16884).
#[test]
fn nothing_is_mounted_into_procfs_by_a_link() {
    let mut bundle = Bundle::new("true");
    symlink("/proc/self", bundle.root().join("trap")).expect("links");
    bundle.mount(json!({"destination": "/trap/attr", "type": "tmpfs", "source": "tmpfs"}));
    let error = bundle.launch().expect_err("fails");
    assert!(error.to_string().contains("inside /proc"), "{error}");
}

/// The working directory names a descriptor of the launcher (CVE-2024-21626).
#[test]
fn descriptors_of_the_host_are_no_way_out() {
    let _stray = fs::File::open("/").expect("opens");
    for number in 0..64 {
        let mut bundle = Bundle::new("");
        let canary = bundle.path().join("canary");
        fs::write(&canary, "reached").expect("writes");
        let up = "../".repeat(8);
        let script = format!("cat {up}{} 2>&1; pwd", canary.display());
        bundle.spec["process"]["args"] = json!(["sh", "-c", script]);
        bundle.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        // Most numbers are refused; one that is a directory of the container itself is no way out.
        if let Ok((launched, output)) = bundle.launch() {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut fs::File::from(output), &mut text).expect("reads");
            sys::pidfd::wait(&launched.pidfd).expect("waits");
            assert!(!text.contains("reached"), "cwd {number}: {text}");
        }
    }
}

#[test]
fn only_the_standard_streams_are_open() {
    let _stray = fs::File::open("/").expect("opens");
    assert_eq!(Bundle::new("ls /proc/self/fd | wc -l").run().output, "4\n");
}

/// The program is the launcher's own (CVE-2019-5736).
#[test]
fn the_launchers_program_is_refused() {
    let mut bundle = Bundle::new("");
    bundle.spec["process"]["args"] = json!(["/proc/self/exe"]);
    assert_eq!(bundle.launch().expect_err("fails").exit_code(), 126);
}

/// The image's null device is another device (CVE-2025-31133).
#[test]
fn masks_want_the_null_device() {
    let mut bundle = Bundle::new("true");
    bundle.spec["linux"]["devices"] =
        json!([{"type": "c", "path": "/dev/null", "major": 1, "minor": 5}]);
    let error = bundle.launch().expect_err("fails");
    assert!(error.to_string().contains("null device"), "{error}");
}

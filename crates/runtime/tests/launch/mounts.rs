//! Root, mounts, devices, masks.

use std::fs;
use std::os::unix::fs::MetadataExt;

use runtime::plan::{Overlay, RootSource};
use serde_json::json;

use crate::fixture::Bundle;

fn c_string(path: &std::path::Path) -> std::ffi::CString {
    std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("no nul")
}

#[test]
fn the_usual_file_systems_are_there() {
    let outcome = Bundle::new(
        "cat /proc/mounts; ls -l /dev; echo; cat /proc/kcore | wc -c; ls /sys/firmware | wc -l; touch /proc/sys/x 2>&1",
    )
    .run();
    let has = |line: &str| assert!(outcome.output.contains(line), "{line} in {}", outcome.output);
    has("proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0");
    has("tmpfs /dev tmpfs rw,nosuid,size=65536k,mode=755");
    has("devpts /dev/pts devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666 0 0");
    has("sysfs /sys sysfs ro,nosuid,nodev,noexec,relatime 0 0");
    has("proc /proc/sys proc ro,nosuid,nodev,noexec,relatime 0 0");
    has("tmpfs /sys/firmware tmpfs ro,");
    has("ptmx -> pts/ptmx");
    has("stderr -> /proc/self/fd/2");
    has("1,   3");
    has("\n0\n0\n");
}

#[test]
fn the_host_sees_no_mount() {
    let before = fs::read_to_string("/proc/self/mountinfo").expect("reads");
    let mut bundle = Bundle::new("true");
    bundle.run();
    let after = fs::read_to_string("/proc/self/mountinfo").expect("reads");
    let mine = |text: &str| text.matches(&bundle.path().display().to_string()).count();
    assert_eq!((mine(&before), mine(&after)), (0, 0));
}

#[test]
fn an_overlay_root_keeps_its_lower_clean() {
    let mut bundle =
        Bundle::new("echo new > /etc/new; cat /etc/passwd | head -n1; grep ' / ' /proc/mounts");
    let (upper, work) = (bundle.path().join("upper"), bundle.path().join("work"));
    fs::create_dir(&upper).expect("makes");
    fs::create_dir(&work).expect("makes");
    bundle.context.root = Some(RootSource::Overlay(Overlay {
        lowers: vec![c_string(&bundle.root())],
        upper: Some(c_string(&upper)),
        work: Some(c_string(&work)),
        volatile: true,
        options: Vec::new(),
    }));
    let outcome = bundle.run();
    assert!(outcome.output.starts_with("root:x:0"), "{outcome:?}");
    assert!(outcome.output.contains("overlay / overlay rw"), "{outcome:?}");
    assert_eq!(fs::read_to_string(upper.join("etc/new")).expect("reads"), "new\n");
    assert!(!bundle.root().join("etc/new").exists());
}

#[test]
fn a_read_only_root_is_read_only() {
    let mut bundle = Bundle::new("touch /x 2>&1; touch /dev/shm/y && echo shm");
    bundle.spec["root"]["readonly"] = json!(true);
    assert_eq!(bundle.run().output, "touch: /x: Read-only file system\nshm\n");
}

#[test]
fn binds_of_files_and_directories() {
    let mut bundle = Bundle::new(
        "cat /data/in; touch /data/out; touch /ro/x 2>&1; cat /deep/er/file; grep /data /proc/mounts; grep /ro /proc/mounts",
    );
    let source = bundle.path().join("source");
    fs::create_dir(&source).expect("makes");
    fs::write(source.join("in"), "inside\n").expect("writes");
    let source = source.display().to_string();
    bundle
        .mount(json!({"destination": "/data", "type": "bind", "source": source, "options": ["rbind", "nosuid", "nodev", "noexec", "rprivate"]}))
        .mount(json!({"destination": "/ro", "source": source, "options": ["bind", "ro"]}))
        .mount(json!({"destination": "/deep/er/file", "source": format!("{source}/in"), "options": ["rbind", "rro"]}));
    let outcome = bundle.run();
    assert!(
        outcome.output.starts_with("inside\ntouch: /ro/x: Read-only file system\ninside\n"),
        "{outcome:?}"
    );
    assert!(
        outcome.output.contains(" /data ext4 rw,nosuid,nodev,noexec")
            || outcome.output.contains(" /data "),
        "{outcome:?}"
    );
    assert!(std::path::Path::new(&source).join("out").exists());
}

#[test]
fn tmpfs_can_start_with_a_copy() {
    let mut bundle =
        Bundle::new("cat /seed/a/b; stat -c '%a %u' /seed /seed/a/b; readlink /seed/l");
    fs::create_dir_all(bundle.root().join("seed/a")).expect("makes");
    fs::write(bundle.root().join("seed/a/b"), "copied\n").expect("writes");
    std::os::unix::fs::symlink("a/b", bundle.root().join("seed/l")).expect("links");
    std::os::unix::fs::chown(bundle.root().join("seed/a/b"), Some(33), None).expect("chowns");
    bundle.mount(json!({"destination": "/seed", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]}));
    let outcome = bundle.run();
    assert_eq!(outcome.output, "copied\n755 0\n644 33\na/b\n");
}

#[test]
fn id_mapped_binds_show_other_owners() {
    let mut bundle = Bundle::new("stat -c '%u:%g' /mapped/f; touch /mapped/g");
    let source = bundle.path().join("source");
    fs::create_dir(&source).expect("makes");
    fs::write(source.join("f"), "").expect("writes");
    std::os::unix::fs::chown(&source, Some(5000), Some(5000)).expect("chowns");
    std::os::unix::fs::chown(source.join("f"), Some(5007), Some(5008)).expect("chowns");
    let map = json!([{"containerID": 5000, "hostID": 0, "size": 100}]);
    bundle.mount(
        json!({"destination": "/mapped", "type": "bind", "source": source.display().to_string(),
        "options": ["bind", "idmap"], "uidMappings": map, "gidMappings": map}),
    );
    assert_eq!(bundle.run().output, "7:8\n");
    let made = fs::metadata(source.join("g")).expect("is there");
    assert_eq!((made.uid(), made.gid()), (5000, 5000));
}

#[test]
fn control_groups_are_shown_read_only() {
    let hierarchies = runtime::cgroup::Hierarchies::detect().expect("detects");
    let group = runtime::cgroup::GroupPath::new("/cale-test-view").expect("is a path");
    let mut bundle = Bundle::new(
        "ls /sys/fs/cgroup; cat /proc/self/cgroup | head -n1; mkdir /sys/fs/cgroup/x 2>&1; mkdir /sys/fs/cgroup/memory/x 2>&1",
    );
    bundle.context.cgroups = runtime::plan::CgroupView::of(&hierarchies, &group).expect("views");
    bundle.mount(json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}));
    let outcome = bundle.run();
    assert!(outcome.output.contains("Read-only file system"), "{outcome:?}");
    assert!(!outcome.output.contains("File exists"), "{outcome:?}");
}

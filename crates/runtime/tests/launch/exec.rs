//! A second process in a running container, and terminals.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use runtime::exec::{ExecContext, foreign_namespaces, plan};
use runtime::perform::launch;
use runtime::plan::{FdRole, HostFacts};
use runtime::spec::Process;
use serde_json::json;

use crate::fixture::Bundle;

#[test]
fn exec_joins_everything() {
    let mut bundle = Bundle::new("while :; do sleep 0.1; done");
    let (container, _output) = bundle.launch().expect("launches");
    let process: Process = serde_json::from_value(json!({
        "args": ["sh", "-c", "echo root $(ls / | head -n1); hostname; echo pid1 $(cat /proc/1/comm); cat /proc/self/status; for n in mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; ls /proc/self/fd | wc -l"],
        "env": ["PATH=/bin"], "cwd": "/tmp", "user": {"uid": 33, "gid": 33}, "noNewPrivileges": true,
        "capabilities": {"bounding": ["CAP_CHOWN"]},
    })).expect("parses");
    let context = ExecContext {
        id: "test".into(),
        fds: vec![FdRole::Process, FdRole::Stdin, FdRole::Stdout, FdRole::Stderr],
        namespaces: foreign_namespaces(container.pid).expect("reads"),
        host: HostFacts::detect(),
        ..ExecContext::default()
    };
    let link = |name: &str| std::fs::read_link(format!("/proc/{}/ns/{name}", container.pid));
    let names = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let theirs = names.map(|name| link(name).expect("reads").display().to_string());
    let plan = plan(&process, &context).expect("plans");
    let (mut reader, writer) = std::io::pipe().expect("makes a pipe");
    let null = File::open("/dev/null").expect("opens");
    let fds = [container.pidfd.as_fd(), null.as_fd(), writer.as_fd(), writer.as_fd()];
    let launched = launch(&plan, &fds).expect("launches");
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("reads");
    assert_eq!(sys::pidfd::wait(&launched.pidfd).expect("waits").code(), 0);
    sys::pidfd::send_signal(&container.pidfd, 9).expect("kills");
    sys::pidfd::wait(&container.pidfd).expect("waits");
    assert!(text.contains("root bin\nbox\npid1 sh\n"), "{text}");
    assert!(theirs.iter().all(|link| text.contains(link)), "{text} {theirs:?}");
    assert!(text.contains("CapBnd:\t0000000000000001"), "{text}");
    // 0, 1, 2 and ls's own.
    assert!(text.ends_with("\n4\n"), "{text}");
}

#[test]
fn a_terminal_is_the_containers_own() {
    let mut bundle = Bundle::new("");
    bundle.spec["process"]["terminal"] = json!(true);
    bundle.spec["process"]["consoleSize"] = json!({"height": 30, "width": 99});
    bundle.spec["process"]["args"] =
        json!(["sh", "-c", "tty; stty size; ls -l /dev/console; read line; echo got $line"]);
    let (launched, _unused) = bundle.launch().expect("launches");
    let mut master = File::from(launched.console.expect("has a terminal"));
    master.write_all(b"hello\n").expect("writes");
    let mut text = String::new();
    // The end of a terminal is EIO.
    let _ = master.read_to_string(&mut text);
    assert_eq!(sys::pidfd::wait(&launched.pidfd).expect("waits").code(), 0);
    assert!(text.contains("/dev/pts/0"), "{text}");
    assert!(text.contains("30 99"), "{text}");
    assert!(text.contains("got hello"), "{text}");
}

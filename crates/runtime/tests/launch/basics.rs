//! Program, environment, exit codes, errors, namespaces.

use std::fs;

use runtime::perform::LaunchError;
use serde_json::json;

use crate::fixture::Bundle;

#[test]
fn a_program_runs_and_its_code_comes_back() {
    let outcome =
        Bundle::new("echo pid $$; echo home $HOME; echo host $(hostname); pwd; exit 7").run();
    assert_eq!(outcome.code, 7, "{outcome:?}");
    assert_eq!(outcome.output, "pid 1\nhome /root\nhost box\n/\n");
}

#[test]
fn namespaces_differ_from_the_launchers() {
    let names = ["mnt", "pid", "net", "ipc", "uts", "cgroup"];
    let outcome = Bundle::new(
        "for n in mnt pid net ipc uts cgroup user; do echo $n $(readlink /proc/self/ns/$n); done",
    )
    .run();
    for name in names {
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).expect("reads");
        assert_ne!(outcome.field(name), ours.to_string_lossy(), "{name}");
    }
    let ours = fs::read_link("/proc/self/ns/user").expect("reads");
    assert_eq!(outcome.field("user"), ours.to_string_lossy());
}

#[test]
fn loopback_is_up_in_a_new_network() {
    let outcome = Bundle::new("ip addr show lo").run();
    assert!(outcome.output.contains("inet 127.0.0.1"), "{outcome:?}");
}

#[test]
fn a_missing_program_is_127_and_a_file_that_is_none_126() {
    let mut bundle = Bundle::new("");
    bundle.spec["process"]["args"] = json!(["nope"]);
    let error = bundle.launch().expect_err("fails");
    assert_eq!(error.to_string(), "exec: \"nope\": executable file not found in $PATH");
    assert_eq!(error.exit_code(), 127);
    bundle.spec["process"]["args"] = json!(["/nope"]);
    let error = bundle.launch().expect_err("fails");
    assert_eq!(error.to_string(), "exec: \"/nope\": stat /nope: no such file or directory");
    assert_eq!(error.exit_code(), 127);
    bundle.spec["process"]["args"] = json!(["/etc/passwd"]);
    let error = bundle.launch().expect_err("fails");
    assert_eq!(error.to_string(), "exec: \"/etc/passwd\": permission denied");
    assert_eq!(error.exit_code(), 126);
    bundle.spec["process"]["args"] = json!(["/bin"]);
    assert_eq!(bundle.launch().expect_err("fails").exit_code(), 126);
}

#[test]
fn a_failing_step_says_what_and_why() {
    let mut bundle = Bundle::new("true");
    bundle.mount(json!({"destination": "/x", "type": "bind", "source": "/no/such/place", "options": ["bind"]}));
    let error = bundle.launch().expect_err("fails");
    assert_eq!(
        error.to_string(),
        "bind /no/such/place on /x: open the source: no such file or directory"
    );
    assert!(matches!(error, LaunchError::Step { errno: 2, .. }), "{error:?}");
}

#[test]
fn names_and_parameters_are_the_containers_own() {
    let mut bundle = Bundle::new(
        "cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni",
    );
    bundle.spec["domainname"] = json!("corp");
    bundle.spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.shmmni": "321"});
    assert_eq!(bundle.run().output, "corp\n1\n321\n");
}

#[test]
fn clocks_can_be_shifted() {
    let mut bundle = Bundle::new("cat /proc/uptime; readlink /proc/self/ns/time");
    bundle.spec["linux"]["namespaces"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"type": "time"}));
    bundle.spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 864_000_000}});
    let outcome = bundle.run();
    let uptime: f64 = outcome.output.split(' ').next().expect("a field").parse().expect("a number");
    assert!(uptime > 864_000_000.0, "{outcome:?}");
}

#[test]
fn init_reaps_and_forwards() {
    let mut bundle = Bundle::new(
        "echo me $$; cat /proc/1/comm; cat /proc/1/cmdline; (sleep 0.05 &) ; sleep 0.2; ps | grep -c '[Z]'; kill -USR1 1; sleep 5",
    );
    bundle.context.init = true;
    bundle.spec["process"]["args"] = json!([
        "sh",
        "-c",
        "trap 'exit 9' USR1; echo me $$; cat /proc/1/comm; (true &); kill -USR1 1; while :; do sleep 0.1; done"
    ]);
    let outcome = bundle.run();
    assert_eq!(outcome.code, 9, "{outcome:?}");
    assert_eq!(outcome.output, "me 2\ncale-init\n");
}

#[test]
fn init_reports_a_program_that_is_missing() {
    let mut bundle = Bundle::new("");
    bundle.context.init = true;
    bundle.spec["process"]["args"] = json!(["/bin/nope"]);
    assert_eq!(bundle.launch().expect_err("fails").exit_code(), 127);
}

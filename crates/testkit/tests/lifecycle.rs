//! A container's life as seen through the clients: detached, logged, attached, stopped, inspected.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    time::{Duration, Instant},
};

use testkit::engine::Engine;

fn wait_for(what: &str, mut test: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !test() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn detached_containers_are_listed_stopped_and_removed() {
    let engine = Engine::start().with_busybox();
    let id = engine.cale(&["run", "-d", "--name", "web", "busybox", "sleep", "600"]).ok();
    assert_eq!(id.trim().len(), 64);
    for client in [Engine::docker, Engine::cale] {
        let listed = client(&engine, &["ps", "--format", "{{.Names}} {{.Image}} {{.State}}"]).ok();
        assert_eq!(listed, "web busybox running\n");
    }
    assert_eq!(engine.docker(&["stop", "-t", "1", "web"]).ok(), "web\n");
    let state =
        engine.cale(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web"]).ok();
    assert_eq!(state, "exited 137\n");
    assert_eq!(engine.docker(&["start", "web"]).ok(), "web\n");
    assert_eq!(engine.cale(&["kill", "web"]).ok(), "web\n");
    assert_eq!(engine.docker(&["wait", "web"]).ok(), "137\n");
    assert_eq!(engine.cale(&["rm", "web"]).ok(), "web\n");
    assert_eq!(engine.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn logs_follow_tail_and_tell_the_time() {
    let engine = Engine::start().with_busybox();
    let script = "for i in 1 2 3 4 5; do echo line $i; done; echo err >&2";
    engine.cale(&["run", "--name", "talker", "busybox", "sh", "-c", script]).ok();
    for client in [Engine::docker, Engine::cale] {
        let said = client(&engine, &["logs", "talker"]);
        assert_eq!(
            (said.out.as_str(), said.err.as_str()),
            ("line 1\nline 2\nline 3\nline 4\nline 5\n", "err\n")
        );
        assert_eq!(client(&engine, &["logs", "--tail", "2", "talker"]).out, "line 5\n");
        let timed = client(&engine, &["logs", "-t", "talker"]).out;
        assert!(timed.starts_with("20") && timed.contains("Z line 1\n"), "{timed}");
        assert_eq!(client(&engine, &["logs", "--since", "1h", "--until", "50m", "talker"]).out, "");
    }
    let slow = "for i in 1 2 3; do echo step $i; sleep 0.2; done";
    engine.cale(&["run", "-d", "--name", "slow", "busybox", "sh", "-c", slow]).ok();
    assert_eq!(engine.docker(&["logs", "-f", "slow"]).ok(), "step 1\nstep 2\nstep 3\n");
}

#[test]
fn exec_runs_beside_with_the_same_care() {
    let engine = Engine::start().with_busybox();
    engine.cale(&["run", "-d", "--name", "host", "-e", "A=b", "busybox", "sleep", "600"]).ok();
    for client in [Engine::docker, Engine::cale] {
        assert_eq!(
            client(&engine, &["exec", "host", "sh", "-c", "echo $A $(hostname | wc -c)"]).ok(),
            "b 13\n"
        );
        assert_eq!(
            client(
                &engine,
                &[
                    "exec",
                    "-u",
                    "nobody",
                    "-w",
                    "/tmp",
                    "-e",
                    "C=d",
                    "host",
                    "sh",
                    "-c",
                    "id -u; pwd; echo $C"
                ]
            )
            .ok(),
            "65534\n/tmp\nd\n"
        );
        assert_eq!(client(&engine, &["exec", "host", "sh", "-c", "exit 9"]).code, 9);
        assert_eq!(client(&engine, &["exec", "host", "missing-program"]).code, 127);
        assert_eq!(
            client(&engine, &["exec", "host", "grep", "Seccomp:", "/proc/self/status"]).ok(),
            "Seccomp:\t2\n"
        );
        assert_eq!(
            client(&engine, &["exec", "host", "grep", "CapEff", "/proc/self/status"]).ok(),
            "CapEff:\t00000000a80425fb\n"
        );
    }
    let input = testkit::program::run_with_input(
        &mut engine.docker_command(&["exec", "-i", "host", "cat"]),
        b"abc",
    );
    assert_eq!(input.ok(), "abc");
}

#[test]
fn attach_top_stats_wait_and_events() {
    let engine = Engine::start().with_busybox();
    let mut events = engine
        .docker_command(&["events", "--format", "{{.Type}} {{.Action}}"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    engine
        .cale(&["run", "-d", "--name", "busy", "busybox", "sh", "-c", "sleep 6; echo done; exit 3"])
        .ok();
    let top = engine.docker(&["top", "busy"]).ok();
    assert!(top.starts_with("UID") && top.contains("sleep 6"), "{top}");
    let stats =
        engine.cale(&["stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "busy"]).ok();
    assert!(stats.starts_with("busy "), "{stats}");
    let attached = engine.docker(&["attach", "--no-stdin", "busy"]);
    assert_eq!((attached.code, attached.out.as_str()), (3, "done\n"));
    assert_eq!(engine.cale(&["wait", "busy"]).ok(), "3\n");
    engine.docker(&["rm", "busy"]).ok();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while !seen.iter().any(|line| line == "container destroy") {
        seen.push(lines.next().unwrap().unwrap());
    }
    events.kill().unwrap();
    events.wait().unwrap();
    for wanted in [
        "container create",
        "container start",
        "container attach",
        "container die",
        "container destroy",
    ] {
        assert!(seen.iter().any(|line| line == wanted), "no {wanted} in {seen:?}");
    }
}

#[test]
fn pause_rename_update_and_restart() {
    let engine = Engine::start().with_busybox();
    engine.docker(&["run", "-d", "--name", "a1", "busybox", "sleep", "600"]).ok();
    engine.docker(&["pause", "a1"]).ok();
    assert_eq!(engine.cale(&["inspect", "-f", "{{.State.Status}}", "a1"]).ok(), "paused\n");
    engine.cale(&["unpause", "a1"]).ok();
    engine.docker(&["rename", "a1", "a2"]).ok();
    engine.docker(&["update", "--memory", "64m", "--memory-swap", "64m", "a2"]).ok();
    assert_eq!(engine.cale(&["inspect", "-f", "{{.HostConfig.Memory}}", "a2"]).ok(), "67108864\n");
    let before = engine.docker(&["inspect", "-f", "{{.State.Pid}}", "a2"]).ok();
    engine.cale(&["restart", "-t", "0", "a2"]).ok();
    assert_ne!(engine.docker(&["inspect", "-f", "{{.State.Pid}}", "a2"]).ok(), before);
    engine
        .docker(&["run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "false"])
        .ok();
    wait_for("two restarts", || {
        engine.docker(&["inspect", "-f", "{{.RestartCount}} {{.State.Status}}", "again"]).out
            == "2 exited\n"
    });
}

#[test]
fn published_ports_answer() {
    let engine = Engine::start().with_busybox();
    let port = testkit::registry::free_port();
    let publish = format!("127.0.0.1:{port}:80");
    let serve = "echo it works > /var/www/index.html; httpd -f -h /var/www -p 80";
    engine.cale(&["run", "-d", "--name", "web", "-p", &publish, "busybox", "sh", "-c", serve]).ok();
    assert_eq!(engine.docker(&["port", "web"]).ok(), format!("80/tcp -> 127.0.0.1:{port}\n"));
    let url = format!("http://127.0.0.1:{port}/");
    wait_for("the web server", || {
        let said = testkit::program::run(
            std::process::Command::new("curl").args(["-sf", "-m", "2", &url]),
        );
        said.out == "it works\n"
    });
    let busy = engine.cale(&["run", "--rm", "-p", &publish, "busybox", "true"]);
    assert_eq!(busy.code, 125);
    assert!(
        busy.err.contains("address already in use")
            || busy.err.contains("port is already allocated"),
        "{}",
        busy.err
    );
}

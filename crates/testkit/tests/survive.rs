//! `kill -9` of daemon or keeper, at any moment, ends no container, loses no line and no exit code.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    process::Command,
    time::{Duration, Instant},
};

use testkit::{engine::Engine, program::run};

const CONTAINERS: usize = 50;
const KILLS: usize = 50;

/// The keeper's process, found by the exec root in its command line.
fn keeper_pid(engine: &Engine) -> u32 {
    let exec_root = engine.path("exec").display().to_string();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&command).replace('\0', " ");
            if text.contains("keeper") && text.contains(&exec_root) {
                return pid;
            }
        }
        assert!(Instant::now() < deadline, "no keeper runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn no_line_and_no_code_is_lost_under_kills() {
    let mut engine = Engine::start().with_busybox();
    for number in 0..CONTAINERS {
        let script = format!(
            "i=0; while [ ! -e /stop/now ]; do i=$((i+1)); echo $i; usleep 200000; done; echo end $i; exit {}",
            number % 100
        );
        let stop = format!("{}:/stop", engine.path("stop").display());
        let name = format!("counter{number}");
        engine
            .cale(&[
                "run",
                "-d",
                "--network",
                "none",
                "--name",
                &name,
                "-v",
                &stop,
                "busybox",
                "sh",
                "-c",
                &script,
            ])
            .ok();
    }
    for kill in 0..KILLS {
        if kill % 2 == 0 {
            engine.kill_daemon();
            engine.restart();
        } else {
            run(Command::new("kill").args(["-9", &keeper_pid(&engine).to_string()])).ok();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(engine.docker(&["ps", "-q"]).ok().lines().count(), CONTAINERS, "a container ended");
    std::fs::write(engine.path("stop").join("now"), "").unwrap();
    for number in 0..CONTAINERS {
        let name = format!("counter{number}");
        assert_eq!(engine.cale(&["wait", &name]).ok(), format!("{}\n", number % 100));
        let log = engine.cale(&["logs", &name]).ok();
        let lines: Vec<&str> = log.lines().collect();
        let (end, counted) = lines.split_last().unwrap();
        let last: usize = end.strip_prefix("end ").unwrap().parse().unwrap();
        let wanted: Vec<String> = (1..=last).map(|i| i.to_string()).collect();
        assert_eq!(counted, wanted, "{name} lost or doubled a line");
    }
}

#[test]
fn an_exit_while_the_daemon_was_away_is_recorded() {
    let mut engine = Engine::start().with_busybox();
    engine.cale(&["run", "-d", "--name", "short", "busybox", "sh", "-c", "sleep 0.5; exit 5"]).ok();
    engine.cale(&["run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "0.5"]).ok();
    engine.kill_daemon();
    std::thread::sleep(Duration::from_secs(1));
    engine.restart();
    assert_eq!(engine.docker(&["wait", "short"]).ok(), "5\n");
    assert_eq!(engine.docker(&["ps", "-a", "--format", "{{.Names}}"]).ok(), "short\n");
}

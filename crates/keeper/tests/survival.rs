//! The promise: killing keeper or daemon at any moment ends no container and loses no log line and no exit code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use harness::{Bench, PIPES, TTY, eventually, id, read_log};
use keeper::client::{Anchors, Client};
use keeper::log::{Driver, LogConfig};
use keeper::protocol::{AttachSpec, Framing, Phase};
use model::state::ExitStatus;

/// Whether this kernel keeps exit statuses with pidfds (Linux 6.15).
fn pidfds_remember() -> bool {
    let child = sys::clone::clone_process(0, None, || 0).unwrap();
    sys::pidfd::wait(&child.pidfd).unwrap();
    sys::pidfd::exit_info(&child.pidfd).is_ok()
}

#[test]
fn a_container_goes_on_under_the_next_keeper() {
    let mut bench = Bench::new();
    bench.launch("a", PIPES, "while read x; do echo got $x; done; exit 6");
    let stdin = bench.anchors[&id("a")].stdin.as_ref().unwrap().try_clone().unwrap();
    let mut stdin = File::from(stdin);
    stdin.write_all(b"one\n").unwrap();
    eventually("the first line is logged", || bench.log("a") == "got one\n");

    bench.kill_keeper();
    stdin.write_all(b"two\n").unwrap();
    bench.start();
    assert_eq!(bench.phase("a"), Phase::Running);
    eventually("the second line is logged", || bench.log("a") == "got one\ngot two\n");

    // Input through the new keeper, and its end.
    bench.anchors.get_mut(&id("a")).unwrap().stdin = None;
    drop(stdin);
    let (ours, theirs) = sys::packet::stream_pair().unwrap();
    let spec =
        AttachSpec { stdin: true, close_stdin_at_eof: true, ..AttachSpec::output(Framing::Raw) };
    bench.client().attach(&id("a"), spec, theirs.as_fd()).unwrap();
    File::from(ours).write_all(b"three\n").unwrap();
    drop(theirs);
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(6));
    assert_eq!(bench.log("a"), "got one\ngot two\ngot three\n");
}

#[test]
fn an_end_without_a_keeper_is_known_from_the_pidfd() {
    let mut bench = Bench::new();
    bench.launch("code", PIPES, "read x; echo last words; exit 42");
    bench.launch("signal", PIPES, "read x; kill -TERM $$");
    bench.kill_keeper();
    for name in ["code", "signal"] {
        let anchors = &bench.anchors[&id(name)];
        let stdin = File::from(anchors.stdin.as_ref().unwrap().try_clone().unwrap());
        (&stdin).write_all(b"\n").unwrap();
        let pidfd = anchors.pidfd.as_ref().unwrap();
        eventually("it is gone", || sys::pidfd::send_signal(pidfd, 0).is_err());
    }
    bench.start();
    let expected = match pidfds_remember() {
        true => [ExitStatus::Code(42), ExitStatus::Signal(15)],
        false => [ExitStatus::Unknown, ExitStatus::Unknown],
    };
    assert_eq!([bench.wait_code("code"), bench.wait_code("signal")], expected);
    assert_eq!(bench.log("code"), "last words\n");
}

#[test]
fn an_end_that_nobody_saw_is_unknown_and_not_success() {
    let mut bench = Bench::new();
    let launched = bench.launch("a", PIPES, "exit 0");
    bench.wait("a");
    // As if the keeper had been killed before it saw the end, and the daemon before it got the pidfd.
    bench.kill_keeper();
    std::fs::remove_file(bench.root().join("io/a/exit")).unwrap();
    bench.anchors.clear();
    let mut command = bench.command();
    command.stderr(std::process::Stdio::null());
    let mut keeper = keeper::spawn_command(bench.root(), command).unwrap().child.unwrap();
    let mut client = Client::connect(bench.root()).unwrap();
    let (report, _) = client.inventory().unwrap().remove(0);
    assert_eq!((report.phase, report.pid), (Phase::Missing, launched.pid));
    client.subscribe().unwrap();
    assert!(client.next_event(Duration::from_millis(50)).unwrap().is_none(), "it doesn't guess");
    client.adopt(&id("a"), &Anchors::default()).unwrap();
    let (report, _) = client.inventory().unwrap().remove(0);
    assert_eq!(report.exit.unwrap().status, ExitStatus::Unknown);
    keeper.kill().unwrap();
    keeper.wait().unwrap();
}

#[test]
fn the_daemon_may_die_and_another_finds_everything() {
    let mut bench = Bench::new();
    bench.launch("a", PIPES, "read x; echo $x; exit 8");
    bench.client = None;
    bench.anchors.clear();
    bench.connect();
    let mut tasks = bench.client().inventory().unwrap();
    let (report, anchors) = tasks.remove(0);
    assert_eq!((report.id, report.phase), (id("a"), Phase::Running));
    File::from(anchors.stdin.unwrap()).write_all(b"hello\n").unwrap();
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(8));
    assert_eq!(bench.log("a"), "hello\n");
}

#[test]
fn a_terminal_survives_its_keeper() {
    let mut bench = Bench::new();
    bench.launch("a", TTY, "trap 'exit 66' HUP; read x; echo got $x; exit 5");
    bench.kill_keeper();
    let tty = bench.anchors[&id("a")].tty.as_ref().unwrap().try_clone().unwrap();
    bench.start();
    File::from(tty).write_all(b"hi\r").unwrap();
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(5));
    assert_eq!(bench.log("a"), "hi\r\ngot hi\r\n");
}

#[test]
fn a_hand_over_is_as_harmless_as_a_crash() {
    let mut bench = Bench::new();
    bench.launch(
        "a",
        PIPES,
        "i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); busybox usleep 1000; done",
    );
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(30));
        bench.client().shutdown(true).unwrap();
        assert_eq!(bench.wait_for_keeper_to_end(), 0);
        bench.start();
    }
    bench.wait("a");
    let log = bench.log("a");
    assert!(log.lines().map(|line| line.parse::<u32>().unwrap()).eq(0..300));
}

/// Counters on pipes and on a terminal, one stream in halves of lines; the keeper is killed again and again.
#[test]
fn no_line_is_lost_or_doubled_by_seventy_kills() {
    const KILLS: u32 = 70;
    let mut bench = Bench::new();
    // `stop` ends the counters; each prints its last number as an exit code can't hold it.
    let count = |extra: &str| {
        format!(
            "i=0; while [ ! -e {stop} ]; do i=$((i+1)); echo \"line $i\"; {extra} done; echo \"line $((i+1))\"; exit 3",
            stop = bench.root().join("stop").display()
        )
    };
    let halves = count("echo -n \"err \" >&2; busybox usleep 300; echo $i >&2;");
    let fast = count("");
    let slow = count("busybox usleep 500;");
    let rotating = |driver, path: std::path::PathBuf| LogConfig {
        driver,
        max_size: 100_000,
        max_files: 100_000,
        ..LogConfig::json_file(path)
    };
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| bench.log_path(name));
    bench.launch_with("a", PIPES, &halves, LogConfig::json_file(&a), &[]);
    bench.launch_with("b", PIPES, &fast, rotating(Driver::JsonFile, b.clone()), &[]);
    bench.launch_with("c", PIPES, &slow, rotating(Driver::Local, c.clone()), &[]);
    bench.launch_with("d", TTY, &slow, LogConfig::json_file(&d), &[]);

    // A pseudo-random wait, different each time and the same in each run.
    let mut seed = 12_345u64;
    for _ in 0..KILLS {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_micros(500 + (seed >> 33) % 20_000));
        bench.kill_keeper();
        bench.start();
    }
    File::create(bench.root().join("stop")).unwrap();
    for name in ["a", "b", "c", "d"] {
        assert_eq!(bench.wait_code(name), ExitStatus::Code(3), "{name}");
    }

    for (name, driver, path) in [
        ("a", Driver::JsonFile, &a),
        ("b", Driver::JsonFile, &b),
        ("c", Driver::Local, &c),
        ("d", Driver::JsonFile, &d),
    ] {
        let text = read_log(driver, path);
        let lines = numbers(&text, "line ");
        assert!(lines.len() > 100, "{name} did something: {}", lines.len());
        assert!(
            lines.iter().copied().eq(1..=lines.len() as u64),
            "{name}: lines are missing or doubled"
        );
        if name == "a" {
            let errors = numbers(&text, "err ");
            assert!(errors.iter().copied().eq(1..=lines.len() as u64 - 1), "a: stderr");
            assert_eq!(
                lines.len() + errors.len(),
                text.lines().count(),
                "nothing else is in the log"
            );
        } else {
            assert_eq!(lines.len(), text.lines().count(), "{name}: nothing else is in the log");
        }
    }
}

fn numbers(text: &str, prefix: &str) -> Vec<u64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
    lines.map(|number| number.trim_end().parse().unwrap()).collect()
}

/// A kill between any two system calls, from the keeper's start over recovery, copying and rotating: the deterministic half of the proof.
#[test]
fn no_line_is_lost_or_doubled_wherever_the_keeper_stops() {
    let mut bench = Bench::new();
    let stop = bench.root().join("stop");
    let script = format!(
        "i=0; while [ ! -e {0} ]; do i=$((i+1)); echo line $i; echo -n 'err ' >&2; echo $i >&2; busybox usleep 100; done; exit 3",
        stop.display()
    );
    let config = |driver, path| LogConfig {
        driver,
        max_size: 60_000,
        max_files: 1_000,
        ..LogConfig::json_file(path)
    };
    let logs = [(Driver::JsonFile, bench.log_path("a")), (Driver::Local, bench.log_path("b"))];
    for (name, (driver, path)) in ["a", "b"].into_iter().zip(&logs) {
        bench.launch_with(name, PIPES, &script, config(*driver, path.clone()), &[]);
    }
    bench.kill_keeper();
    // Start and recovery take some 450 stops; then a turn of copying takes about 20, one with a rotation more.
    for stops in (0..480).step_by(4).chain(480..800) {
        assert!(bench.run_until_stop(stops), "the keeper ended by itself after {stops}");
    }
    bench.start();
    File::create(stop).unwrap();
    for (name, (driver, path)) in ["a", "b"].into_iter().zip(&logs) {
        assert_eq!(bench.wait_code(name), ExitStatus::Code(3));
        let text = read_log(*driver, path);
        let (lines, errors) = (numbers(&text, "line "), numbers(&text, "err "));
        assert_eq!(lines.len() + errors.len(), text.lines().count(), "{name}: nothing else");
        assert!(lines.len() > 1_000, "{name} did something: {}", lines.len());
        let all = lines.len() as u64;
        assert!(lines.into_iter().eq(1..=all), "{name}: lines are missing or doubled");
        assert!(errors.into_iter().eq(1..=all), "{name}: errors are missing or doubled");
    }
}

//! Measurements, not checks: `cargo test --release -p cale-keeper --test measure -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::time::Instant;

use harness::{Bench, PIPES, TTY};
use keeper::log::{Driver, LogConfig};
use keeper::protocol::Io;

/// Memory that is the keeper's alone, in KiB. Pages of the program don't count: the daemon is the same program.
fn private_kib(bench: &Bench) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", bench.keeper_pid());
    let text = std::fs::read_to_string(path).unwrap();
    let field = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    field("Anonymous:")
}

#[test]
#[ignore = "a measurement"]
fn memory() {
    let mut bench = Bench::new();
    let empty = private_kib(&bench);
    println!("empty: {empty} KiB private");
    for (io, name) in [(PIPES, "pipes"), (Io::Null, "null"), (TTY, "tty")] {
        let before = private_kib(&bench);
        for number in 0..100 {
            let task = format!("{name}-{number}");
            let log = LogConfig {
                max_size: 20 << 20,
                max_files: 5,
                ..LogConfig::json_file(bench.log_path(&task))
            };
            bench.launch_with(&task, io, "exec busybox sleep 1000", log, &[]);
        }
        let each = (private_kib(&bench) - before) as f64 / 100.0;
        println!("{name}: {each:.2} KiB private for each of 100");
    }
    println!("all: {} KiB private", private_kib(&bench));
}

#[test]
#[ignore = "a measurement"]
fn launch_latency() {
    let mut bench = Bench::new();
    for (io, name) in [(Io::Null, "null"), (PIPES, "pipes"), (TTY, "tty")] {
        let mut times: Vec<u128> = (0..300)
            .map(|number| {
                let task = format!("{name}-{number}");
                let log = LogConfig::json_file(bench.log_path(&task));
                let begin = Instant::now();
                bench.launch_with(&task, io, "exit 0", log, &[]);
                begin.elapsed().as_micros()
            })
            .collect();
        times.sort_unstable();
        println!("{name}: launch {} / {} µs (min / median)", times[0], times[150]);
    }
}

#[test]
#[ignore = "a measurement"]
fn throughput() {
    for driver in [Driver::JsonFile, Driver::Local, Driver::None] {
        let mut bench = Bench::new();
        let path = bench.log_path("a");
        let log =
            LogConfig { driver, max_size: 50 << 20, max_files: 2, ..LogConfig::json_file(path) };
        // 200 MB in lines of 100 bytes.
        let line = "x".repeat(99);
        let script = format!("yes {line} | head -c 200000000");
        let begin = Instant::now();
        bench.launch_with("a", PIPES, &script, log, &[]);
        bench.wait("a");
        let rate = 200.0 / begin.elapsed().as_secs_f64();
        println!("{driver:?}: {rate:.0} MB/s of output");
    }
}

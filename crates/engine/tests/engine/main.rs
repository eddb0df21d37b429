//! The engine against a real kernel: containers in temporary roots, in a network namespace of
//! the test's own.
//!
//! Has its own `main`, because the keeper that an engine starts is this very program, and because
//! the namespace must be entered before any thread is there. Arguments choose tests by a part of
//! their name.

// clippy takes a test with a `main` of its own for a program.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod files;
mod images;
mod life;
mod run;
mod survival;
mod world;

use std::{process::ExitCode, time::Instant};

use world::Test;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "keeper") {
        let root = arguments.get(2).cloned().unwrap_or_default();
        return ExitCode::from(keeper::run(&keeper::Config::new(root)));
    }
    if arguments.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    sys::namespace::unshare(sys::namespace::flag::NET).expect("a network namespace of our own");
    world::loopback_up();
    let chosen: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let tests: Vec<Test> =
        [run::TESTS, life::TESTS, files::TESTS, images::TESTS, survival::TESTS, bench::TESTS]
            .concat();
    let mut failed = Vec::new();
    for test in tests {
        if !chosen.is_empty() && !chosen.iter().any(|part| test.name.contains(part.as_str())) {
            continue;
        }
        let began = Instant::now();
        let outcome = std::panic::catch_unwind(|| world::run(test));
        let ms = began.elapsed().as_millis();
        let ok = outcome.is_ok();
        println!("test {} ... {} ({ms} ms)", test.name, if ok { "ok" } else { "FAILED" });
        if !ok {
            failed.push(test.name);
        }
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        println!("failed: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

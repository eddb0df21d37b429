//! Developer tasks: `cargo xtask TASK`. Run without a task for the list.
//!
//! Owns what the build tool can't say itself: house rules (layers, tidy), the one test command,
//! and the peers that end-to-end tests and benchmarks run against.

mod bench;
mod layers;
mod packages;
mod source;
mod test;
mod tidy;

use std::process::ExitCode;

/// A failure that ends a task, already worded for a person.
type Result<T = ()> = std::result::Result<T, String>;

struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result,
}

const TASKS: &[Task] = &[
    Task { name: "test", about: "run every test (what CI runs)", run: test::run },
    Task { name: "layers", about: "check the crate edges against LAYERS.toml", run: layers::run },
    Task { name: "tidy", about: "check the house rules that no compiler knows", run: tidy::run },
    Task { name: "bench", about: "compare with the peers: bench start [--quick]", run: bench::run },
    Task {
        name: "packages",
        about: "install the Debian packages that the tests use",
        run: packages::run,
    },
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let task = args.first().and_then(|name| TASKS.iter().find(|task| task.name == name));
    let Some(task) = task else {
        eprintln!("usage: cargo xtask TASK [ARGS]\n");
        for task in TASKS {
            eprintln!("  {:<10} {}", task.name, task.about);
        }
        return ExitCode::from(2);
    };
    match (task.run)(&args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask {}: {message}", task.name);
            ExitCode::FAILURE
        }
    }
}

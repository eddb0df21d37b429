//! The one test command: format, lints, house rules, then every test of the workspace.

use std::{process::Command, time::Instant};

use crate::{Result, packages, source};

struct Step {
    name: &'static str,
    args: &'static [&'static str],
}

/// In the order of what fails fastest. The binary is built before the tests that start it.
const STEPS: &[Step] = &[
    Step { name: "format", args: &["fmt", "--all", "--check"] },
    Step {
        name: "lints",
        args: &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ],
    },
    Step { name: "binary", args: &["build", "--locked", "--quiet", "--package", "cale"] },
    Step { name: "tests", args: &["test", "--workspace", "--locked", "--no-fail-fast", "--quiet"] },
];

fn cargo(step: &Step) -> Result<bool> {
    let status = Command::new("cargo")
        .args(step.args)
        .current_dir(source::root())
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(status.success())
}

/// Runs all steps, or those named.
pub fn run(args: &[String]) -> Result {
    packages::run(&[])?;
    for step in STEPS.iter().filter(|step| args.is_empty() || args.iter().any(|a| a == step.name)) {
        let started = Instant::now();
        eprintln!("== {}", step.name);
        if !cargo(step)? {
            // Kernel and peers answer late on a busy machine. What passes at once afterwards is
            // named as flaky; what fails twice has failed.
            let failed = || format!("{} failed: cargo {}", step.name, step.args.join(" "));
            if step.name != "tests" {
                return Err(failed());
            }
            eprintln!("== tests failed once, see above: FLAKY if they pass now");
            if !cargo(step)? {
                return Err(failed());
            }
        }
        eprintln!("== {} passed in {:.0} s", step.name, started.elapsed().as_secs_f64());
    }
    Ok(())
}

//! The `cale` binary: engine, client and runtime in one program.

mod cli;
mod daemon;
mod dispatch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    ExitCode::from(dispatch::dispatch(&args))
}

//! The `cale` binary.

mod dispatch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let Some(code) = dispatch::dispatch(&args) {
        return ExitCode::from(code);
    }
    eprintln!("error: this build has only the runtime: cale runtime");
    ExitCode::from(125)
}

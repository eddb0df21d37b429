//! The runtime's command line alone, without the rest of the binary: for measurements and suites that want only it.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(runtime::cli::run(std::env::args().skip(1)))
}

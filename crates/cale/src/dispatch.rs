//! Which of the personalities of the one binary is asked for: by the name it was started under, or
//! by its first word.
//!
//! Runs before anything else of the program, so that `runc`'s command line pays for nothing that
//! it doesn't use.

use std::path::Path;

use crate::{
    cli,
    daemon::{self, Personality},
};

/// Runs the personality that `args` (with the program's name) ask for: its exit code.
pub fn dispatch(args: &[String]) -> u8 {
    let name = args.first().and_then(|name| Path::new(name).file_name()?.to_str()).unwrap_or("");
    let word = args.get(1).map_or("", String::as_str);
    match (name, word) {
        ("runc", _) => runtime::cli::run(args.iter().skip(1).cloned()),
        (_, "runtime") => runtime::cli::run(args.iter().skip(2).cloned()),
        ("dockerd", _) => daemon::main(Personality::Dockerd, args.get(1..).unwrap_or_default()),
        (_, "daemon") => {
            if std::env::var_os(cli::DETACHED).is_some() {
                // Started by a client: what ends its terminal must not end the engine. Fails only
                // if we lead a session already.
                let _ = rustix::process::setsid();
            }
            daemon::main(Personality::Cale, args.get(2..).unwrap_or_default())
        }
        (_, "keeper") => keeper(args.get(2..).unwrap_or_default()),
        ("docker", _) => cli::main("docker", args.get(1..).unwrap_or_default()),
        _ => cli::main("cale", args.get(1..).unwrap_or_default()),
    }
}

/// Becomes the supervisor of containers; only the engine starts it, as
/// `cale keeper --exec-root PATH`.
fn keeper(args: &[String]) -> u8 {
    match args {
        [flag, exec_root] if flag == "--exec-root" && Path::new(exec_root).is_absolute() => {
            keeper::run(&keeper::Config::new(exec_root))
        }
        _ => {
            eprintln!("error: the keeper is started by the engine, not by hand");
            125
        }
    }
}

//! Which of the personalities of the one binary is asked for: by the name it was started under, or by its first word.
//!
//! Runs before anything else of the program, so that `runc`'s command line pays for nothing that it doesn't use.

use std::path::Path;

/// Runs the personality that `args` (with the program's name) ask for: its exit code; none if it is the usual client.
pub fn dispatch(args: &[String]) -> Option<u8> {
    let name = args.first().and_then(|name| Path::new(name).file_name()?.to_str()).unwrap_or("");
    let word = args.get(1).map_or("", String::as_str);
    match (name, word) {
        ("runc", _) => Some(runtime::cli::run(args.iter().skip(1).cloned())),
        (_, "runtime") => Some(runtime::cli::run(args.iter().skip(2).cloned())),
        _ => None,
    }
}

//! runc's command line on this runtime: what containerd, Docker, podman and people call.
//!
//! [`run`] parses global flags and hands over to one file per command in `commands`. A container's record is a directory
//! below `--root` (`record`). Errors are printed once, here: to standard error, and to `--log` in the form that callers
//! read the reason from.

mod commands;
mod console;
mod error;
mod flags;
mod hooks;
mod launch;
mod log;
mod record;

use std::path::PathBuf;

use error::CliError;
use flags::{Flag, Flags};

/// What a command returns: the process's exit code.
type Outcome = Result<u8, CliError>;

const GLOBAL: &[Flag] = &[
    Flag::value("root"),
    Flag::value("log"),
    Flag::value("log-format"),
    Flag::switch("debug"),
    Flag::switch("systemd-cgroup"),
    Flag::value("rootless"),
    Flag::value("criu"),
    Flag::switch("help").or("h"),
    Flag::switch("version").or("v"),
];

const USAGE: &str =
    "usage: cale runtime [--root DIR] [--log FILE] [--log-format text|json] [--debug] COMMAND …

commands:
  checkpoint  save a running container to disk (needs criu)
  create      create a container from a bundle
  delete      delete a container's record and control groups
  events      print resource use and out-of-memory events
  exec        run a process in a container
  features    print what this runtime can do
  kill        send a signal to a container
  list        list containers
  pause       stop all processes of a container
  ps          list processes of a container
  restore     bring a container back from a checkpoint (needs criu)
  resume      let a paused container go on
  run         create and start a container
  spec        write a specification file to start from
  start       run the program of a created container
  state       print a container's state
  update      change limits of a container
";

/// Settings of all commands.
#[derive(Debug, Clone)]
pub(crate) struct Global {
    /// Directory of records.
    pub root: PathBuf,
    /// Where errors go besides standard error.
    pub log: log::Log,
    /// `criu` program.
    pub criu: String,
    /// Control groups by systemd were asked for.
    pub systemd_cgroup: bool,
}

/// Runs one command line, without the program's name: the exit code.
pub fn run<I: IntoIterator<Item = String>>(args: I) -> u8 {
    let mut args: Vec<String> = args.into_iter().collect();
    let parsed = match flags::parse(GLOBAL, &mut args) {
        Ok(parsed) => parsed,
        Err(error) => return report(&log::Log::default(), &error),
    };
    if parsed.has("version") {
        println!("cale runtime version {}\nspec: {}", env!("CARGO_PKG_VERSION"), OCI_VERSION);
        return 0;
    }
    if args.is_empty() || parsed.has("help") || args[0] == "help" {
        print!("{USAGE}");
        return 0;
    }
    let global = match global(&parsed) {
        Ok(global) => global,
        Err(error) => return report(&log::Log::default(), &error),
    };
    let command = args.remove(0);
    global.log.debug(&format!("{command} {}", args.join(" ")));
    match commands::dispatch(&command, &global, args) {
        Ok(code) => code,
        Err(error) => report(&global.log, &error),
    }
}

/// Version of the specification that is followed.
pub(crate) const OCI_VERSION: &str = "1.2.0";

fn report(log: &log::Log, error: &CliError) -> u8 {
    let text = error::chain(error);
    log.error(&text);
    eprintln!("{text}");
    error.exit_code()
}

fn global(flags: &Flags) -> Result<Global, CliError> {
    let root = flags.get("root").map_or_else(default_root, PathBuf::from);
    Ok(Global {
        root,
        log: log::Log::new(
            flags.get("log"),
            flags.get("log-format").unwrap_or("text"),
            flags.has("debug"),
        )?,
        criu: flags.get("criu").unwrap_or("criu").to_owned(),
        systemd_cgroup: flags.has("systemd-cgroup"),
    })
}

fn default_root() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/run/cale/runtime".into();
    }
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime_dir.unwrap_or_else(std::env::temp_dir).join("cale/runtime")
}

//! Being the keeper process: what it does before and after the loop, and how another process starts it.
//!
//! The starter waits on the keeper's stdout: one line says that it listens. Afterwards the two have nothing in common: own session,
//! `/` as directory, no descriptor of the starter's, diagnostics in `<exec-root>/keeper.log`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use model::ErrorKind;

use crate::exec_root::ExecRoot;
use crate::server::Server;
use crate::server::launcher::{Launcher, RuntimeLauncher};

/// Said on stdout when the socket listens.
const READY: &[u8] = b"ready\n";
/// Said when another keeper has this exec-root.
const TAKEN: &[u8] = b"taken\n";
/// The diagnostics file starts anew over this size; the keeper writes a line only when something is wrong.
const LOG_LIMIT: u64 = 256 << 10;

/// What a keeper is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The engine's runtime directory, on a tmpfs. Absolute.
    pub exec_root: PathBuf,
    /// How long to stay when nothing runs and nobody is connected.
    pub idle: Duration,
}

impl Config {
    /// With the usual patience.
    #[must_use]
    pub fn new(exec_root: impl Into<PathBuf>) -> Config {
        Config { exec_root: exec_root.into(), idle: Duration::from_secs(30) }
    }
}

/// Runs the keeper of containers until it isn't needed any more; see [`run_with`].
pub fn run(config: &Config) -> u8 {
    // A container's root finds the keeper's program as its own /proc/PID/exe before the exec.
    if let Err(error) = runtime::sealed::ensure() {
        eprintln!("keeper: {}", in_one_line(&error));
        return 1;
    }
    run_with(config, RuntimeLauncher)
}

fn in_one_line(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Runs a keeper with `launcher` until it isn't needed any more; gives the exit code of the process (0 when it ends as intended, and
/// when another keeper has the exec-root already).
///
/// To be called first thing in a process of its own: it closes all descriptors from 3 on.
pub fn run_with(config: &Config, launcher: impl Launcher) -> u8 {
    match keep(config, launcher) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("keeper: {error}");
            1
        }
    }
}

fn keep(config: &Config, launcher: impl Launcher) -> io::Result<()> {
    sys::session::close_from(3)?;
    sys::session::detach()?;
    sys::session::raise_descriptor_limit()?;
    avoid_oom_killer();

    let root = ExecRoot::open(&config.exec_root)?;
    let lock = File::options().create(true).append(true).mode(0o600).open(root.lock())?;
    if !sys::file::try_lock(&lock)? {
        return announce(TAKEN);
    }
    let mut server = Server::open(root, launcher)?;
    announce(READY)?;
    server.serve(config.idle)
    // The socket file stays: its removal could hit a successor's. A client that finds nobody behind it starts a keeper.
}

fn announce(word: &[u8]) -> io::Result<()> {
    match io::stdout().write_all(word).and_then(|()| io::stdout().flush()) {
        // A starter that doesn't listen is none of our business.
        Ok(()) | Err(_) => {}
    }
    // Its pipe must not stay open for as long as we live.
    sys::session::null_stdout()
}

/// Asks to be the last one killed for lack of memory. Without CAP_SYS_RESOURCE it isn't granted, which is no reason not to run.
fn avoid_oom_killer() {
    match std::fs::write("/proc/self/oom_score_adj", "-999") {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => eprintln!("keeper: cannot set oom_score_adj: {error}"),
    }
}

/// A keeper that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program can't be run.
    #[error("cannot run {program} as keeper")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The exec-root can't be used.
    #[error("cannot prepare {path} for a keeper")]
    Prepare {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended before it listened; it says why in its log.
    #[error("the keeper did not come up, see {log}")]
    Ended {
        /// Its diagnostics.
        log: PathBuf,
    },
}

impl SpawnError {
    /// For the edges.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            SpawnError::Run { .. } | SpawnError::Ended { .. } => ErrorKind::Internal,
            SpawnError::Prepare { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::Forbidden,
                io::ErrorKind::StorageFull => ErrorKind::Exhausted,
                _ => ErrorKind::Internal,
            },
        }
    }
}

/// A keeper that listens.
#[derive(Debug)]
pub struct Spawned {
    /// The process; `None` when another keeper was there already. The caller is its parent and should reap it when it ends.
    pub child: Option<std::process::Child>,
}

/// Starts a keeper for `exec_root`: this very program with the arguments `keeper --exec-root <exec_root>`. Returns when it listens.
///
/// # Errors
/// [`SpawnError`].
pub fn spawn(exec_root: &Path) -> Result<Spawned, SpawnError> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("keeper").arg("--exec-root").arg(exec_root);
    spawn_command(exec_root, command)
}

/// As [`spawn`], with another program or other arguments.
///
/// # Errors
/// [`SpawnError`].
pub fn spawn_command(exec_root: &Path, mut command: Command) -> Result<Spawned, SpawnError> {
    let prepare = |source| SpawnError::Prepare { path: exec_root.to_owned(), source };
    ExecRoot::open(exec_root).map_err(prepare)?;
    let log_path = exec_root.join("keeper.log");
    let log = open_log(&log_path).map_err(prepare)?;
    let program = PathBuf::from(command.get_program());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).current_dir("/");
    let run = |source| SpawnError::Run { program: program.clone(), source };
    let mut child = command.spawn().map_err(run)?;

    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(64).read_to_end(&mut said).map_err(run)?;
    }
    match said.as_slice() {
        READY => Ok(Spawned { child: Some(child) }),
        TAKEN => {
            child.wait().map_err(run)?;
            Ok(Spawned { child: None })
        }
        _ => {
            child.wait().map_err(run)?;
            Err(SpawnError::Ended { log: log_path })
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    if file.metadata()?.len() > LOG_LIMIT {
        file.set_len(0)?;
    }
    Ok(file)
}

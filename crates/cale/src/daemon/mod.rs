//! The daemon: options, sockets, signals, and the Engine API on top of the engine.
//!
//! ```text
//! words + file ─▶ Values ─▶ Settings ─▶ engine, listeners ─▶ serve ─▶ SIGTERM ─▶ drain ─▶ end
//! ```

mod http;
mod listen;
mod options;
mod pid_file;
mod run;
mod settings;
mod tls;
mod values;

use std::path::{Path, PathBuf};

pub use settings::Personality;
use settings::{Settings, SettingsError};
use values::{GivenError, Values};

/// The daemon could not be started or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Command line or file.
    #[error("{0}")]
    Given(GivenError),
    /// A value.
    #[error("invalid configuration")]
    Settings(#[source] SettingsError),
    /// The runtime.
    #[error("cannot start the async runtime")]
    Runtime(#[source] std::io::Error),
    /// The engine.
    #[error("cannot start the engine")]
    Engine(#[source] engine::Error),
    /// The end of the engine.
    #[error("cannot stop the engine")]
    Shutdown(#[source] engine::Error),
    /// A socket.
    #[error("failed to load listeners")]
    Listen(#[source] listen::ListenError),
    /// TCP without client certificates.
    #[error(
        "refusing to listen on {0} without client certificates: whoever reaches it is root here; \
         use --tlsverify, or --tls=false to allow it"
    )]
    OpenTcp(std::net::SocketAddr),
    /// TLS.
    #[error("cannot set up TLS")]
    Tls(#[source] tls::TlsError),
    /// The pid file.
    #[error("failed to start daemon")]
    PidFile(#[source] pid_file::PidFileError),
    /// Signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs the daemon until it is told to end. `words` are those after the program's name (and
/// `daemon`). Returns the exit code.
pub fn main(personality: Personality, words: &[String]) -> u8 {
    let program = match personality {
        Personality::Cale => "cale daemon",
        Personality::Dockerd => "dockerd",
    };
    match start(personality, program, words) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{}", engine::error::chain(&error));
            let typed = matches!(&error, DaemonError::Given(given) if !matches!(given, GivenError::File { .. }));
            if typed {
                eprintln!("See '{program} --help'.");
            }
            1
        }
    }
}

fn start(personality: Personality, program: &str, words: &[String]) -> Result<(), DaemonError> {
    let flags = Values::from_words(words).map_err(DaemonError::Given)?;
    if flags.flag("help", false) {
        print!("{}", options::help(program));
        return Ok(());
    }
    if flags.flag("version", false) {
        println!("Cale version {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let settings = load(personality, &flags)?;
    if flags.flag("validate", false) {
        println!("configuration OK");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(DaemonError::Runtime)?;
    let reload = {
        let flags = flags.clone();
        move || load(personality, &flags)
    };
    let result = runtime.block_on(run::run(settings, reload));
    // Blocking reads of followers must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Reads the file, puts it under the flags, understands both.
fn load(personality: Personality, flags: &Values) -> Result<Settings, DaemonError> {
    let explicit = flags.text("config-file").map(PathBuf::from);
    let default = Path::new(match personality {
        Personality::Cale => "/etc/cale/daemon.json",
        Personality::Dockerd => "/etc/docker/daemon.json",
    });
    let file = explicit.as_deref().unwrap_or(default);
    let values = match std::fs::read_to_string(file) {
        Ok(text) => {
            let from_file = Values::from_file(file, &text).map_err(DaemonError::Given)?;
            flags.clone().merge(file, from_file).map_err(DaemonError::Given)?
        }
        Err(error) if explicit.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            flags.clone()
        }
        Err(error) => {
            return Err(DaemonError::Given(GivenError::File {
                file: file.display().to_string(),
                why: error.to_string(),
            }));
        }
    };
    Settings::new(&values, personality).map_err(DaemonError::Settings)
}

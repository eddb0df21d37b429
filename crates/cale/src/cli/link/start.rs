//! Starting an engine when none answers and the user may: `cale daemon` in its own session, its
//! output in a log file. A lock keeps two clients from starting two.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use api::client::Host;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::host::{Endpoint, OWN_SOCKET};

/// Directory of the socket, the lock and the log.
const RUN_DIR: &str = "/run/cale";
/// How long an engine may take until it answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tells the daemon arm of the program to leave the client's session.
pub const DETACHED: &str = "CALE_DETACHED";

/// Starts an engine for the default endpoint; false if this user may not.
///
/// # Errors
/// [`CliError::Advised`] if it doesn't come up, with the end of its log.
pub async fn engine(endpoint: &Endpoint) -> Result<bool, CliError> {
    let ours = matches!(&endpoint.address, Host::Unix(path) if path == Path::new(OWN_SOCKET));
    if !ours || !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    let failed = |action: &'static str| move |e| CliError::file(action, e);
    fs::create_dir_all(RUN_DIR).map_err(failed("create /run/cale"))?;
    let lock = fs::File::create(format!("{RUN_DIR}/start.lock"))
        .map_err(failed("create /run/cale/start.lock"))?;
    lock.lock().map_err(failed("lock /run/cale/start.lock"))?;
    if UnixStream::connect(OWN_SOCKET).is_ok() {
        return Ok(true);
    }
    let log_path = format!("{RUN_DIR}/daemon.log");
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(failed("open /run/cale/daemon.log"))?;
    let log_start = log.metadata().map_err(failed("read /run/cale/daemon.log"))?.len();
    let own = std::env::current_exe().map_err(failed("find our own program"))?;
    let stderr = log.try_clone().map_err(failed("open /run/cale/daemon.log"))?;
    let mut child = Command::new(own)
        .arg("daemon")
        .env(DETACHED, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(stderr)
        .spawn()
        .map_err(failed("start the engine"))?;
    eprintln!("no engine was running: started one (log: {log_path})");
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if UnixStream::connect(OWN_SOCKET).is_ok() {
            return Ok(true);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(not_up(
                &format!("the engine ended at once ({status})"),
                &log_path,
                log_start,
            ));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let message = format!("the engine did not answer within {} s", PATIENCE.as_secs());
    Err(not_up(&message, &log_path, log_start))
}

fn not_up(message: &str, log_path: &str, log_start: u64) -> CliError {
    let mut text = String::new();
    if let Ok(mut log) = fs::File::open(log_path) {
        use std::io::Seek;
        // The log is a help only: what can't be read is left out.
        drop(log.seek(std::io::SeekFrom::Start(log_start)));
        drop(log.read_to_string(&mut text));
    }
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
    let message =
        if last.is_empty() { message.to_owned() } else { format!("{message}:\n  {last}") };
    CliError::Advised {
        message,
        hint: format!("see {log_path}, or run `cale daemon --debug` in a terminal"),
        exit: Exit::FAILURE,
    }
}

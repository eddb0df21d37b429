//! `run`: make a container and start it.
//!
//! Flow: create → attach and wait, both at once → start → forward streams → exit code. Nothing is
//! asked of the engine beyond that.

use serde_json::Value as Json;

use super::container_path;
use super::create::create;
use crate::cli::container::body::Attached;
use crate::cli::container::options;
use crate::cli::context::Cx;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Matches, command};
use crate::cli::link::{Extra, Link, Query, Reply};
use crate::cli::session::{self, Ended, RawMode, Session};

command! {
    /// Make a container from an image and start it.
    ///
    /// Unless -d is given, its output is shown until it ends, and its exit code becomes ours.
    pub static RUN = {
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        flags: &[options::CONTAINER, options::RUN],
        arity: Arity::AtLeast(1),
        interspersed: false,
        launches: true,
        run: |cx, m| Box::pin(run(cx, m)),
    }
}

async fn run(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let detach = m.on("detach");
    if detach && m.given("attach") {
        return Err(CliError::invalid(
            "conflicting options: cannot specify both --attach and --detach",
        ));
    }
    let attached = Attached::read(m, detach)?;
    let keys = detach_keys(cx, m.text("detach-keys"))?;
    if attached.stdin && m.on("tty") && !session::is_terminal(std::io::stdin()) {
        return Err(CliError::invalid("the input device is not a TTY"));
    }
    let id = create(cx, m, attached).await?;
    let link = cx.link()?;
    if !attached.any() {
        link.post(&container_path(&id, "/start"), &Query::new(), None).await?;
        outln!("{id}")?;
        return Ok(Exit::SUCCESS);
    }
    let attach = AttachQuery { attached, keys: &keys, logs: false };
    let condition = if m.on("rm") { "removed" } else { "next-exit" };
    let (stream, wait) =
        tokio::try_join!(attach.open(link, &id), open_wait(link, &id, condition),)?;
    let tty = m.on("tty");
    let raw = if tty && attached.stdin { RawMode::enter().ok() } else { None };
    if let Err(error) = link.post(&container_path(&id, "/start"), &Query::new(), None).await {
        drop(raw);
        if m.on("rm") {
            // The engine removes it; when we return it must be gone.
            drop(wait.bytes().await);
        }
        return Err(error);
    }
    let session =
        Session { stream, tty, stdin: attached.stdin, keys: Some(session::parse_keys(&keys)?) };
    let ended = forward(link, &id, session, m.on("sig-proxy") && !tty).await;
    drop(raw);
    match ended? {
        Ended::Detached => Ok(Exit::SUCCESS),
        Ended::Closed => exit_code(wait.json().await?),
    }
}

/// The detach keys in effect: the flag's, the configuration's, or the usual ones.
///
/// # Errors
/// If the configuration can't be read.
pub fn detach_keys(cx: &Cx, typed: &str) -> Result<String, CliError> {
    let configured = cx.config()?.text("detachKeys");
    let keys = [typed, configured, session::DEFAULT_KEYS].into_iter().find(|keys| !keys.is_empty());
    Ok(keys.unwrap_or_default().to_owned())
}

/// What to attach to.
pub struct AttachQuery<'a> {
    /// Which streams.
    pub attached: Attached,
    /// Detach keys, as typed.
    pub keys: &'a str,
    /// Whether earlier output comes first.
    pub logs: bool,
}

impl AttachQuery<'_> {
    /// Takes over a connection for the container's streams.
    ///
    /// # Errors
    /// The engine's refusal.
    pub async fn open(&self, link: &Link, id: &str) -> Result<api::client::Hijacked, CliError> {
        let query = Query::new()
            .flag("stream", true)
            .flag("stdin", self.attached.stdin)
            .flag("stdout", self.attached.stdout)
            .flag("stderr", self.attached.stderr)
            .flag("logs", self.logs)
            .set_some("detachKeys", self.keys);
        link.hijack(&container_path(id, "/attach"), &query, None).await
    }
}

/// Starts waiting for the end of a container; the reply's headers say that the engine does.
///
/// # Errors
/// The engine's refusal.
pub async fn open_wait<'a>(
    link: &'a Link,
    id: &str,
    condition: &str,
) -> Result<Reply<'a>, CliError> {
    let query = Query::new().set("condition", condition);
    link.open(http::Method::POST, &container_path(id, "/wait"), &query, Extra::default()).await
}

/// Our exit code for the engine's answer to `wait`.
///
/// # Errors
/// If the engine could not tell.
pub fn exit_code(answer: Json) -> Result<Exit, CliError> {
    match answer["Error"]["Message"].as_str().filter(|message| !message.is_empty()) {
        Some(message) => {
            eprintln!("Error waiting for container: {message}");
            Ok(Exit::ENGINE_FAILED)
        }
        None => Ok(Exit::of_child(answer["StatusCode"].as_i64().unwrap_or(125))),
    }
}

/// Forwards streams, signals (`proxy`) and window sizes (with a terminal) until one side ends.
///
/// # Errors
/// As [`Session::run`].
pub async fn forward(
    link: &Link,
    id: &str,
    session: Session,
    proxy: bool,
) -> Result<Ended, CliError> {
    let tty = session.tty;
    let resize = container_path(id, "/resize");
    tokio::select! {
        ended = session.run() => ended,
        () = session::forward_signals(link, id), if proxy => unreachable_end(),
        () = session::resizes(link, &resize), if tty => unreachable_end(),
    }
}

/// The side tasks never end before the session; if the kernel gave no signal stream, the session
/// is over for us too.
fn unreachable_end() -> Result<Ended, CliError> {
    Ok(Ended::Closed)
}

//! `attach`: connect our streams with a running container.

use super::container_path;
use super::run::{AttachQuery, detach_keys, exit_code, forward, open_wait};
use crate::cli::container::body::Attached;
use crate::cli::context::Cx;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::link::Query;
use crate::cli::session::{self, Ended, RawMode, Session};

static FLAGS: &[Flag] = &[
    Flag::text("detach-keys", "Keys that detach from the container"),
    Flag::switch("no-stdin", "Don't pass our stdin on"),
    Flag::switch("sig-proxy", "Pass signals on to the process").default("true"),
];

command! {
    /// Connect our input and output with a running container.
    pub static ATTACH = {
        usage: "[OPTIONS] CONTAINER",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(attach(cx, m)),
    }
}

async fn attach(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let name = &m.args()[0];
    let link = cx.link()?;
    let info = link.get(&container_path(name, "/json"), &Query::new()).await?;
    let state = |key: &str| info["State"][key].as_bool().unwrap_or(false);
    if !state("Running") {
        return Err(CliError::invalid("You cannot attach to a stopped container, start it first"));
    }
    if state("Paused") {
        return Err(CliError::invalid("You cannot attach to a paused container, unpause it first"));
    }
    if state("Restarting") {
        return Err(CliError::invalid(
            "You cannot attach to a restarting container, wait until it is running",
        ));
    }
    let id = info["Id"].as_str().unwrap_or(name).to_owned();
    let on = |key: &str| info["Config"][key].as_bool().unwrap_or(false);
    let (tty, stdin) = (on("Tty"), on("OpenStdin") && !m.on("no-stdin"));
    if tty && stdin && !session::is_terminal(std::io::stdin()) {
        return Err(CliError::invalid("the input device is not a TTY"));
    }
    let keys = detach_keys(cx, m.text("detach-keys"))?;
    let streams = Attached { stdin, stdout: true, stderr: true };
    let query = AttachQuery { attached: streams, keys: &keys, logs: false };
    let (stream, wait) = tokio::try_join!(query.open(link, &id), open_wait(link, &id, ""))?;
    let raw = if tty && stdin { RawMode::enter().ok() } else { None };
    let session = Session { stream, tty, stdin, keys: Some(session::parse_keys(&keys)?) };
    let ended = forward(link, &id, session, m.on("sig-proxy") && !tty).await;
    drop(raw);
    match ended? {
        Ended::Detached => Err(CliError::invalid("read escape sequence")),
        Ended::Closed => exit_code(wait.json().await?),
    }
}

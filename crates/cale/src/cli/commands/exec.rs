//! `exec`: run a program in a running container.

use serde_json::{Value as Json, json};

use super::container_path;
use super::run::detach_keys;
use crate::cli::container::body::Object;
use crate::cli::container::environment;
use crate::cli::context::Cx;
use crate::cli::error::{self, CliError};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::link::Query;
use crate::cli::session::{self, Ended, RawMode, Session};

static FLAGS: &[Flag] = &[
    Flag::switch("detach", "Run in the background").short('d'),
    Flag::text("detach-keys", "Keys that detach from the program"),
    Flag::list("env", "Set an environment variable (NAME=value)").short('e'),
    Flag::list("env-file", "Set the environment variables that are listed in a file"),
    Flag::switch("interactive", "Keep stdin open").short('i'),
    Flag::switch("privileged", "Give nearly all rights of the host's root"),
    Flag::switch("tty", "Give it a terminal").short('t'),
    Flag::text("user", "User to run as (name|uid[:group|gid])").short('u'),
    Flag::text("workdir", "Working directory inside the container").short('w'),
];

command! {
    /// Run a program in a running container.
    pub static EXEC = {
        usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(2),
        interspersed: false,
        run: |cx, m| Box::pin(exec(cx, m)),
    }
}

fn body(m: &Matches, keys: &str) -> Result<Json, CliError> {
    let detach = m.on("detach");
    let mut body = Object::default();
    body.text("User", m.text("user"));
    body.set("Privileged", m.on("privileged"));
    body.set("Tty", m.on("tty"));
    body.set("AttachStdin", m.on("interactive") && !detach);
    body.set("AttachStdout", !detach);
    body.set("AttachStderr", !detach);
    body.set("Detach", detach);
    body.text("DetachKeys", keys);
    body.list("Env", environment::variables(&m.list("env-file"), &m.list("env"))?);
    body.text("WorkingDir", m.text("workdir"));
    body.set("Cmd", m.args()[1..].to_vec());
    if let (true, Some((columns, rows))) =
        (m.on("tty") && !detach, session::window_size(std::io::stdout()))
    {
        body.set("ConsoleSize", vec![rows, columns]);
    }
    Ok(Json::Object(body.0))
}

async fn exec(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let (tty, stdin, detach) = (m.on("tty"), m.on("interactive"), m.on("detach"));
    let keys = detach_keys(cx, m.text("detach-keys"))?;
    let link = cx.link()?;
    let body = body(m, &keys)?;
    if tty && stdin && !detach && !session::is_terminal(std::io::stdin()) {
        return Err(CliError::invalid("the input device is not a TTY"));
    }
    let path = container_path(&m.args()[0], "/exec");
    let created = link.post(&path, &Query::new(), Some(&body)).await?;
    let id = created["Id"].as_str().unwrap_or("").to_owned();
    let start = format!("/exec/{id}/start");
    let how = json!({"Detach": detach, "Tty": tty, "ConsoleSize": body["ConsoleSize"]});
    if detach {
        link.post(&start, &Query::new(), Some(&how)).await.map_err(not_started)?;
        return Ok(Exit::SUCCESS);
    }
    let stream = link.hijack(&start, &Query::new(), Some(&how)).await.map_err(not_started)?;
    let raw = if tty && stdin { RawMode::enter().ok() } else { None };
    let session = Session { stream, tty, stdin, keys: Some(session::parse_keys(&keys)?) };
    let resize = format!("/exec/{id}/resize");
    let ended = tokio::select! {
        ended = session.run() => ended,
        () = session::resizes(link, &resize), if tty => Ok(Ended::Closed),
    };
    drop(raw);
    match ended? {
        Ended::Detached => Err(CliError::invalid("read escape sequence")),
        Ended::Closed => {
            let state = link.get(&format!("/exec/{id}/json"), &Query::new()).await?;
            Ok(Exit::of_child(state["ExitCode"].as_i64().unwrap_or(0)))
        }
    }
}

/// A program that can't be started gives 126 or 127, as in a shell.
fn not_started(error: CliError) -> CliError {
    match &error {
        CliError::Daemon { message, .. } => {
            let exit = match error::exit_of_start(message) {
                Exit::ENGINE_FAILED => return error,
                exit => exit,
            };
            eprintln!("{}", error.text("", "", false));
            CliError::Silent(exit)
        }
        _ => error,
    }
}

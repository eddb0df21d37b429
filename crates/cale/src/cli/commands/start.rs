//! `start`: start stopped containers.

use super::run::{AttachQuery, detach_keys, exit_code, forward, open_wait};
use super::{container_path, each};
use crate::cli::container::body::Attached;
use crate::cli::context::Cx;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::link::Query;
use crate::cli::session::{self, Ended, RawMode, Session};

static FLAGS: &[Flag] = &[
    Flag::switch("attach", "Show the output and pass signals on").short('a'),
    Flag::text("checkpoint", "Restore from this checkpoint"),
    Flag::text("checkpoint-dir", "Directory of the checkpoint"),
    Flag::text("detach-keys", "Keys that detach from the container"),
    Flag::switch("interactive", "Pass our stdin on").short('i'),
];

command! {
    /// Start one or more stopped containers.
    pub static START = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            if m.on("attach") || m.on("interactive") {
                return attached(cx, m).await;
            }
            let link = cx.link()?;
            let query = &checkpoint(m);
            let result = each(m.args(), async |name| {
                link.post(&container_path(name, "/start"), query, None).await?;
                Ok(Some(name.to_owned()))
            }).await;
            match result {
                Err(CliError::Many(mut messages)) => {
                    let names = m.args().join(", ");
                    messages.push(format!("Error: failed to start containers: {names}"));
                    Err(CliError::Many(messages))
                }
                other => other,
            }
        }),
    }
}

fn checkpoint(m: &Matches) -> Query {
    Query::new()
        .set_some("checkpoint", m.text("checkpoint"))
        .set_some("checkpoint-dir", m.text("checkpoint-dir"))
}

async fn attached(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let [name] = m.args() else {
        return Err(CliError::invalid("you cannot start and attach multiple containers at once"));
    };
    let link = cx.link()?;
    let info = link.get(&container_path(name, "/json"), &Query::new()).await?;
    let id = info["Id"].as_str().unwrap_or(name).to_owned();
    let on = |key: &str| info["Config"][key].as_bool().unwrap_or(false);
    let (tty, stdin) = (on("Tty"), m.on("interactive") && on("OpenStdin"));
    let keys = detach_keys(cx, m.text("detach-keys"))?;
    let streams = Attached { stdin, stdout: true, stderr: true };
    let attach = AttachQuery { attached: streams, keys: &keys, logs: false };
    let remove = info["HostConfig"]["AutoRemove"].as_bool().unwrap_or(false);
    let condition = if remove { "removed" } else { "next-exit" };
    let (stream, wait) = tokio::try_join!(attach.open(link, &id), open_wait(link, &id, condition))?;
    let raw = (tty && stdin && session::is_terminal(std::io::stdin()))
        .then(RawMode::enter)
        .and_then(Result::ok);
    link.post(&container_path(&id, "/start"), &checkpoint(m), None).await?;
    let session = Session { stream, tty, stdin, keys: Some(session::parse_keys(&keys)?) };
    let ended = forward(link, &id, session, !tty).await;
    drop(raw);
    match ended? {
        Ended::Detached => Ok(Exit::SUCCESS),
        Ended::Closed => exit_code(wait.json().await?),
    }
}

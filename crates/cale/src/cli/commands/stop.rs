//! `stop`: end containers in an orderly way.

use super::{container_path, each};
use crate::cli::context::Cx;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Kind, Matches, command};
use crate::cli::link::Query;

/// Flags of `stop` and `restart`.
pub static FLAGS: &[Flag] = &[
    Flag::text("signal", "Signal to send first").short('s'),
    Flag::new("time", Kind::Int, "Old name of --timeout").default("0").alias("timeout"),
    Flag::new("timeout", Kind::Int, "Seconds to wait before the container is killed")
        .short('t')
        .default("0"),
];

command! {
    /// Stop one or more running containers.
    ///
    /// Each gets its stop signal, and is killed if it still runs after the timeout.
    pub static STOP = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(send(cx, m, "/stop")),
    }
}

/// Posts to `verb` of every container with the flags above.
///
/// # Errors
/// The containers' failures.
pub async fn send(cx: &Cx, m: &Matches, verb: &str) -> Result<Exit, CliError> {
    let link = cx.link()?;
    let mut query = Query::new().set_some("signal", m.text("signal"));
    if m.given("timeout") {
        query = query.set("t", m.int("timeout").to_string());
    }
    let query = &query;
    each(m.args(), async |name| {
        link.post(&container_path(name, verb), query, None).await?;
        Ok(Some(name.to_owned()))
    })
    .await
}

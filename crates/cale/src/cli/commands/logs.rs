//! `logs`: the output of a container.

use super::container_path;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::format::time;
use crate::cli::link::Query;
use crate::cli::session::Demux;

static FLAGS: &[Flag] = &[
    Flag::switch("details", "Show the attributes that the log driver keeps"),
    Flag::switch("follow", "Go on showing what is written").short('f'),
    Flag::text(
        "since",
        "Show what was written since then (2013-01-02T13:23:37Z, or 42m for relative)",
    ),
    Flag::text("tail", "Show only this many of the last lines").short('n').default("all"),
    Flag::switch("timestamps", "Show when each line was written").short('t'),
    Flag::text("until", "Show what was written before then (2013-01-02T13:23:37Z, or 42m)"),
];

command! {
    /// Show the output of a container.
    pub static LOGS = {
        usage: "[OPTIONS] CONTAINER",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let name = &m.args()[0];
            let link = cx.link()?;
            let now = jiff::Timestamp::now();
            let when = |flag: &str| {
                time::api_timestamp(m.text(flag), now)
                    .map_err(|e| CliError::invalid(format!("invalid value for {flag:?}: {e}")))
            };
            let query = Query::new()
                .flag("stdout", true)
                .flag("stderr", true)
                .set_some("since", &when("since")?)
                .set_some("until", &when("until")?)
                .flag("timestamps", m.on("timestamps"))
                .flag("follow", m.on("follow"))
                .flag("details", m.on("details"))
                .set_some("tail", m.text("tail"));
            let path = container_path(name, "/logs");
            let reply = link.open(http::Method::GET, &path, &query, Default::default());
            let mut reply = reply.await?;
            let plain = match reply.header("content-type") {
                "application/vnd.docker.multiplexed-stream" => false,
                // Before 1.42 both forms had the same type: only the container tells.
                _ if link.is_before(42) => {
                    let info = link.get(&container_path(name, "/json"), &Query::new()).await?;
                    info["Config"]["Tty"].as_bool().unwrap_or(false)
                }
                _ => true,
            };
            let mut demux = Demux::new(plain);
            while let Some(chunk) = reply.chunk().await? {
                demux.write(&chunk)?;
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

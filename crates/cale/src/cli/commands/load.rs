//! `load`: images from a tar archive.

use super::push::platform_json;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Flag, command};
use crate::cli::link::{Extra, Query};
use crate::cli::{progress, session, upload};

static FLAGS: &[Flag] = &[
    Flag::text("input", "Read this file instead of stdin").short('i'),
    Flag::text("platform", "Load only this platform, such as linux/amd64"),
    Flag::switch("quiet", "Don't show progress").short('q'),
];

command! {
    /// Load images from a tar archive.
    pub static LOAD = {
        usage: "[OPTIONS]",
        flags: &[FLAGS],
        run: |cx, m| Box::pin(async move {
            let input = m.text("input");
            if input.is_empty() && session::is_terminal(std::io::stdin()) {
                return Err(CliError::invalid("requested load from stdin, but stdin is empty"));
            }
            let body = if input.is_empty() { upload::stdin() } else { upload::file(input)? };
            let quiet = m.on("quiet") || !session::is_terminal(std::io::stdout());
            let mut query = Query::new().set("quiet", if quiet { "1" } else { "0" });
            if let Some(platform) = m.typed("platform") {
                query = query.set("platform", platform_json(platform)?);
            }
            let extra = Extra { body: Some(("application/x-tar", body)), ..Extra::default() };
            let reply = cx.link()?.open(http::Method::POST, "/images/load", &query, extra).await?;
            progress::show(reply, &mut std::io::stdout(), |_| {}).await?;
            Ok(Exit::SUCCESS)
        }),
    }
}

//! `rm`: remove containers.

use super::{container_path, each};
use crate::cli::error::CliError;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[
    Flag::switch("force", "Kill the container if it runs").short('f'),
    Flag::switch("link", "Remove only the named link").short('l'),
    Flag::switch("volumes", "Remove its anonymous volumes too").short('v'),
];

command! {
    /// Remove one or more containers.
    pub static RM = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            let force = m.on("force");
            let query = &Query::new()
                .flag("force", force)
                .flag("link", m.on("link"))
                .flag("v", m.on("volumes"));
            each(m.args(), async |name| {
                if name.trim_matches('/').is_empty() {
                    return Err(CliError::invalid("container name cannot be empty"));
                }
                match link.delete(&container_path(name, ""), query).await {
                    Ok(_) => Ok(Some(name.to_owned())),
                    // Forcing means that it is gone afterwards, and it is.
                    Err(e) if force && e.is_not_found() => {
                        eprintln!("{}", e.text("", "", false));
                        Ok(None)
                    }
                    Err(e) => Err(e),
                }
            }).await
        }),
    }
}

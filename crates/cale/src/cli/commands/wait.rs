//! `wait`: block until containers end.

use super::{container_path, each};
use crate::cli::error::CliError;
use crate::cli::flags::{Arity, command};
use crate::cli::link::Query;

command! {
    /// Wait until one or more containers end, then print their exit codes.
    pub static WAIT = {
        usage: "CONTAINER [CONTAINER...]",
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let link = cx.link()?;
            each(m.args(), async |name| {
                let ended = link.post(&container_path(name, "/wait"), &Query::new(), None).await?;
                if let Some(message) = ended["Error"]["Message"].as_str().filter(|m| !m.is_empty()) {
                    return Err(CliError::invalid(message));
                }
                Ok(Some(ended["StatusCode"].as_i64().unwrap_or(0).to_string()))
            }).await
        }),
    }
}

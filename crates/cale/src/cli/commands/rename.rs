//! `rename`: give a container another name.

use super::container_path;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};
use crate::cli::link::Query;

command! {
    /// Give a container another name.
    pub static RENAME = {
        usage: "CONTAINER NEW_NAME",
        arity: Arity::Exactly(2),
        run: |cx, m| Box::pin(async move {
            let [old, new] = m.args() else { return Ok(Exit::FAILURE) };
            if old.trim().is_empty() || new.trim().is_empty() {
                return Err(CliError::invalid("Error: Neither old nor new names may be empty"));
            }
            let query = Query::new().set("name", new);
            cx.link()?.post(&container_path(old, "/rename"), &query, None).await?;
            Ok(Exit::SUCCESS)
        }),
    }
}

//! `diff`: what changed in a container's filesystem.

use super::container_path;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};
use crate::cli::link::Query;

command! {
    /// Show what changed in a container's filesystem since it was created.
    pub static DIFF = {
        usage: "CONTAINER",
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let name = &m.args()[0];
            if name.is_empty() {
                return Err(CliError::invalid("Container name cannot be empty"));
            }
            let changes = cx.link()?.get(&container_path(name, "/changes"), &Query::new()).await?;
            for change in changes.as_array().into_iter().flatten() {
                let kind = match change["Kind"].as_i64() {
                    Some(0) => 'C',
                    Some(1) => 'A',
                    _ => 'D',
                };
                outln!("{kind} {}", change["Path"].as_str().unwrap_or(""))?;
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

//! `top`: the processes of a container.

use serde_json::Value as Json;

use super::container_path;
use crate::cli::error::out;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};
use crate::cli::format::columns;
use crate::cli::link::Query;

command! {
    /// Show the processes of a container.
    pub static TOP = {
        usage: "CONTAINER [ps OPTIONS]",
        arity: Arity::AtLeast(1),
        interspersed: false,
        run: |cx, m| Box::pin(async move {
            let query = Query::new().set_some("ps_args", &m.args()[1..].join(" "));
            let top = cx.link()?.get(&container_path(&m.args()[0], "/top"), &query).await?;
            let line = |row: &Json| {
                let cells = row.as_array().map(Vec::as_slice).unwrap_or_default();
                let cells: Vec<&str> = cells.iter().map(|c| c.as_str().unwrap_or("")).collect();
                cells.join("\t") + "\n"
            };
            let mut text = line(&top["Titles"]);
            for row in top["Processes"].as_array().into_iter().flatten() {
                text.push_str(&line(row));
            }
            out!("{}", columns::align_with(&text, 20, 3))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

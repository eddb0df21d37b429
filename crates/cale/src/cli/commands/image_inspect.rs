//! `image inspect`: everything about images.

use super::inspect::{self, FORMAT, print};
use super::push::platform_json;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::{Query, query};

static FLAGS: &[Flag] = &[Flag::text("platform", "Platform of the image, such as linux/amd64")];

command! {
    /// Show everything about one or more images.
    pub static INSPECT = {
        usage: "[OPTIONS] IMAGE [IMAGE...]",
        flags: &[FORMAT, FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let Some(platform) = m.typed("platform") else {
                return inspect::inspect(cx, m, &inspect::ALL[1..2], false).await;
            };
            let query = Query::new().set("platform", platform_json(platform)?);
            let (mut found, mut failures) = (Vec::new(), Vec::new());
            for name in m.args() {
                let path = format!("/images/{}/json", query::segment(name));
                match cx.link()?.get_text(&path, &query).await {
                    Ok(text) => found.push(text),
                    Err(error) => failures.push(error.text("", "", false)),
                }
            }
            print(&found, m.text("format"))?;
            if failures.is_empty() { Ok(Exit::SUCCESS) } else { Err(CliError::Many(failures)) }
        }),
    }
}

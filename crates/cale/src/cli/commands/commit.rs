//! `commit`: an image from a container.

use serde_json::json;

use crate::cli::error::outln;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::{Extra, Query};

static FLAGS: &[Flag] = &[
    Flag::text("author", "Who made it, such as \"Name <mail@example.com>\"").short('a'),
    Flag::list("change", "Apply a Dockerfile instruction to the image").short('c'),
    Flag::text("message", "Note about the change").short('m'),
    Flag::switch("pause", "Freeze the container meanwhile").short('p').default("true"),
];

command! {
    /// Make an image from what changed in a container.
    pub static COMMIT = {
        usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        flags: &[FLAGS],
        arity: Arity::Between(1, 2),
        run: |cx, m| Box::pin(async move {
            let (repo, tag) = super::images::split_reference(m.arg(1).unwrap_or(""));
            let mut query = Query::new()
                .set("container", &m.args()[0])
                .set_some("repo", repo)
                .set_some("tag", tag)
                .set_some("author", m.text("author"))
                .set_some("comment", m.text("message"));
            for change in m.list("change") {
                query = query.set("changes", change);
            }
            if !m.on("pause") {
                query = query.set("pause", "0");
            }
            let extra = Extra::json(&json!({}));
            let reply = cx.link()?.open(http::Method::POST, "/commit", &query, extra).await?;
            outln!("{}", reply.json().await?["Id"].as_str().unwrap_or(""))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

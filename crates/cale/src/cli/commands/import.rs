//! `import`: an image from a filesystem archive.

use super::images::split_reference;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::{Extra, Query};
use crate::cli::{progress, upload};

static FLAGS: &[Flag] = &[
    Flag::list("change", "Apply a Dockerfile instruction to the image").short('c'),
    Flag::text("message", "Note about the image").short('m'),
    Flag::text("platform", "Platform of the image, such as linux/amd64"),
];

command! {
    /// Make an image from a tar archive of a filesystem.
    pub static IMPORT = {
        usage: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            let source = m.args()[0].as_str();
            let remote = source.starts_with("http://") || source.starts_with("https://");
            let (repo, tag) = split_reference(m.arg(1).unwrap_or(""));
            if !repo.is_empty() {
                super::pull::parse(m.arg(1).unwrap_or(""))?;
            }
            let mut query = Query::new()
                .set("fromSrc", if remote { source } else { "-" })
                .set_some("repo", repo)
                .set_some("tag", tag)
                .set_some("message", m.text("message"))
                .set_some("platform", m.text("platform"));
            for change in m.list("change") {
                query = query.set("changes", change);
            }
            let body = match source {
                _ if remote => None,
                "-" => Some(upload::stdin()),
                path => Some(upload::file(path)?),
            };
            let body = body.map(|body| ("text/plain", body));
            let extra = Extra { body, ..Extra::default() };
            let reply = cx.link()?.open(http::Method::POST, "/images/create", &query, extra).await?;
            progress::show(reply, &mut std::io::stdout(), |_| {}).await?;
            Ok(Exit::SUCCESS)
        }),
    }
}

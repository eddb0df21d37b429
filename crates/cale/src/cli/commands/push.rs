//! `push`: send an image to a registry.

use serde_json::json;

use super::pull::{self, auth_header, parse};
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, command};
use crate::cli::link::{Extra, Query, query};
use crate::cli::progress;

command! {
    /// Send an image to a registry.
    pub static PUSH = {
        usage: "[OPTIONS] NAME[:TAG]",
        flags: &[pull::FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let image = &m.args()[0];
            let reference = parse(image)?;
            let all_tags = m.on("all-tags");
            if all_tags && reference.tag().is_some() {
                return Err(CliError::invalid("tag can't be used with --all-tags/-a"));
            }
            let tag = match (all_tags, reference.tag()) {
                (true, _) => "",
                (false, Some(tag)) => tag,
                (false, None) => {
                    if !m.on("quiet") {
                        outln!("Using default tag: latest")?;
                    }
                    "latest"
                }
            };
            let mut query = Query::new().set_some("tag", tag);
            if let Some(platform) = m.typed("platform") {
                query = query.set("platform", platform_json(platform)?);
            }
            // The engine insists on the header, even if it says nothing.
            let auth = match auth_header(cx, &reference)?.as_str() {
                "" => data_encoding::BASE64URL.encode(b"{}"),
                found => found.to_owned(),
            };
            let extra = Extra::default().header("x-registry-auth", auth);
            let path = format!("/images/{}/push", query::segment(&reference.familiar_repository()));
            let reply = cx.link()?.open(http::Method::POST, &path, &query, extra).await?;
            if m.on("quiet") {
                progress::swallow(reply, |_| {}).await?;
                outln!("{}", if all_tags { reference } else { reference.or_latest() })?;
            } else {
                progress::show(reply, &mut std::io::stdout(), |_| {}).await?;
            }
            Ok(Exit::SUCCESS)
        }),
    }
}

/// A platform in the form that newer endpoints take.
///
/// # Errors
/// If it has not two or three parts.
pub fn platform_json(text: &str) -> Result<String, CliError> {
    let parts: Vec<&str> = text.split('/').collect();
    let document = match parts.as_slice() {
        [os, architecture] => json!({"os": os, "architecture": architecture}),
        [os, architecture, variant] => {
            json!({"os": os, "architecture": architecture, "variant": variant})
        }
        _ => {
            return Err(CliError::invalid(format!(
                "invalid platform: {text:?}: must be OS/ARCH[/VARIANT]"
            )));
        }
    };
    Ok(document.to_string())
}

//! `create`: make a container without starting it.

use std::io::Write;

use serde_json::Value as Json;

use super::pull;
use crate::cli::container::body::{self, Attached};
use crate::cli::container::options;
use crate::cli::context::Cx;
use crate::cli::env_vars;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Matches, command};
use crate::cli::link::{Extra, Query};

command! {
    /// Make a container without starting it.
    pub static CREATE = {
        usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        flags: &[options::CONTAINER],
        arity: Arity::AtLeast(1),
        interspersed: false,
        launches: true,
        run: |cx, m| Box::pin(async move {
            let attached = Attached::read(m, false)?;
            let id = create(cx, m, attached).await?;
            outln!("{id}")?;
            Ok(Exit::SUCCESS)
        }),
    }
}

/// Makes the container that the flags describe, pulling its image if needed; gives its ID.
///
/// # Errors
/// Wrong flags, or the engine's refusal.
pub async fn create(cx: &Cx, m: &Matches, attached: Attached) -> Result<String, CliError> {
    let policy = m.text("pull");
    if !matches!(policy, "always" | "missing" | "never" | "") {
        return Err(CliError::invalid(format!(
            "invalid pull option: '{policy}': must be one of \"always\", \"missing\" or \"never\""
        )));
    }
    let image = &m.args()[0];
    let link = cx.link()?;
    let proxies = cx.config()?.proxies(&link.endpoint().host);
    let body = body::build(m, image, &m.args()[1..], attached, &proxies)?;
    let cidfile = CidFile::open(m.text("cidfile"))?;
    let platform = match m.typed("platform") {
        Some(platform) => platform.to_owned(),
        None => env_vars::value(env_vars::DOCKER_DEFAULT_PLATFORM).unwrap_or_default(),
    };
    let query = Query::new().set_some("name", m.text("name")).set_some("platform", &platform);
    if policy == "always" {
        pull_image(cx, m, image, &platform).await?;
    }
    let created = match post(cx, &query, &body).await {
        Err(e) if e.is_not_found() && is_missing_image(&e) && matches!(policy, "missing" | "") => {
            if !m.on("quiet") {
                eprintln!("Unable to find image '{}' locally", pull::familiar(image));
            }
            pull_image(cx, m, image, &platform).await?;
            post(cx, &query, &body).await?
        }
        result => result?,
    };
    for warning in created["Warnings"].as_array().into_iter().flatten() {
        eprintln!("WARNING: {}", warning.as_str().unwrap_or(""));
    }
    let id = created["Id"].as_str().unwrap_or("").to_owned();
    cidfile.write(&id)?;
    Ok(id)
}

async fn post(cx: &Cx, query: &Query, body: &Json) -> Result<Json, CliError> {
    let link = cx.link()?;
    link.open(http::Method::POST, "/containers/create", query, Extra::json(body))
        .await?
        .json()
        .await
}

/// A 404 of `create` may also be about a network or another container.
fn is_missing_image(error: &CliError) -> bool {
    matches!(error, CliError::Daemon { message, .. } if message.to_lowercase().contains("no such image"))
}

/// Pulls, with progress on standard error: standard output is for the container.
async fn pull_image(cx: &Cx, m: &Matches, image: &str, platform: &str) -> Result<(), CliError> {
    let request = pull::Request { image, platform, all_tags: false, quiet: m.on("quiet") };
    pull::fetch(cx, &request, &mut std::io::stderr()).await
}

/// The file of `--cidfile`: must be new, and is removed if no container was made.
struct CidFile {
    path: String,
    file: Option<std::fs::File>,
    written: std::cell::Cell<bool>,
}

impl CidFile {
    fn open(path: &str) -> Result<Self, CliError> {
        let written = std::cell::Cell::new(false);
        if path.is_empty() {
            return Ok(CidFile { path: String::new(), file: None, written });
        }
        let file = std::fs::File::create_new(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => CliError::invalid(format!(
                "container ID file found, make sure the other container isn't running or delete {path}"
            )),
            _ => CliError::invalid(format!("failed to create the container ID file: {e}")),
        })?;
        Ok(CidFile { path: path.to_owned(), file: Some(file), written })
    }

    fn write(&self, id: &str) -> Result<(), CliError> {
        if let Some(mut file) = self.file.as_ref() {
            file.write_all(id.as_bytes())
                .map_err(|e| CliError::file(format!("write {}", self.path), e))?;
            self.written.set(true);
        }
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if self.file.is_some() && !self.written.get() {
            // An empty file would stop the next try.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

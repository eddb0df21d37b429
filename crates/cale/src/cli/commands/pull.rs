//! `pull`: get an image from a registry.

use model::reference::Reference;

use crate::cli::config::credentials;
use crate::cli::context::Cx;
use crate::cli::env_vars;
use crate::cli::error::{CliError, outln};
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, command};
use crate::cli::link::{Extra, Query};
use crate::cli::progress::{self, Screen};

/// Flags that `pull` and `push` share.
pub static FLAGS: &[Flag] = &[
    Flag::switch("all-tags", "All tagged images of the repository").short('a'),
    Flag::switch("disable-content-trust", "Accepted for compatibility").default("true").hidden(),
    Flag::text("platform", "Platform of the image, such as linux/amd64"),
    Flag::switch("quiet", "Say only the name at the end").short('q'),
];

command! {
    /// Get an image from a registry.
    pub static PULL = {
        usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
        flags: &[FLAGS],
        arity: Arity::Exactly(1),
        run: |cx, m| Box::pin(async move {
            let image = &m.args()[0];
            let platform = match m.typed("platform") {
                Some(platform) => platform.to_owned(),
                None => env_vars::value(env_vars::DOCKER_DEFAULT_PLATFORM).unwrap_or_default(),
            };
            let all_tags = m.on("all-tags");
            let reference = parse(image)?;
            if all_tags && (reference.tag().is_some() || reference.digest().is_some()) {
                return Err(CliError::invalid("tag can't be used with --all-tags/-a"));
            }
            if !all_tags && reference.tag().is_none() && reference.digest().is_none() && !m.on("quiet") {
                outln!("Using default tag: latest")?;
            }
            let request = Request { image, platform: &platform, all_tags, quiet: m.on("quiet") };
            fetch(cx, &request, &mut std::io::stdout()).await?;
            outln!("{}", full(&reference, all_tags))?;
            Ok(Exit::SUCCESS)
        }),
    }
}

fn full(reference: &Reference, all_tags: bool) -> String {
    if all_tags { reference.to_string() } else { reference.clone().or_latest().to_string() }
}

/// Reads a name typed by a user.
///
/// # Errors
/// Docker's word for a name that isn't one.
pub fn parse(image: &str) -> Result<Reference, CliError> {
    image.parse().map_err(|e: model::reference::ReferenceError| CliError::invalid(e.to_string()))
}

/// The name as users write it, with its tag.
pub fn familiar(image: &str) -> String {
    image.parse::<Reference>().map_or_else(|_| image.to_owned(), |r| r.or_latest().familiar())
}

/// Credentials for the registry of a reference, as a header.
///
/// # Errors
/// If the configuration or a credential helper fails.
pub fn auth_header(cx: &Cx, reference: &Reference) -> Result<String, CliError> {
    let server = credentials::server_key(reference.domain());
    let found = credentials::lookup(cx.config()?, &server)?;
    Ok(if found.is_empty() { String::new() } else { found.header() })
}

/// What to pull.
pub struct Request<'a> {
    /// Name as typed.
    pub image: &'a str,
    /// Platform, or empty.
    pub platform: &'a str,
    /// Whether all tags are meant.
    pub all_tags: bool,
    /// Whether progress is hidden.
    pub quiet: bool,
}

/// Pulls, showing progress on `screen`.
///
/// # Errors
/// A wrong name, or the engine's or the registry's refusal.
pub async fn fetch(
    cx: &Cx,
    request: &Request<'_>,
    screen: &mut dyn Screen,
) -> Result<(), CliError> {
    let reference = parse(request.image)?;
    let tag = match (request.all_tags, reference.digest(), reference.tag()) {
        (true, ..) => String::new(),
        (false, Some(digest), _) => digest.to_string(),
        (false, None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    let query = Query::new()
        .set("fromImage", reference.familiar_repository())
        .set_some("tag", &tag)
        .set_some("platform", request.platform);
    let extra = Extra::default().header("x-registry-auth", auth_header(cx, &reference)?);
    let reply = cx.link()?.open(http::Method::POST, "/images/create", &query, extra).await?;
    if request.quiet {
        progress::swallow(reply, |_| {}).await.map(drop)
    } else {
        progress::show(reply, screen, |_| {}).await
    }
}

//! Lists: repositories, tags, a tag's past, referrers. All in pages.

use http::{Response, header};
use model::{Digest, image::media_type};
use serde_json::json;

use super::Call;
use crate::server::{
    answer::{self, Body, FILTERS},
    config::Action,
    refusal::{Code, Refusal},
    route::{Name, Tag},
};

/// Entries of the longest page: what bounds an answer's memory (CVE-2023-2253).
const PAGE_MAX: usize = 1000;
const PAGE: usize = 100;

/// The page's size that was asked for. Of tags the longest page comes if more are asked for, as the
/// specification allows; of repositories that is refused, as Docker's registry does.
fn page_size(call: &Call, default: usize) -> Result<usize, Refusal> {
    match call.parameter("n") {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| bad_page(&text)),
    }
}

fn bad_page(text: &str) -> Refusal {
    Refusal::new(Code::PageInvalid, "invalid number of results requested")
        .with_detail(json!({"n": text}))
}

fn link(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        query.append_pair(name, value);
    }
    format!("<{path}?{}>; rel=\"next\"", query.finish())
}

/// Docker's `_catalog`: the repositories that the caller may read.
pub(super) async fn catalog(call: Call) -> Result<Response<Body>, Refusal> {
    let size = page_size(&call, PAGE)?;
    if size > PAGE_MAX {
        return Err(bad_page(&size.to_string()));
    }
    let last = call.parameter("last").unwrap_or_default();
    let storage = call.state.storage.clone();
    let mut names = answer::blocking(move || storage.repositories()).await?;
    names.retain(|name| {
        name.as_str() > last.as_str() && call.caller.may(&call.state, name, Action::Pull)
    });
    let more = names.len() > size && size > 0;
    names.truncate(size);
    let shown: Vec<&str> = names.iter().map(Name::as_str).collect();
    let body = json!({"repositories": shown});
    let mut builder = answer::json("application/json", &body);
    if let (true, Some(last)) = (more, shown.last()) {
        let next = link("/v2/_catalog", &[("n", &size.to_string()), ("last", last)]);
        builder = builder.header(header::LINK, next);
    }
    answer::with(builder, body.to_string())
}

/// end-8a, end-8b.
pub(super) async fn tags(call: Call, name: Name) -> Result<Response<Body>, Refusal> {
    let size = page_size(&call, PAGE_MAX)?.min(PAGE_MAX);
    let last = call.parameter("last").unwrap_or_default();
    let (storage, repository) = (call.state.storage.clone(), name.clone());
    let mut tags = answer::blocking(move || storage.tags(&repository, &last)).await?;
    let more = tags.len() > size && size > 0;
    tags.truncate(size);
    let shown: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    let body = json!({"name": name.as_str(), "tags": shown});
    let mut builder = answer::json("application/json", &body);
    if let (true, Some(last)) = (more, shown.last()) {
        let path = format!("/v2/{name}/tags/list");
        let next = link(&path, &[("n", &size.to_string()), ("last", last)]);
        builder = builder.header(header::LINK, next);
    }
    answer::with(builder, body.to_string())
}

/// What the tag stands for and stood for, newest first.
pub(super) async fn history(call: Call, name: Name, tag: Tag) -> Result<Response<Body>, Refusal> {
    let (storage, repository, wanted) = (call.state.storage.clone(), name.clone(), tag.clone());
    let history = answer::blocking(move || storage.history(&repository, &wanted)).await?;
    let shown: Vec<_> = history
        .iter()
        .map(|was| json!({"digest": was.digest.to_string(), "since_ms": was.since_ms}))
        .collect();
    let body = json!({"name": name.as_str(), "tag": tag.as_str(), "history": shown});
    answer::with(answer::json("application/json", &body), body.to_string())
}

/// end-12a, end-12b. What nothing refers to has an empty list, also where it doesn't exist.
pub(super) async fn referrers(
    call: Call,
    name: Name,
    subject: Digest,
) -> Result<Response<Body>, Refusal> {
    let kind = call.parameter("artifactType").filter(|kind| !kind.is_empty());
    let last = call.parameter("last").unwrap_or_default();
    let (storage, repository, wanted) = (call.state.storage.clone(), name.clone(), subject.clone());
    let mut found = answer::blocking(move || storage.referrers(&repository, &wanted)).await?;
    found.retain(|shown| kind.is_none() || shown.artifact_type == kind);
    found.retain(|shown| last.is_empty() || shown.digest.to_string() > last);
    let more = found.len() > PAGE_MAX;
    found.truncate(PAGE_MAX);
    let next = found.last().filter(|_| more).map(|shown| shown.digest.to_string());
    let body = json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": found,
    });
    let mut builder = answer::json(media_type::OCI_INDEX, &body);
    if let Some(last) = next {
        let path = format!("/v2/{name}/referrers/{subject}");
        let mut parameters = vec![("last", last.as_str())];
        parameters.extend(kind.as_deref().map(|kind| ("artifactType", kind)));
        builder = builder.header(header::LINK, link(&path, &parameters));
    }
    if kind.is_some() {
        builder = builder.header(FILTERS, "artifactType");
    }
    answer::with(builder, body.to_string())
}

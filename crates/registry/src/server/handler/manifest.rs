//! Manifests: put, fetch, delete; tags with them.

use http::{Response, StatusCode, header};
use model::{Digest, digest::Algorithm};

use super::{Call, created, within_quota};
use crate::server::{
    answer::{self, Body, CONTENT_DIGEST, SUBJECT},
    notify::Happening,
    refusal::{Code, Refusal},
    route::{ManifestReference, Name},
    storage::{NewManifest, Parts, StoredManifest},
};

/// end-7.
pub(super) async fn put(
    mut call: Call,
    name: Name,
    reference: ManifestReference,
) -> Result<Response<Body>, Refusal> {
    let (idle, max) = (call.idle(), call.state.config.manifest_max);
    let bytes = answer::whole(call.request.body_mut(), max, idle).await?;
    let content_type = call
        .header(header::CONTENT_TYPE)
        .map(|text| text.split(';').next().unwrap_or(text).trim().to_owned());
    let digest = match &reference {
        ManifestReference::Digest(wanted) => verified(wanted, &bytes)?,
        ManifestReference::Tag(_) => Digest::sha256(&bytes),
        ManifestReference::Earlier(..) => {
            return Err(Refusal::new(Code::TagInvalid, "a tag's past can't be written"));
        }
    };
    within_quota(&call.state, &name, bytes.len() as u64).await?;
    let new = NewManifest::read(digest.clone(), content_type.as_deref(), bytes)?;
    let happening = Happening::pushed_manifest(&name, &new, &reference);
    let subject = new.subject.as_ref().map(|(subject, _)| subject.to_string());
    let (storage, keep) = (call.state.storage.clone(), call.state.config.tag_history);
    let repository = name.clone();
    let (stored, tag) = (digest.clone(), reference.clone());
    answer::blocking(move || {
        storage.manifest_put(&repository, &new, Parts::Required)?;
        match tag {
            ManifestReference::Tag(tag) => storage.tag_set(&repository, &tag, &stored, keep),
            _ => Ok(()),
        }
    })
    .await?;
    call.state.tell(&call.caller, happening);
    let mut builder = created(format!("/v2/{name}/manifests/{reference}"))
        .header(CONTENT_DIGEST, digest.to_string());
    if let Some(subject) = subject {
        builder = builder.header(SUBJECT, subject);
    }
    answer::done(builder)
}

fn verified(wanted: &Digest, bytes: &[u8]) -> Result<Digest, Refusal> {
    let found = match wanted.algorithm() {
        Algorithm::Sha256 => Digest::sha256(bytes),
        Algorithm::Sha512 => Digest::sha512(bytes),
    };
    if &found == wanted {
        return Ok(found);
    }
    Err(Refusal::new(Code::DigestInvalid, "provided digest did not match uploaded content")
        .with_detail(serde_json::json!({"wanted": wanted.to_string(), "found": found.to_string()})))
}

/// end-3.
pub(super) async fn fetch(
    call: Call,
    name: Name,
    reference: ManifestReference,
) -> Result<Response<Body>, Refusal> {
    // What an upstream has newer comes first; that it can't be asked is no reason to refuse.
    call.state.upstreams.manifest(&call.state, &name, &reference).await?;
    let (storage, repository, wanted) =
        (call.state.storage.clone(), name.clone(), reference.clone());
    let stored = answer::blocking(move || {
        let digest = match &wanted {
            ManifestReference::Digest(digest) => digest.clone(),
            ManifestReference::Tag(tag) => storage.tag_digest(&repository, tag, 0)?,
            ManifestReference::Earlier(tag, back) => storage.tag_digest(&repository, tag, *back)?,
        };
        storage.manifest(&repository, &digest)
    })
    .await?;
    let StoredManifest { digest, media_type, bytes } = stored;
    let etag = format!("\"{digest}\"");
    if call.header(header::IF_NONE_MATCH) == Some(&etag) {
        return answer::done(Response::builder().status(StatusCode::NOT_MODIFIED));
    }
    let builder = Response::builder()
        .header(header::CONTENT_TYPE, media_type)
        .header(header::CONTENT_LENGTH, bytes.len())
        .header(header::ETAG, etag)
        .header(CONTENT_DIGEST, digest.to_string());
    if call.request.method() == http::Method::HEAD {
        return answer::done(builder);
    }
    call.state.tell(&call.caller, Happening::pulled(&name, &digest, &reference));
    answer::with(builder, bytes)
}

/// end-9.
pub(super) async fn delete(
    call: Call,
    name: Name,
    reference: ManifestReference,
) -> Result<Response<Body>, Refusal> {
    let (storage, repository) = (call.state.storage.clone(), name.clone());
    let happening = match reference {
        ManifestReference::Digest(digest) => {
            let gone = digest.clone();
            answer::blocking(move || storage.manifest_delete(&repository, &gone)).await?;
            Happening::deleted(&name, Some(digest), None)
        }
        ManifestReference::Tag(tag) => {
            let gone = tag.clone();
            answer::blocking(move || storage.tag_delete(&repository, &gone)).await?;
            Happening::deleted(&name, None, Some(tag))
        }
        ManifestReference::Earlier(..) => {
            return Err(Refusal::new(Code::TagInvalid, "a tag's past can't be deleted"));
        }
    };
    call.state.tell(&call.caller, happening);
    answer::done(answer::empty(StatusCode::ACCEPTED))
}

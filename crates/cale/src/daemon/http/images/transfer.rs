//! Images coming and going: pull, push, import, load, save.

use std::sync::Arc;

use engine::image::{ImportRequest, PullRequest, PushRequest};
use http::StatusCode;
use model::{Digest, Reference};

use super::{
    super::{call::Call, error::ApiError, progress, reply, routes::Answer},
    changes, optional_reference, platform, registry_auth,
};

/// `POST /images/create`: pull or import.
pub async fn create(call: Call) -> Answer {
    match call.query.some("fromImage") {
        Some(_) => pull(call).await,
        None => import(call).await,
    }
}

/// The reference of `fromImage` and `tag`; the tag may be a digest. Without either, every tag.
fn pull_reference(name: &str, tag: &str) -> Result<(Reference, bool), ApiError> {
    let reference: Reference = name.strip_suffix(':').unwrap_or(name).parse()?;
    let reference = match tag {
        "" => reference,
        tag => match tag.parse::<Digest>() {
            Ok(digest) => reference.with_digest(digest),
            Err(_) => reference.with_tag(tag)?,
        },
    };
    let all = reference.tag().is_none() && reference.digest().is_none();
    Ok((reference, all))
}

async fn pull(call: Call) -> Answer {
    let (reference, all_tags) =
        pull_reference(call.query.text("fromImage"), call.query.text("tag"))?;
    let request = PullRequest {
        reference,
        all_tags,
        platform: platform(call.query.text("platform"))?,
        auth: registry_auth(&call),
    };
    let engine = Arc::clone(call.engine());
    let work = move |sink| async move { engine.images().pull(request, sink).await };
    progress::run(call.version, work, |_| Vec::new()).await
}

async fn import(call: Call) -> Answer {
    let source = call.query.text("fromSrc").to_owned();
    if source != "-" {
        return Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "importing from a URL is not supported by this engine: download it and import the file",
        ));
    }
    let comment = match call.query.text("message") {
        "" => format!("Imported from {source}"),
        text => text.to_owned(),
    };
    let request = ImportRequest {
        reference: optional_reference(call.query.text("repo"), call.query.text("tag"))?,
        comment,
        changes: changes(&call.query),
        platform: platform(call.query.text("platform"))?,
    };
    let engine = Arc::clone(call.engine());
    let version = call.version;
    let archive = call.into_reader();
    let work = move |sink| async move { engine.images().import(archive, request, sink).await };
    // The engine reports the id as its last line.
    progress::run(version, work, |_| Vec::new()).await
}

/// `POST /images/{name}/push`
pub async fn push(call: Call, name: &str) -> Answer {
    let tag = call.query.text("tag");
    let reference: Reference = name.parse()?;
    let reference = if tag.is_empty() { reference } else { reference.with_tag(tag)? };
    // Before 1.46 clients sent a platform without meaning it.
    let platform =
        if call.version.before(46) { None } else { platform(call.query.text("platform"))? };
    let request = PushRequest {
        all_tags: reference.tag().is_none() && reference.digest().is_none(),
        reference,
        platform,
        auth: registry_auth(&call),
    };
    let engine = Arc::clone(call.engine());
    let work = move |sink| async move { engine.images().push(request, sink).await };
    progress::run(call.version, work, |()| Vec::new()).await
}

/// `POST /images/load`
pub async fn load(call: Call) -> Answer {
    let platform = one_platform(&call)?;
    let engine = Arc::clone(call.engine());
    let version = call.version;
    let archive = call.into_reader();
    let work = move |sink| async move { engine.images().load(archive, platform, sink).await };
    progress::run(version, work, |_| Vec::new()).await
}

/// `GET /images/get` and `GET /images/{name}/get`
pub async fn save(call: Call, name: Option<&str>) -> Answer {
    let names: Vec<String> = match name {
        Some(name) => vec![name.to_owned()],
        None => call.query.all("names").map(str::to_owned).collect(),
    };
    let platform = one_platform(&call)?;
    let archive = call.engine().images().save(&names, platform).await?;
    Ok(reply::reader("application/x-tar", archive))
}

fn one_platform(call: &Call) -> Result<Option<model::image::Platform>, ApiError> {
    // Before 1.48 there was no such parameter.
    if call.version.before(48) {
        return Ok(None);
    }
    let mut given = call.query.all("platform").filter(|text| !text.is_empty());
    let first = given.next();
    if given.next().is_some() {
        return Err(ApiError::invalid("multiple platform parameters are not supported"));
    }
    first.map_or(Ok(None), platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pulls_name_a_tag_a_digest_or_all() {
        let read =
            |name: &str, tag: &str| pull_reference(name, tag).map(|(r, all)| (r.familiar(), all));
        assert_eq!(read("debian", "12").unwrap(), ("debian:12".to_owned(), false));
        assert_eq!(read("debian:12", "").unwrap(), ("debian:12".to_owned(), false));
        assert_eq!(read("debian:", "").unwrap(), ("debian".to_owned(), true));
        let digest = Digest::sha256(b"x").to_string();
        assert_eq!(read("debian", &digest).unwrap(), (format!("debian@{digest}"), false));
        assert!(read("Debian", "").is_err());
    }
}

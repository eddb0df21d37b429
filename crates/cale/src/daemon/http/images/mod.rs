//! `/images`

mod show;
mod transfer;

use engine::image::{RegistryAuth, RemoveRequest};
use http::StatusCode;
use model::{Reference, image::Platform};

use super::{call::Call, error::ApiError, query::Query, reply, routes::Answer, view};

/// The table of `/images/…`. Names have slashes, so they are whatever stands between.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("GET", ["json"]) => show::list(call).await,
        ("GET", ["search"]) => show::search(call).await,
        ("GET", ["get"]) => transfer::save(call, None).await,
        ("POST", ["create"]) => transfer::create(call).await,
        ("POST", ["load"]) => transfer::load(call).await,
        ("POST", ["prune"]) => prune(call).await,
        ("GET", [name @ .., "json"]) => show::inspect(call, &name.join("/")).await,
        ("GET", [name @ .., "history"]) => show::history(call, &name.join("/")).await,
        ("GET", [name @ .., "attestations"]) => show::attestations(call, &name.join("/")).await,
        ("GET", [name @ .., "get"]) => transfer::save(call, Some(&name.join("/"))).await,
        ("POST", [name @ .., "push"]) => transfer::push(call, &name.join("/")).await,
        ("POST", [name @ .., "tag"]) => tag(call, &name.join("/")).await,
        ("DELETE", name) => remove(call, &name.join("/")).await,
        _ => Err(ApiError::page_not_found()),
    }
}

/// `POST /images/{name}/tag`
async fn tag(call: Call, name: &str) -> Answer {
    let target =
        optional_reference(call.query.text("repo"), call.query.text("tag"))?.ok_or_else(|| {
            ApiError::invalid("refusing to create an ambiguous tag using digest algorithm as name")
        })?;
    call.engine().images().tag(name, &target).await?;
    Ok(reply::status(StatusCode::CREATED))
}

/// `DELETE /images/{name}`
async fn remove(call: Call, name: &str) -> Answer {
    if name.trim().is_empty() {
        return Err(ApiError::invalid("image name cannot be blank"));
    }
    let request =
        RemoveRequest { force: call.query.flag("force"), no_prune: call.query.flag("noprune") };
    let removed = call.engine().images().remove(name, request).await?;
    Ok(reply::ok(&removed.iter().map(view::image::removed).collect::<Vec<_>>()))
}

/// `POST /images/prune`
async fn prune(call: Call) -> Answer {
    let pruned = call.engine().images().prune(call.query.filters()?).await?;
    let deleted: Vec<_> = pruned.removed.iter().map(view::image::removed).collect();
    Ok(reply::ok(&api::wire::ImagesPruned {
        images_deleted: (!deleted.is_empty()).then_some(deleted),
        space_reclaimed: pruned.reclaimed,
    }))
}

/// `repo` and `tag` of a query; `None` without a repository.
pub fn optional_reference(repository: &str, tag: &str) -> Result<Option<Reference>, ApiError> {
    if repository.is_empty() {
        return Ok(None);
    }
    let reference: Reference = repository.parse()?;
    if reference.digest().is_some() {
        return Err(ApiError::invalid("cannot import digest reference"));
    }
    let reference = if tag.is_empty() { reference } else { reference.with_tag(tag)? };
    Ok(Some(reference.or_latest()))
}

/// Dockerfile instructions of `changes`, one a line.
pub fn changes(query: &Query) -> Vec<String> {
    query.all("changes").flat_map(str::lines).map(str::to_owned).collect()
}

/// A platform as JSON (from 1.49 on) or as `os/architecture/variant`.
pub fn platform(text: &str) -> Result<Option<Platform>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with('{') {
        return match serde_json::from_str(text) {
            Ok(platform) => Ok(Some(platform)),
            Err(error) => Err(ApiError::invalid(format!("failed to parse platform: {error}"))),
        };
    }
    let host = Platform::host();
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or_default();
    let (os, architecture) = match parts.next() {
        Some(architecture) => (first, architecture),
        None if first == "linux" => (first, host.architecture.as_str()),
        None => ("linux", first),
    };
    let variant = parts.next().map(str::to_owned);
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    if !word(os) || !word(architecture) || parts.next().is_some() {
        return Err(ApiError::invalid(format!(
            "{text:?} is an invalid OS component of {text:?}: OSAndVersion specifier component \
             must match \"^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.-]*)\\\\))?$\""
        )));
    }
    let (architecture, default_variant) = match architecture {
        "x86_64" | "x86-64" | "amd64" => ("amd64", None),
        "aarch64" | "arm64" => ("arm64", None),
        "i386" | "i686" | "386" => ("386", None),
        "armhf" => ("arm", Some("v7")),
        "armel" => ("arm", Some("v6")),
        other => (other, None),
    };
    Ok(Some(Platform {
        architecture: architecture.to_owned(),
        os: os.to_owned(),
        os_version: None,
        os_features: Vec::new(),
        variant: variant.or_else(|| default_variant.map(str::to_owned)),
    }))
}

/// Credentials in `X-Registry-Auth`: base64url of JSON. Nonsense is no credentials, as dockerd
/// takes it.
pub fn registry_auth(call: &Call) -> Option<RegistryAuth> {
    let text = call.header("x-registry-auth").trim_end_matches('=');
    if text.is_empty() {
        return None;
    }
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD, prelude::BASE64_URL_SAFE_NO_PAD};
    let bytes = BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .or_else(|_| BASE64_STANDARD_NO_PAD.decode(text))
        .ok()?;
    let config: api::wire::AuthConfig = api::go::from_slice(&bytes).ok()?;
    let auth = auth_of(config);
    let empty = auth.username.is_empty()
        && auth.identity_token.is_empty()
        && auth.registry_token.is_empty();
    (!empty).then_some(auth)
}

/// Credentials of a document; `auth` stands for user and password where they are missing.
pub fn auth_of(config: api::wire::AuthConfig) -> RegistryAuth {
    let api::wire::AuthConfig { mut username, mut password, auth, .. } = config;
    if username.is_empty() && !auth.is_empty() {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let decoded = BASE64_STANDARD.decode(&auth).ok().and_then(|b| String::from_utf8(b).ok());
        if let Some((user, secret)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            username = user.to_owned();
            password = secret.to_owned();
        }
    }
    RegistryAuth {
        username,
        password,
        identity_token: config.identitytoken,
        registry_token: config.registrytoken,
        server: config.serveraddress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_read_in_both_forms() {
        let text = |text: &str| platform(text).map(|p| p.map(|p| p.to_string()));
        assert_eq!(text("").unwrap(), None);
        assert_eq!(text("linux/arm64/v8").unwrap().as_deref(), Some("linux/arm64/v8"));
        assert_eq!(text("linux/x86_64").unwrap().as_deref(), Some("linux/amd64"));
        assert_eq!(text("armhf").unwrap().as_deref(), Some("linux/arm/v7"));
        let json = r#"{"os":"linux","architecture":"s390x"}"#;
        assert_eq!(text(json).unwrap().as_deref(), Some("linux/s390x"));
        for bad in ["{", "a/b/c/d", "/", "lin ux/amd64"] {
            assert!(text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_join_repositories() {
        let join =
            |repo: &str, tag: &str| optional_reference(repo, tag).map(|r| r.map(|r| r.familiar()));
        assert_eq!(join("", "x").unwrap(), None);
        assert_eq!(join("a/b", "").unwrap().as_deref(), Some("a/b:latest"));
        assert_eq!(join("a/b:old", "new").unwrap().as_deref(), Some("a/b:new"));
        assert_eq!(join("Upper", "").unwrap_err().status(), 400);
    }
}

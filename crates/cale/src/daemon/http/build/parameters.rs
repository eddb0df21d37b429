//! Query parameters of `POST /build`.

use std::collections::BTreeMap;

use build::{Request, request::RunLimits};
use engine::image::RegistryAuth;
use model::Reference;
use serde::de::DeserializeOwned;

use crate::daemon::http::{call::Call, error::ApiError, images};

/// What a build was asked, but for its files.
pub struct Parameters {
    /// The Dockerfile's place in the context.
    pub dockerfile: String,
    /// Where the context comes from; empty: the body.
    pub remote: String,
    /// Say only the id.
    pub quiet: bool,
    /// Names for the image.
    pub references: Vec<Reference>,
    /// Credentials by registry.
    pub auth: BTreeMap<String, RegistryAuth>,
    /// The rest, the Dockerfile's text missing.
    pub request: Request,
}

/// Reads them.
///
/// # Errors
/// What can't be read, and what this engine doesn't do.
pub fn read(call: &Call) -> Result<Parameters, ApiError> {
    let query = &call.query;
    refuse(call)?;
    let mut request = Request::new(String::new());
    let given: BTreeMap<String, Option<String>> = json(call, "buildargs")?;
    request.build_args = given.into_iter().filter_map(|(name, v)| Some((name, v?))).collect();
    request.labels = json(call, "labels")?;
    request.target = query.some("target").map(str::to_owned);
    request.no_cache = query.flag("nocache");
    request.pull = query.flag("pull");
    request.sequential = true;
    if let Some(platform) = images::platform(query.text("platform"))? {
        request.platform = platform;
    }
    request.limits = limits(call)?;
    // Docker's own door gives both to whoever may use the API at all.
    request.allow_host_network = true;
    let references = query
        .all("t")
        .filter(|text| !text.is_empty())
        .map(|text| {
            let reference = text
                .parse::<Reference>()
                .map_err(|error| ApiError::invalid(format!("invalid reference format: {error}")))?;
            match reference.digest() {
                Some(_) => Err(ApiError::invalid("build tag cannot contain a digest".to_owned())),
                None => Ok(reference.or_latest()),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Parameters {
        dockerfile: query.some("dockerfile").unwrap_or("").to_owned(),
        remote: query.text("remote").to_owned(),
        quiet: query.flag("q"),
        references,
        auth: auth(call),
        request,
    })
}

/// Parameters that would change the result and that nobody here fulfils.
fn refuse(call: &Call) -> Result<(), ApiError> {
    let query = &call.query;
    let no = |what: &str| {
        Err(ApiError::new(
            http::StatusCode::NOT_IMPLEMENTED,
            format!("{what} isn't supported by this engine's classic builder"),
        ))
    };
    match query.text("version") {
        "" | "1" => {}
        "2" => return no("version=2 (BuildKit by POST /build)"),
        other => return Err(ApiError::invalid(format!("invalid version {other}"))),
    }
    if query.flag("squash") {
        return no("squash");
    }
    if !matches!(query.text("outputs"), "" | "null" | "[]") {
        return no("outputs");
    }
    if !matches!(query.text("isolation"), "" | "default") {
        return Err(ApiError::invalid(format!(
            "Unsupported isolation: {:?}",
            query.text("isolation")
        )));
    }
    Ok(())
}

fn limits(call: &Call) -> Result<RunLimits, ApiError> {
    let query = &call.query;
    let number = |key: &str| Ok::<_, ApiError>(query.integer(key)?.filter(|n| *n != 0));
    let positive = |key: &str| match number(key)? {
        None => Ok(None),
        Some(n) => u64::try_from(n)
            .map(Some)
            .map_err(|_| ApiError::invalid(format!("{key} must not be negative"))),
    };
    let ulimits: Vec<api::wire::Ulimit> = json(call, "ulimits")?;
    let security: Vec<String> = json(call, "securityopt")?;
    Ok(RunLimits {
        network: query.text("networkmode").to_owned(),
        extra_hosts: extra_hosts(call)?,
        shm_size: positive("shmsize")?,
        memory: number("memory")?,
        memory_swap: number("memswap")?,
        cpu_shares: positive("cpushares")?,
        cpu_period: positive("cpuperiod")?,
        cpu_quota: number("cpuquota")?,
        cpuset_cpus: query.text("cpusetcpus").to_owned(),
        cpuset_mems: query.text("cpusetmems").to_owned(),
        cgroup_parent: query.text("cgroupparent").to_owned(),
        ulimits: ulimits.into_iter().map(|u| (u.name, u.soft, u.hard)).collect(),
        security_opt: security,
    })
}

/// A repeated parameter, or one with a JSON list, or (docker-py) with commas.
fn extra_hosts(call: &Call) -> Result<Vec<String>, ApiError> {
    let mut hosts = Vec::new();
    for text in call.query.all("extrahosts").filter(|text| !text.is_empty()) {
        match text.starts_with('[') {
            true => hosts.extend(parsed::<Vec<String>>("extrahosts", text)?),
            false => hosts.extend(text.split(',').map(str::to_owned)),
        }
    }
    Ok(hosts)
}

fn json<T: DeserializeOwned + Default>(call: &Call, key: &str) -> Result<T, ApiError> {
    match call.query.text(key) {
        "" | "null" => Ok(T::default()),
        text => parsed(key, text),
    }
}

fn parsed<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, ApiError> {
    api::go::from_slice(text.as_bytes())
        .map_err(|error| ApiError::invalid(format!("error reading {key}: {error}")))
}

/// `X-Registry-Config`: base64 of JSON, registry → credentials. Nonsense is no credentials.
fn auth(call: &Call) -> BTreeMap<String, RegistryAuth> {
    use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD, prelude::BASE64_URL_SAFE_NO_PAD};
    let text = call.header("x-registry-config").trim_end_matches('=');
    let bytes =
        BASE64_URL_SAFE_NO_PAD.decode(text).or_else(|_| BASE64_STANDARD_NO_PAD.decode(text));
    let Ok(bytes) = bytes else { return BTreeMap::new() };
    let all: BTreeMap<String, api::wire::AuthConfig> =
        api::go::from_slice(&bytes).unwrap_or_default();
    all.into_iter().map(|(host, config)| (registry_name(&host), images::auth_of(config))).collect()
}

/// The name in references for what credential files call a registry.
fn registry_name(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    match rest.split('/').next().unwrap_or(rest) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_have_one_name() {
        for (written, name) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("https://r.example/v2/", "r.example"),
        ] {
            assert_eq!(registry_name(written), name);
        }
    }
}

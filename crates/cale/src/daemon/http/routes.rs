//! From a path to the resource that answers it.
//!
//! Any path may begin with `/v1.NN`. Each resource has its own table, `route`, in its file.

use std::sync::Arc;

use api::Version;
use http::Request;
use hyper::body::Incoming;

use super::{
    App, build,
    call::Call,
    containers, distribution,
    error::ApiError,
    events, exec, images, networks, plugins,
    query::{self, Query},
    reply::Reply,
    swarm, system, volumes,
};

/// What a handler gives.
pub type Answer = Result<Reply, ApiError>;

/// Answers a request.
pub async fn dispatch(app: Arc<App>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let (version, path) = split_version(parts.uri.path())?;
    let segments = path
        .split('/')
        .skip(1)
        .map(|segment| query::decode(segment, false))
        .collect::<Result<Vec<String>, ApiError>>()?;
    let query = Query::parse(parts.uri.query().unwrap_or(""))?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    route(Call { app, version, query, parts, body }, &segments).await
}

/// Takes `/v1.41` off.
fn split_version(path: &str) -> Result<(Version, &str), ApiError> {
    let versioned = path.strip_prefix("/v").and_then(|rest| {
        let end = rest.find('/').unwrap_or(rest.len());
        let version = &rest[..end];
        let digits = version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (digits && !version.is_empty()).then_some((version, &rest[end..]))
    });
    match versioned {
        Some((version, rest)) => Ok((version.parse()?, rest)),
        None => Ok((Version::NEWEST, path)),
    }
}

async fn route(call: Call, segments: &[&str]) -> Answer {
    match segments {
        ["_ping" | "version" | "info" | "auth"] | ["system", "df"] => {
            system::route(call, segments).await
        }
        ["events"] => events::route(call).await,
        ["containers", rest @ ..] => containers::route(call, rest).await,
        ["commit"] => containers::route_commit(call).await,
        ["exec", rest @ ..] => exec::route(call, rest).await,
        ["images", rest @ ..] => images::route(call, rest).await,
        ["networks", rest @ ..] => networks::route(call, rest).await,
        ["volumes", rest @ ..] => volumes::route(call, rest).await,
        ["distribution", name @ .., "json"] => distribution::route(call, &name.join("/")).await,
        ["build", ..] | ["session"] | ["grpc"] => build::route(call, segments).await,
        ["plugins", rest @ ..] => plugins::route(call, rest),
        ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..] => {
            swarm::route(&call, segments)
        }
        _ => Err(ApiError::page_not_found()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_taken_off() {
        let split =
            |path: &str| split_version(path).map(|(v, rest)| (v.to_string(), rest.to_owned()));
        let ok = |version: &str, rest: &str| (version.to_owned(), rest.to_owned());
        assert_eq!(split("/v1.41/info").unwrap(), ok("1.41", "/info"));
        assert_eq!(split("/info").unwrap(), ok("1.56", "/info"));
        assert_eq!(split("/version").unwrap(), ok("1.56", "/version"));
        assert_eq!(split("/volumes").unwrap(), ok("1.56", "/volumes"));
        let too_new = split("/v1.99/info").unwrap_err();
        assert_eq!(
            too_new.message(),
            "client version 1.99 is too new. Maximum supported API version is 1.56"
        );
        assert_eq!(too_new.status(), 400);
        assert!(split("/v1.2/info").unwrap_err().message().contains("too old"));
    }
}

//! Files of a container as archives: export, `cp` both ways.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::container::{PathStat, PutRequest};
use http::{HeaderName, HeaderValue};

use super::super::{
    call::Call,
    error::ApiError,
    reply::{self, Reply},
    routes::Answer,
    view,
};

const TAR: &str = "application/x-tar";
const STAT_HEADER: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// `GET /containers/{id}/export`
pub async fn export(call: Call, name: &str) -> Answer {
    let archive = call.engine().containers().export(name).await?;
    Ok(reply::reader("application/octet-stream", archive))
}

fn path(call: &Call) -> Result<&str, ApiError> {
    match call.query.text("path") {
        "" => Err(ApiError::invalid("missing required parameter: \"path\"")),
        path => Ok(path),
    }
}

fn with_stat(mut reply: Reply, stat: &PathStat) -> Answer {
    let document = view::container::path_stat(stat);
    let text = BASE64_STANDARD.encode(reply::document(&document).trim_ascii_end());
    let value = HeaderValue::from_str(&text)
        .map_err(|_| ApiError::new(http::StatusCode::INTERNAL_SERVER_ERROR, "bad path stat"))?;
    reply.headers_mut().insert(STAT_HEADER, value);
    Ok(reply)
}

/// `HEAD /containers/{id}/archive`
pub async fn stat(call: Call, name: &str) -> Answer {
    let stat = call.engine().containers().archive_stat(name, path(&call)?).await?;
    with_stat(reply::status(http::StatusCode::OK), &stat)
}

/// `GET /containers/{id}/archive`
pub async fn get(call: Call, name: &str) -> Answer {
    let (stat, archive) = call.engine().containers().archive_get(name, path(&call)?).await?;
    with_stat(reply::reader(TAR, archive), &stat)
}

/// `PUT /containers/{id}/archive`
pub async fn put(call: Call, name: &str) -> Answer {
    let path = path(&call)?.to_owned();
    let request = PutRequest {
        keep_kinds: call.query.flag("noOverwriteDirNonDir"),
        keep_owners: call.query.flag("copyUIDGID"),
    };
    let engine = std::sync::Arc::clone(call.engine());
    let archive = call.into_reader();
    engine.containers().archive_put(name, &path, request, archive).await?;
    Ok(reply::status(http::StatusCode::OK))
}

//! `/build`, `/session`, `/grpc`: the builder's doors.

mod classic;
mod output;
mod parameters;

use api::wire::BuildPruned;
use http::StatusCode;

use super::{call::Call, error::ApiError, reply, routes::Answer};

/// The table of the builder's paths.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("POST", ["build"]) => classic::build(call).await,
        ("POST", ["build", "prune"]) => prune(call).await,
        // Builds of the classic door end with their connection; there is nothing to find by an id.
        ("POST", ["build", "cancel"]) => Ok(reply::no_content()),
        ("POST", ["session"] | ["grpc"]) => Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "this engine speaks no BuildKit yet; set DOCKER_BUILDKIT=0",
        )),
        _ => Err(ApiError::page_not_found()),
    }
}

async fn prune(call: Call) -> Answer {
    let number = |key: &str| -> Result<u64, ApiError> {
        Ok(call.query.integer(key)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
    };
    // The older name, then the newer ones.
    let keep =
        number("keep-storage")?.max(number("reserved-space")?).max(number("max-used-space")?);
    let filters = call.query.filters()?;
    let mut older_than_s = 0;
    for (key, values) in filters.iter() {
        match key {
            "until" | "unused-for" => {
                for value in values {
                    let nanoseconds = build::duration::parse(value).ok_or_else(|| {
                        ApiError::invalid(format!("invalid duration {value:?} for filter {key}"))
                    })?;
                    older_than_s = older_than_s.max(nanoseconds / 1_000_000_000);
                }
            }
            other => return Err(ApiError::invalid(format!("invalid filter '{other}'"))),
        }
    }
    let pruned = call.engine().builds().prune(keep, older_than_s).await?;
    Ok(reply::ok(&BuildPruned {
        caches_deleted: Some(pruned.keys.iter().map(|key| key.hex().to_owned()).collect()),
        space_reclaimed: pruned.bytes,
    }))
}

//! `/build`, `/session`, `/grpc`: the builder's doors.

use http::StatusCode;

use super::{call::Call, error::ApiError, routes::Answer};

/// The table of the builder's paths.
pub async fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("POST", ["build"] | ["build", "prune" | "cancel"] | ["session"] | ["grpc"]) => Err(
            ApiError::new(StatusCode::NOT_IMPLEMENTED, "this engine was made without a builder"),
        ),
        _ => Err(ApiError::page_not_found()),
    }
}

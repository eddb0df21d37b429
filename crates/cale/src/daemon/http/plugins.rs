//! Managed plugins: there are none, and none can be installed.

use http::StatusCode;

use super::{call::Call, error::ApiError, reply, routes::Answer};

/// The table of `/plugins/…`.
pub fn route(call: Call, segments: &[&str]) -> Answer {
    match (call.method().as_str(), segments) {
        ("GET", []) => {
            call.query.filters()?;
            Ok(reply::ok(&Vec::<serde_json::Value>::new()))
        }
        ("GET", ["privileges"]) | ("POST", ["pull" | "create"]) => Err(ApiError::new(
            StatusCode::NOT_IMPLEMENTED,
            "managed plugins are not supported by this engine",
        )),
        ("GET" | "POST" | "DELETE", [name, ..]) => {
            Err(ApiError::new(StatusCode::NOT_FOUND, format!("plugin {name:?} not found")))
        }
        _ => Err(ApiError::page_not_found()),
    }
}

//! Swarm mode: this engine is in none, and says so as dockerd does.

use http::StatusCode;

use super::{call::Call, error::ApiError, routes::Answer};

const NOT_A_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \
     \"docker swarm join\" to connect this node to swarm and try again.";

/// Answers every path of swarm mode.
pub fn route(call: &Call, segments: &[&str]) -> Answer {
    let error = match (call.method().as_str(), segments) {
        ("POST", ["swarm", "init" | "join"]) => {
            ApiError::new(StatusCode::NOT_IMPLEMENTED, "this engine has no swarm mode")
        }
        ("POST", ["swarm", "leave"]) => {
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm")
        }
        _ => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, NOT_A_MANAGER),
    };
    Err(error)
}

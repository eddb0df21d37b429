//! Errors on their way to the client: kind → status, chain → one message.

use api::{convert::Refusal, version::VersionError, wire::ErrorResponse};
use http::StatusCode;
use model::ErrorKind;

use super::reply::{self, Reply};

/// A request that failed.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// An error with this status and message.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// No such route, in dockerd's words.
    pub fn page_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// The text.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer.
    pub fn into_reply(self) -> Reply {
        if self.status == StatusCode::NOT_MODIFIED {
            return reply::status(self.status);
        }
        reply::json(self.status, &ErrorResponse { message: self.message })
    }
}

/// The one place where kinds become statuses.
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::InvalidInput => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotModified => StatusCode::NOT_MODIFIED,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Exhausted | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<engine::Error> for ApiError {
    fn from(error: engine::Error) -> Self {
        Self::new(status_of(error.kind()), error.text())
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(status_of(refusal.kind()), refusal.message)
    }
}

impl From<VersionError> for ApiError {
    fn from(error: VersionError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<model::reference::ReferenceError> for ApiError {
    fn from(error: model::reference::ReferenceError) -> Self {
        Self::invalid(error.to_string())
    }
}

//! What can go wrong between client and engine.

use http::StatusCode;
use model::ErrorKind;

use super::HostError;

/// A failed request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address doesn't parse.
    #[error("invalid engine address")]
    Host(#[source] HostError),
    /// Nobody answers there.
    #[error("cannot connect to the engine at {endpoint}")]
    Connect {
        /// Address.
        endpoint: String,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("cannot talk to the engine at {endpoint}")]
    Exchange {
        /// Address.
        endpoint: String,
        /// Why.
        source: hyper::Error,
    },
    /// A body that is read as a stream broke off.
    #[error("cannot read the answer of the engine")]
    Read {
        /// Why.
        source: std::io::Error,
    },
    /// The engine refused.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: StatusCode,
        /// The engine's words.
        message: String,
    },
    /// The answer isn't the document expected.
    #[error("cannot understand the answer of the engine")]
    Decode {
        /// Why.
        source: serde_json::Error,
    },
    /// A request body can't be written as JSON.
    #[error("cannot encode the request")]
    Encode {
        /// Why.
        source: serde_json::Error,
    },
    /// A header value has control or non-ASCII characters.
    #[error("cannot send header {name}: value is not visible ASCII")]
    Header {
        /// Header name.
        name: String,
    },
    /// A path that is no URI.
    #[error("cannot form a request for {target:?}")]
    Target {
        /// Path and query.
        target: String,
    },
    /// The engine answered without handing over the connection.
    #[error("engine answered {status} instead of handing over the connection")]
    NotUpgraded {
        /// HTTP status.
        status: StatusCode,
    },
}

impl ClientError {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Host(_) | Self::Header { .. } | Self::Target { .. } => ErrorKind::InvalidInput,
            Self::Connect { .. } | Self::Exchange { .. } | Self::Read { .. } => {
                ErrorKind::Unavailable
            }
            Self::Refused { status, .. } => kind_of_status(*status),
            Self::Decode { .. } | Self::Encode { .. } | Self::NotUpgraded { .. } => {
                ErrorKind::Internal
            }
        }
    }

    /// The engine's status, if it answered.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

fn kind_of_status(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        304 => ErrorKind::NotModified,
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        501 => ErrorKind::Unsupported,
        503 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::InvalidInput,
        _ => ErrorKind::Internal,
    }
}

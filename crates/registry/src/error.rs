//! What can go wrong between here and a registry.

use model::{Digest, ErrorKind};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure with its subject.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot resolve registry host {host}")]
    Resolve { host: String, source: Box<hickory_resolver::net::NetError> },
    #[error("cannot connect to {host}")]
    Connect { host: String, source: std::io::Error },
    #[error("cannot establish TLS with {host}")]
    Tls { host: String, source: std::io::Error },
    #[error("cannot read {path}")]
    ReadCertificate { path: String, source: std::io::Error },
    #[error("cannot use the certificates in {path}")]
    Certificate { path: String, source: rustls::Error },
    #[error(
        "server gave HTTP response to HTTPS client: {host} (list it as an insecure registry to allow that)"
    )]
    PlainHttp { host: String },
    #[error("request to {host} failed")]
    Request { host: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{host} did not answer within {seconds} s")]
    Timeout { host: String, seconds: u64 },
    #[error("{host}: {text}")]
    Answer { host: String, status: u16, code: String, text: String },
    #[error("manifest for {reference} not found: manifest unknown")]
    ManifestUnknown { reference: String },
    #[error(
        "pull access denied for {repository}, repository does not exist or may require authentication"
    )]
    Denied { repository: String, source: Box<Error> },
    #[error("unauthorized: {text}")]
    Unauthorized { host: String, text: String },
    #[error("toomanyrequests: {text}")]
    RateLimit { host: String, text: String },
    #[error("{host} sent an answer that is no {what}")]
    Malformed { host: String, what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{host} sent {what} larger than {limit} bytes")]
    TooLarge { host: String, what: &'static str, limit: u64 },
    #[error("{what} has digest {found} instead of {wanted}")]
    Digest { what: &'static str, wanted: Digest, found: Digest },
    #[error("no matching manifest for {platform} in the manifest list entries of {reference}")]
    NoPlatform { platform: String, reference: String },
    #[error("media type {media_type:?} is not supported")]
    MediaType { media_type: String },
    #[error("invalid registry host {0:?}")]
    Host(String),
    #[error("cannot store the image")]
    Store(#[source] store::Error),
    #[error("a worker of the transfer ended early")]
    Worker(#[source] tokio::task::JoinError),
}

impl Error {
    /// How the edges react to it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ManifestUnknown { .. } | Self::NoPlatform { .. } => ErrorKind::NotFound,
            // Docker answers 404 here: whether the repository exists is not told.
            Self::Denied { .. } => ErrorKind::NotFound,
            Self::Unauthorized { .. } => ErrorKind::Unauthorized,
            Self::Answer { status: 403, .. } => ErrorKind::Forbidden,
            Self::Answer { status: 404, .. } => ErrorKind::NotFound,
            Self::Host(_) | Self::MediaType { .. } => ErrorKind::InvalidInput,
            Self::Store(error) => error.kind(),
            Self::Timeout { .. } | Self::RateLimit { .. } => ErrorKind::Unavailable,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Tls { .. }
            | Self::ReadCertificate { .. }
            | Self::Certificate { .. }
            | Self::PlainHttp { .. }
            | Self::Request { .. }
            | Self::Answer { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Digest { .. }
            | Self::Worker(_) => ErrorKind::Internal,
        }
    }

    /// Whether the same request may succeed when tried again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Request { .. } | Self::Timeout { .. } => true,
            Self::RateLimit { .. } => true,
            Self::Answer { status, .. } => matches!(status, 408 | 425 | 500..),
            _ => false,
        }
    }
}

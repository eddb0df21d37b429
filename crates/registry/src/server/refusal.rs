//! Why a request is refused, in the specification's words.

use std::io;

use http::StatusCode;
use serde_json::json;

/// The specification's error codes ("Error Codes"), and those that Docker's registry added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    RangeInvalid,
    BlobRangeInvalid,
    TagInvalid,
    PageInvalid,
    Unauthorized,
    Denied,
    Unsupported,
    ReadOnly,
    TooManyRequests,
    TooLarge,
    NotFound,
    DiskFull,
    Upstream,
    Internal,
}

impl Code {
    /// The text in the answer and the status of the answer.
    pub fn wire(self) -> (&'static str, StatusCode) {
        match self {
            Self::BlobUnknown => ("BLOB_UNKNOWN", StatusCode::NOT_FOUND),
            Self::BlobUploadInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::BAD_REQUEST),
            Self::BlobUploadUnknown => ("BLOB_UPLOAD_UNKNOWN", StatusCode::NOT_FOUND),
            Self::DigestInvalid => ("DIGEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestBlobUnknown => ("MANIFEST_BLOB_UNKNOWN", StatusCode::BAD_REQUEST),
            Self::ManifestInvalid => ("MANIFEST_INVALID", StatusCode::BAD_REQUEST),
            Self::ManifestUnknown => ("MANIFEST_UNKNOWN", StatusCode::NOT_FOUND),
            Self::NameInvalid => ("NAME_INVALID", StatusCode::BAD_REQUEST),
            Self::NameUnknown => ("NAME_UNKNOWN", StatusCode::NOT_FOUND),
            Self::SizeInvalid => ("SIZE_INVALID", StatusCode::BAD_REQUEST),
            Self::RangeInvalid => ("BLOB_UPLOAD_INVALID", StatusCode::RANGE_NOT_SATISFIABLE),
            Self::BlobRangeInvalid => ("RANGE_INVALID", StatusCode::RANGE_NOT_SATISFIABLE),
            Self::TagInvalid => ("TAG_INVALID", StatusCode::BAD_REQUEST),
            Self::PageInvalid => ("PAGINATION_NUMBER_INVALID", StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("UNAUTHORIZED", StatusCode::UNAUTHORIZED),
            Self::Denied => ("DENIED", StatusCode::FORBIDDEN),
            Self::Unsupported | Self::ReadOnly => ("UNSUPPORTED", StatusCode::METHOD_NOT_ALLOWED),
            Self::TooManyRequests => ("TOOMANYREQUESTS", StatusCode::TOO_MANY_REQUESTS),
            Self::TooLarge => ("SIZE_INVALID", StatusCode::PAYLOAD_TOO_LARGE),
            Self::NotFound => ("UNSUPPORTED", StatusCode::NOT_FOUND),
            Self::DiskFull => ("UNKNOWN", StatusCode::INSUFFICIENT_STORAGE),
            Self::Upstream => ("UNKNOWN", StatusCode::BAD_GATEWAY),
            Self::Internal => ("UNKNOWN", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

/// One refusal. What it says goes to the client; `source` only to our log.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The kind.
    pub code: Code,
    /// For people.
    pub message: String,
    /// For programs.
    pub detail: serde_json::Value,
    /// `name: value` pairs that the answer carries.
    pub headers: Vec<(http::HeaderName, String)>,
    source: Option<io::Error>,
}

impl Refusal {
    /// A refusal with a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let (message, detail) = (message.into(), serde_json::Value::Null);
        Self { code, message, detail, headers: Vec::new(), source: None }
    }

    /// The same with facts for programs.
    pub fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }

    /// The same with a header.
    pub fn with_header(mut self, name: http::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A failure of the disk while doing `what`.
    pub fn disk(what: &str, source: io::Error) -> Self {
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        let code = if full { Code::DiskFull } else { Code::Internal };
        let why = if full { ": the registry's disk is full" } else { "" };
        let mut refusal = Self::new(code, format!("cannot {what}{why}"));
        refusal.source = Some(source);
        refusal
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        let (code, _) = self.code.wire();
        let mut entry = json!({"code": code, "message": self.message});
        if !self.detail.is_null() {
            entry["detail"] = self.detail.clone();
        }
        json!({"errors": [entry]}).to_string().into_bytes()
    }

    /// Writes the cause of an internal failure to the log; the client never sees it.
    pub fn log(&self) {
        if let Some(source) = &self.source {
            tracing::error!(error = self.message, cause = %source, "request failed");
        }
    }
}

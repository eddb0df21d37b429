//! Answers and bodies.

use std::{fs::File, io, io::Read, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderName, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};

use super::refusal::{Code, Refusal};

/// What every answer carries.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Docker's clients look at it to know a registry.
pub const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// The digest of what is sent or was stored.
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// An upload's id.
pub const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Says that `subject` was understood (distribution specification, "Pushing Manifests with Subject").
pub const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Says that the list was filtered.
pub const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

const PIECE: usize = 256 * 1024;

/// An answer without body.
pub fn empty(status: StatusCode) -> http::response::Builder {
    Response::builder().status(status).header(header::CONTENT_LENGTH, 0)
}

/// Ends a builder without body.
pub fn done(builder: http::response::Builder) -> Result<Response<Body>, Refusal> {
    with(builder, Bytes::new())
}

/// Ends a builder with bytes.
pub fn with(
    builder: http::response::Builder,
    bytes: impl Into<Bytes>,
) -> Result<Response<Body>, Refusal> {
    finish(builder, Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync())
}

/// Ends a builder with any body.
pub fn finish(builder: http::response::Builder, body: Body) -> Result<Response<Body>, Refusal> {
    builder
        .body(body)
        .map_err(|error| Refusal::new(Code::Internal, format!("cannot word the answer: {error}")))
}

/// A JSON document.
pub fn json(content_type: &str, value: &serde_json::Value) -> http::response::Builder {
    let length = value.to_string().len();
    Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_LENGTH, length)
}

/// The answer to a refused request.
pub fn refused(refusal: &Refusal) -> Response<Body> {
    refusal.log();
    let (_, status) = refusal.code.wire();
    let bytes = refusal.body();
    let mut builder = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header(header::CONTENT_LENGTH, bytes.len());
    for (name, value) in &refusal.headers {
        builder = builder.header(name, value);
    }
    with(builder, bytes).unwrap_or_else(|_| {
        let mut plain = Response::new(Body::default());
        *plain.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        plain
    })
}

/// `length` bytes of a file from where it stands, read off the async threads.
pub fn file(file: File, length: u64) -> Body {
    let pieces = stream::unfold(Some((file, length)), |state| async move {
        let (mut file, left) = state?;
        if left == 0 {
            return None;
        }
        let read = tokio::task::spawn_blocking(move || {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let mut piece = vec![0; want];
            file.read_exact(&mut piece).map(|()| (piece, file))
        })
        .await
        .map_err(io::Error::other);
        match read.and_then(|read| read) {
            Ok((piece, file)) => {
                let left = left - piece.len() as u64;
                Some((Ok(Frame::data(Bytes::from(piece))), Some((file, left))))
            }
            Err(error) => Some((Err(error), None)),
        }
    });
    StreamBody::new(pieces.boxed()).boxed_unsync()
}

/// The next bytes of a request; `None` at its end.
///
/// # Errors
/// A client that stalls or goes away.
pub async fn next(body: &mut Incoming, idle: Duration) -> Result<Option<Bytes>, Refusal> {
    loop {
        return match tokio::time::timeout(idle, body.frame()).await {
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => Ok(Some(bytes)),
                Err(_) => continue,
            },
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => {
                Err(Refusal::new(Code::BlobUploadInvalid, format!("the body broke off: {error}")))
            }
            Err(_) => Err(Refusal::new(Code::BlobUploadInvalid, "the body stalled")),
        };
    }
}

/// All of a small request.
///
/// # Errors
/// `SIZE_INVALID` (413) beyond `max`; as [`next`].
pub async fn whole(body: &mut Incoming, max: u64, idle: Duration) -> Result<Vec<u8>, Refusal> {
    let mut all = Vec::new();
    while let Some(bytes) = next(body, idle).await? {
        if all.len() as u64 + bytes.len() as u64 > max {
            let why = format!("the body is longer than {max} bytes");
            return Err(Refusal::new(Code::TooLarge, why));
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// Runs what blocks on a thread that may.
///
/// # Errors
/// Those of `work`.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "a worker ended early")))
}

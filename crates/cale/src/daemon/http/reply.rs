//! Answers: JSON, streams, empty ones.

use std::{convert::Infallible, io};

use api::{Version, version::Shape};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::io::ReaderStream;

/// Body of an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer.
pub type Reply = Response<Body>;

/// Pieces of a streamed body that wait for a slow reader.
const STREAM_DEPTH: usize = 16;

fn with_body(status: StatusCode, content_type: Option<&'static str>, body: Body) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    if let Some(kind) = content_type {
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    reply
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// No body.
pub fn status(status: StatusCode) -> Reply {
    with_body(status, None, whole(Bytes::new()))
}

/// `204`
pub fn no_content() -> Reply {
    status(StatusCode::NO_CONTENT)
}

/// Plain text.
pub fn text(text: &'static str) -> Reply {
    let body = whole(Bytes::from_static(text.as_bytes()));
    with_body(StatusCode::OK, Some("text/plain; charset=utf-8"), body)
}

/// A document, with the newline that Go's encoder writes.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Reply {
    with_body(status, Some("application/json"), whole(document(value)))
}

/// `200` with a document in the shape of `version`.
pub fn shaped<T: Serialize + Shape>(version: Version, mut value: T) -> Reply {
    value.shape(version);
    json(StatusCode::OK, &value)
}

/// `200` with a document.
pub fn ok<T: Serialize>(value: &T) -> Reply {
    json(StatusCode::OK, value)
}

/// A document and a newline.
pub fn document<T: Serialize>(value: &T) -> Bytes {
    let mut text = serde_json::to_vec(value)
        .expect("wire documents have text keys only and can always be written");
    text.push(b'\n');
    Bytes::from(text)
}

/// Sends pieces of a body; sending fails once the client is gone.
pub type Pieces = mpsc::Sender<io::Result<Bytes>>;

/// An answer whose body comes in pieces.
pub fn stream(content_type: &'static str) -> (Pieces, Reply) {
    let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
    let frames =
        ReceiverStream::new(receiver).map(|piece: io::Result<Bytes>| piece.map(Frame::data));
    let body = StreamBody::new(frames).boxed_unsync();
    (sender, with_body(StatusCode::OK, Some(content_type), body))
}

/// An answer that is read from somewhere.
pub fn reader(content_type: &'static str, reader: engine::ByteReader) -> Reply {
    let frames = ReaderStream::with_capacity(reader, 64 * 1024)
        .map(|piece: io::Result<Bytes>| piece.map(Frame::data));
    with_body(StatusCode::OK, Some(content_type), StreamBody::new(frames).boxed_unsync())
}

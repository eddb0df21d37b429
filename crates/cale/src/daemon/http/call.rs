//! A request on its way to a handler: path split, query decoded, version known.

use std::sync::Arc;

use api::Version;
use bytes::Bytes;
use engine::{ByteReader, Engine};
use http::{HeaderMap, Method, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use tokio_stream::StreamExt;
use tokio_util::io::StreamReader;

use super::{App, error::ApiError, query::Query};

/// Bytes of a JSON body at most. dockerd has no limit; 8 MiB holds any configuration.
const JSON_MAX: usize = 8 * 1024 * 1024;

/// A request.
pub struct Call {
    /// The daemon.
    pub app: Arc<App>,
    /// As the path says, else the newest.
    pub version: Version,
    /// Query parameters.
    pub query: Query,
    /// Method, headers, extensions.
    pub parts: Parts,
    /// Body.
    pub body: Incoming,
}

impl Call {
    /// The engine.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.app.engine
    }

    /// Headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// A header's text; empty when it isn't there.
    pub fn header(&self, name: &str) -> &str {
        self.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The body as text, at most `JSON_MAX` bytes.
    async fn text(&mut self) -> Result<Bytes, ApiError> {
        let body = Limited::new(&mut self.body, JSON_MAX);
        match body.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(ApiError::new(
                http::StatusCode::PAYLOAD_TOO_LARGE,
                format!("request body is larger than {JSON_MAX} bytes"),
            )),
            Err(error) => Err(ApiError::invalid(format!("cannot read the request body: {error}"))),
        }
    }

    /// The JSON text of the body; empty where there is none.
    pub async fn json_text(&mut self) -> Result<Bytes, ApiError> {
        let text = self.text().await?;
        let kind = self.header(CONTENT_TYPE.as_str());
        let media_type = kind.split(';').next().unwrap_or_default().trim();
        if text.is_empty() || media_type.eq_ignore_ascii_case("application/json") {
            return Ok(text);
        }
        Err(ApiError::invalid(format!(
            "unsupported Content-Type header ({kind}): must be 'application/json'"
        )))
    }

    /// The body as a document; an absent one is an error.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, ApiError> {
        let text = self.json_text().await?;
        if text.is_empty() {
            return Err(ApiError::invalid("invalid JSON: got EOF while reading request body"));
        }
        api::go::from_slice(&text).map_err(invalid_json)
    }

    /// The body as a document, its zero value where there is none.
    pub async fn json_or_default<T: DeserializeOwned + Default>(&mut self) -> Result<T, ApiError> {
        let text = self.json_text().await?;
        if text.is_empty() {
            return Ok(T::default());
        }
        api::go::from_slice(&text).map_err(invalid_json)
    }

    /// The body as a reader, without a limit: archives.
    pub fn into_reader(self) -> ByteReader {
        let frames = self.body.into_data_stream();
        let pieces = frames.map(|piece| piece.map_err(std::io::Error::other));
        Box::pin(StreamReader::new(pieces))
    }
}

/// dockerd's sentence for a body that doesn't parse.
pub fn invalid_json(error: serde_json::Error) -> ApiError {
    ApiError::invalid(format!("invalid JSON: {error}"))
}

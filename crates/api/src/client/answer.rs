//! Answers: whole, as bytes that come, as a stream of JSON documents.

use std::{io, marker::PhantomData};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::{ClientError, Hijacked};
use crate::{go, wire::ErrorResponse};

/// Bytes of an error body that are read at most.
const ERROR_BODY_MAX: usize = 1024 * 1024;

/// An answer below 400.
#[derive(Debug)]
pub struct Answer {
    response: http::Response<Incoming>,
    endpoint: String,
}

impl Answer {
    /// Turns answers of 400 and above into errors.
    pub(super) async fn from_response(
        response: http::Response<Incoming>,
        endpoint: String,
    ) -> Result<Self, ClientError> {
        let status = response.status();
        let answer = Self { response, endpoint };
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(answer);
        }
        let json = answer
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.starts_with("application/json"));
        let body = answer.bytes_up_to(ERROR_BODY_MAX).await?;
        let message = match go::from_slice::<ErrorResponse>(&body) {
            Ok(envelope) if json && !envelope.message.is_empty() => envelope.message,
            _ if body.is_empty() => {
                format!("engine answered {status} without a message")
            }
            _ => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        Err(ClientError::Refused { status, message })
    }

    /// HTTP status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The whole body.
    pub async fn bytes(self) -> Result<Bytes, ClientError> {
        let endpoint = self.endpoint;
        let collected = self.response.into_body().collect().await;
        collected
            .map(|body| body.to_bytes())
            .map_err(|source| ClientError::Exchange { endpoint, source })
    }

    async fn bytes_up_to(mut self, limit: usize) -> Result<Bytes, ClientError> {
        let mut out = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if out.len() + chunk.len() > limit {
                break;
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.freeze())
    }

    /// The whole body as JSON.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let body = self.bytes().await?;
        read(&body)
    }

    /// The next bytes of the body, `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.response.body_mut().frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
                Some(Err(source)) => {
                    return Err(ClientError::Exchange { endpoint: self.endpoint.clone(), source });
                }
            }
        }
    }

    /// The body as one JSON document after the other.
    pub fn json_stream<T: DeserializeOwned>(self) -> JsonStream<T> {
        JsonStream { answer: self, buffer: BytesMut::new(), ended: false, item: PhantomData }
    }

    /// The connection itself.
    pub(super) async fn into_hijacked(self) -> Result<Hijacked, ClientError> {
        let status = self.status();
        let media_type = self
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(ClientError::NotUpgraded { status });
        }
        let endpoint = self.endpoint;
        let upgraded = hyper::upgrade::on(self.response)
            .await
            .map_err(|source| ClientError::Exchange { endpoint, source })?;
        Ok(Hijacked::new(upgraded, media_type))
    }
}

/// Reads plainly, and with Go's rules where that fails: an engine may write `null` anywhere, but
/// long lists rarely have one.
fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(text)
        .or_else(|_| go::from_slice(text))
        .map_err(|source| ClientError::Decode { source })
}

/// JSON documents that come one a line.
#[derive(Debug)]
pub struct JsonStream<T> {
    answer: Answer,
    buffer: BytesMut,
    ended: bool,
    item: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonStream<T> {
    /// The next document, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                // RS begins a record of `application/json-seq`.
                let text = line.strip_prefix(b"\x1e").unwrap_or(&line).trim_ascii();
                if !text.is_empty() {
                    return read(text).map(Some);
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            match self.answer.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => self.ended = true,
            }
        }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        match self.buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                Some(line)
            }
            None if self.ended && !self.buffer.is_empty() => Some(self.buffer.split().freeze()),
            None => None,
        }
    }
}

impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        io::Error::other(error)
    }
}

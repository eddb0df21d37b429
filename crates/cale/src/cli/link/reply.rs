//! An engine's reply: its status, headers and body, whole or bit by bit.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use serde_json::Value as Json;

use super::{Body, Link};
use crate::cli::error::CliError;

/// A reply whose body is still to be read.
pub struct Reply<'a> {
    link: &'a Link,
    sender: Option<SendRequest<Body>>,
    status: u16,
    headers: HeaderMap,
    body: Incoming,
    buffer: BytesMut,
}

impl<'a> Reply<'a> {
    pub(super) fn new(
        link: &'a Link,
        sender: SendRequest<Body>,
        response: http::Response<Incoming>,
    ) -> Self {
        let (parts, body) = response.into_parts();
        Reply {
            link,
            sender: Some(sender),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            buffer: BytesMut::new(),
        }
    }

    /// HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// A header's text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Turns statuses from 400 on into errors.
    pub(super) async fn checked(self) -> Result<Self, CliError> {
        if self.status < 400 {
            return Ok(self);
        }
        let status = self.status;
        let text = self.text().await?;
        let parsed: Option<String> = serde_json::from_str::<Json>(&text)
            .ok()
            .and_then(|body| body.get("message").and_then(Json::as_str).map(str::to_owned));
        let message = parsed.unwrap_or_else(|| match text.trim() {
            "" => format!("the engine answered with status {status} and no message"),
            text => text.to_owned(),
        });
        Err(CliError::Daemon { status, message })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`CliError::Talk`] if the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, CliError> {
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(e)) => return Err(CliError::talk("read the engine's reply", e)),
                None => {
                    if let Some(sender) = self.sender.take() {
                        self.link.give_back(sender);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub async fn bytes(mut self) -> Result<Bytes, CliError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// The whole body as text.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub async fn text(self) -> Result<String, CliError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The whole body as JSON; `null` if it is empty.
    ///
    /// # Errors
    /// As [`Reply::chunk`], or the body is no JSON.
    pub async fn json(self) -> Result<Json, CliError> {
        let bytes = self.bytes().await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| CliError::talk("understand the engine's reply", e))
    }

    /// The next JSON document of a stream of them; `None` at the end.
    ///
    /// # Errors
    /// As [`Reply::chunk`], or the stream is no JSON.
    pub async fn document(&mut self) -> Result<Option<Json>, CliError> {
        loop {
            let mut documents = serde_json::Deserializer::from_slice(&self.buffer).into_iter();
            match documents.next() {
                Some(Ok(document)) => {
                    let used = documents.byte_offset();
                    self.buffer.advance(used);
                    return Ok(Some(document));
                }
                // Half a document: more is to come.
                Some(Err(e)) if e.is_eof() => {}
                Some(Err(e)) => return Err(CliError::talk("understand the engine's stream", e)),
                None => self.buffer.clear(),
            }
            match self.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

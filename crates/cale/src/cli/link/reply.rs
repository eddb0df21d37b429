//! An engine's reply: its status, headers and body, whole or bit by bit.

use api::client::Answer;
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value as Json;

use super::Link;
use crate::cli::error::CliError;

/// A reply whose body is still to be read.
pub struct Reply<'a> {
    link: &'a Link,
    answer: Answer,
    buffer: BytesMut,
}

impl<'a> Reply<'a> {
    pub(super) fn new(link: &'a Link, answer: Answer) -> Self {
        Reply { link, answer, buffer: BytesMut::new() }
    }

    /// A header's text; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`CliError::Talk`] if the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, CliError> {
        self.answer.chunk().await.map_err(|e| self.link.error(e))
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Reply::chunk`].
    pub async fn bytes(self) -> Result<Bytes, CliError> {
        let link = self.link;
        self.answer.bytes().await.map_err(|e| link.error(e))
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

    /// The next JSON document of a stream of them; `None` at the end. Documents need no line
    /// breaks between them: some proxies take them away.
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

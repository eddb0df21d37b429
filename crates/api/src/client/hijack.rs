//! A connection that was handed over by the engine: raw bytes both ways, half close from ours.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::ClientError;
use crate::stream::MULTIPLEXED_STREAM;

/// Both directions of a hijacked connection.
#[derive(Debug)]
pub struct Hijacked {
    io: TokioIo<Upgraded>,
    media_type: Option<String>,
}

impl Hijacked {
    pub(super) fn new(upgraded: Upgraded, media_type: Option<String>) -> Self {
        Self { io: TokioIo::new(upgraded), media_type }
    }

    /// Whether frames come (`Some(false)`: raw), as far as the engine said; before 1.42 it says
    /// raw for both, and only the container's terminal decides.
    pub fn is_multiplexed(&self) -> Option<bool> {
        self.media_type.as_deref().map(|kind| kind == MULTIPLEXED_STREAM)
    }

    /// Reading and writing ends, to be used by different tasks.
    pub fn split(self) -> (HijackReader, HijackWriter) {
        let (reader, writer) = tokio::io::split(self.io);
        (HijackReader { inner: reader }, HijackWriter { inner: writer })
    }

    /// The whole connection (for HTTP/2 over it).
    pub fn into_io(self) -> TokioIo<Upgraded> {
        self.io
    }
}

/// What the engine sends.
#[derive(Debug)]
pub struct HijackReader {
    inner: ReadHalf<TokioIo<Upgraded>>,
}

impl HijackReader {
    /// Reads some bytes; 0 at the end.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ClientError> {
        self.inner.read(buffer).await.map_err(|source| ClientError::Read { source })
    }
}

/// What goes to the engine.
#[derive(Debug)]
pub struct HijackWriter {
    inner: WriteHalf<TokioIo<Upgraded>>,
}

impl HijackWriter {
    /// Writes and flushes all bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let written = async {
            self.inner.write_all(bytes).await?;
            self.inner.flush().await
        };
        written.await.map_err(|source| ClientError::Read { source })
    }

    /// Ends our direction: the process reads end of file, its output still comes.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.inner.shutdown().await.map_err(|source| ClientError::Read { source })
    }
}

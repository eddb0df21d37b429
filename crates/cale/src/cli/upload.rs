//! Bodies that are read while they are sent: archives from files and standard input.

use std::fs::File;
use std::io::Read;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::error::CliError;
use super::link::Body;

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// A body with the content of a file.
///
/// # Errors
/// If it can't be opened.
pub fn file(path: &str) -> Result<Body, CliError> {
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            CliError::invalid(format!("open {path}: no such file or directory"))
        }
        _ => CliError::file(format!("open {path}"), e),
    })?;
    Ok(reader(file))
}

/// A body with our standard input.
pub fn stdin() -> Body {
    reader(std::io::stdin())
}

/// A body with what a thread reads: pipes and files block, the event loop must not.
pub fn reader(mut source: impl Read + Send + 'static) -> Body {
    writer(move |sender| {
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = source.read(&mut buffer)?;
            if count == 0 || sender.send(&buffer[..count]).is_err() {
                return Ok(());
            }
        }
    })
}

/// Where a thread puts the bytes of a body.
pub struct Sender {
    channel: mpsc::Sender<std::io::Result<Bytes>>,
}

impl Sender {
    /// Hands bytes over; waits while the other side is busy.
    ///
    /// # Errors
    /// If the request is over.
    pub fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.channel
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl std::io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A body with what `fill` writes, on a thread of its own. An error breaks the request off.
pub fn writer(fill: impl FnOnce(&mut Sender) -> std::io::Result<()> + Send + 'static) -> Body {
    let (channel, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut sender = Sender { channel };
        if let Err(e) = fill(&mut sender) {
            // If nobody listens any more, the request has failed already.
            drop(sender.channel.blocking_send(Err(e)));
        }
    });
    let frames = ReceiverStream::new(receiver).map(|chunk| chunk.map(Frame::data));
    BodyExt::boxed(StreamBody::new(frames))
}

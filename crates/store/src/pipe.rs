//! A bounded pipe between two threads, in chunks: the stages of a pull run side by side.

use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes gathered before they are handed over.
const CHUNK: usize = 128 * 1024;
/// Chunks on the way.
const DEPTH: usize = 16;

/// Why the writing side stopped.
enum Message {
    Bytes(Vec<u8>),
    End,
}

/// The writing end; dropped without [`PipeWriter::finish`] the reader sees an error, not an end.
pub(crate) struct PipeWriter {
    sender: SyncSender<Message>,
    chunk: Vec<u8>,
}

/// The reading end.
pub(crate) struct PipeReader {
    receiver: Receiver<Message>,
    chunk: Vec<u8>,
    start: usize,
    ended: bool,
}

pub(crate) fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, receiver) = sync_channel(DEPTH);
    (
        PipeWriter { sender, chunk: Vec::new() },
        PipeReader { receiver, chunk: Vec::new(), start: 0, ended: false },
    )
}

impl PipeWriter {
    /// Hands over what is left and the end.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.sender.send(Message::End).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.capacity() == 0 {
            self.chunk.reserve_exact(CHUNK);
        }
        let length = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..length]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.chunk);
        self.sender.send(Message::Bytes(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Read for PipeReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(out.len());
        out[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for PipeReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.chunk.len() && !self.ended {
            self.start = 0;
            self.chunk = match self.receiver.recv() {
                Ok(Message::Bytes(chunk)) => chunk,
                Ok(Message::End) => {
                    self.ended = true;
                    Vec::new()
                }
                Err(_) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the source broke off",
                    ));
                }
            };
        }
        Ok(&self.chunk[self.start..])
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_and_a_broken_writer_is_an_error() {
        let (mut writer, mut reader) = pipe();
        let thread = std::thread::spawn(move || {
            writer.write_all(&vec![7u8; 3_000_000]).unwrap();
            writer.finish().unwrap();
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        thread.join().unwrap();
        assert_eq!(all.len(), 3_000_000);

        let (mut writer, mut reader) = pipe();
        writer.write_all(b"half").unwrap();
        drop(writer);
        assert!(reader.read_to_end(&mut Vec::new()).is_err());
    }
}

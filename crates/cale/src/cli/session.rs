//! An attached stream: our terminal or pipes on one side, a container's on the other.
//!
//! States: *forwarding* → *input ended* (half closed) → *output ended*; or *detached* at any time
//! when the user types the detach keys. The terminal is restored on every way out.

mod detach;
mod signals;

use std::io::{Read, Write};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::error::CliError;
use super::link::Hijacked;
pub use detach::{DEFAULT_KEYS, Keys, parse_keys};
pub use signals::{forward_signals, resizes};
pub use sys::terminal::{RawMode, is_terminal, window_size};

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The other side closed its output.
    Closed,
    /// The user typed the detach keys.
    Detached,
}

/// What a session forwards.
pub struct Session {
    /// The taken-over connection.
    pub stream: Hijacked,
    /// Whether the container has a terminal: its output is then one plain stream.
    pub tty: bool,
    /// Whether our standard input is sent.
    pub stdin: bool,
    /// Keys that end the session and leave the container running.
    pub keys: Option<Keys>,
}

impl Session {
    /// Forwards until one side ends.
    ///
    /// # Errors
    /// [`CliError::Talk`] if the connection breaks, [`CliError::Output`] if our output does.
    pub async fn run(self) -> Result<Ended, CliError> {
        let Session { stream, tty, stdin, keys } = self;
        let Hijacked { mut output, input } = stream;
        let keys = keys.filter(|_| tty);
        let mut sending = Box::pin(send_input(input, stdin, keys));
        let mut demux = Demux::new(tty);
        let mut buffer = vec![0; 32 * 1024];
        let mut input_open = true;
        loop {
            tokio::select! {
                detached = &mut sending, if input_open => {
                    if detached {
                        return Ok(Ended::Detached);
                    }
                    input_open = false;
                }
                read = output.read(&mut buffer) => match read {
                    Ok(0) => return Ok(Ended::Closed),
                    Ok(count) => demux.write(&buffer[..count])?,
                    Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return Ok(Ended::Closed),
                    Err(e) => return Err(CliError::talk("read the container's output", e)),
                },
            }
        }
    }
}

/// Sends standard input until it ends or the detach keys come; true for the latter.
async fn send_input(
    mut input: impl tokio::io::AsyncWrite + Unpin,
    stdin: bool,
    mut keys: Option<Keys>,
) -> bool {
    if stdin {
        let mut chunks = read_stdin();
        while let Some(chunk) = chunks.recv().await {
            let (chunk, detached) = match &mut keys {
                Some(keys) => keys.filter(&chunk),
                None => (chunk, false),
            };
            if input.write_all(&chunk).await.is_err() || input.flush().await.is_err() {
                // The container stopped reading; its output tells the rest.
                return false;
            }
            if detached {
                return true;
            }
        }
        // Half close: the program sees the end of its input. Without stdin this must not happen,
        // some engines take it for the end of the session.
        drop(input.shutdown().await);
    } else {
        std::future::pending::<()>().await;
    }
    // The write half must live until the output has ended.
    std::future::pending::<()>().await;
    false
}

/// Reads standard input on a thread of its own: regular files can't be polled, and a blocked read
/// of a terminal can't be cancelled. The thread ends with the process.
fn read_stdin() -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(8);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin();
        let mut buffer = vec![0; 32 * 1024];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => {
                    if sender.blocking_send(Bytes::copy_from_slice(&buffer[..count])).is_err() {
                        return;
                    }
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
    receiver
}

/// Divides a multiplexed stream into standard output and standard error. Each frame has a header
/// of eight bytes: the stream, three zeros, and the length in big endian.
pub struct Demux {
    plain: bool,
    header: Vec<u8>,
    left: usize,
    to_stderr: bool,
}

impl Demux {
    /// A demultiplexer; with `plain` everything is standard output.
    pub fn new(plain: bool) -> Self {
        Demux { plain, header: Vec::new(), left: 0, to_stderr: false }
    }

    /// Writes the next bytes to where they belong.
    ///
    /// # Errors
    /// [`CliError::Output`], or a stream number that nobody knows.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.split(bytes, |to_stderr, part| {
            if to_stderr {
                // Nothing can be said when standard error is gone.
                drop(std::io::stderr().lock().write_all(part));
                return Ok(());
            }
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(part).and_then(|()| stdout.flush()).map_err(CliError::Output)
        })
    }

    fn split(
        &mut self,
        mut bytes: &[u8],
        mut sink: impl FnMut(bool, &[u8]) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        if self.plain {
            return sink(false, bytes);
        }
        while !bytes.is_empty() {
            if self.left == 0 {
                let take = bytes.len().min(8 - self.header.len());
                self.header.extend_from_slice(&bytes[..take]);
                bytes = &bytes[take..];
                if self.header.len() < 8 {
                    return Ok(());
                }
                self.to_stderr = match self.header[0] {
                    0 | 1 => false,
                    2 | 3 => true,
                    other => {
                        return Err(CliError::talk(
                            "read the container's output",
                            format!("unrecognized input header: {other}"),
                        ));
                    }
                };
                let length: [u8; 4] =
                    [self.header[4], self.header[5], self.header[6], self.header[7]];
                self.left = u32::from_be_bytes(length) as usize;
                self.header.clear();
                continue;
            }
            let take = bytes.len().min(self.left);
            sink(self.to_stderr, &bytes[..take])?;
            self.left -= take;
            bytes = &bytes[take..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_may_be_cut_anywhere() {
        let mut stream = vec![1, 0, 0, 0, 0, 0, 0, 3];
        stream.extend(b"out");
        stream.extend([2, 0, 0, 0, 0, 0, 0, 2]);
        stream.extend(b"er");
        for cut in 1..stream.len() {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut demux = Demux::new(false);
            for part in [&stream[..cut], &stream[cut..]] {
                let sink = |to_stderr: bool, part: &[u8]| {
                    if to_stderr {
                        err.extend_from_slice(part)
                    } else {
                        out.extend_from_slice(part)
                    }
                    Ok(())
                };
                demux.split(part, sink).expect("valid");
            }
            assert_eq!((out.as_slice(), err.as_slice()), (&b"out"[..], &b"er"[..]));
        }
    }
}

//! An attached stream: our terminal or pipes on one side, a container's on the other.
//!
//! States: *forwarding* → *input ended* (half closed) → *output ended*; or *detached* at any time
//! when the user types the detach keys. The terminal is restored on every way out.

mod detach;
mod signals;

use std::io::{Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::CliError;
use api::client::{HijackWriter, Hijacked};
use api::stream::Channel;
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
        let (mut output, input) = stream.split();
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
                    Err(e) => return Err(CliError::talk("read the container's output", e)),
                },
            }
        }
    }
}

/// Sends standard input until it ends or the detach keys come; true for the latter.
async fn send_input(mut input: HijackWriter, stdin: bool, mut keys: Option<Keys>) -> bool {
    if stdin {
        let mut chunks = read_stdin();
        while let Some(chunk) = chunks.recv().await {
            let (chunk, detached) = match &mut keys {
                Some(keys) => keys.filter(&chunk),
                None => (chunk, false),
            };
            if input.write(&chunk).await.is_err() {
                // The container stopped reading; its output tells the rest.
                return false;
            }
            if detached {
                return true;
            }
        }
        // Half close: the program sees the end of its input. Without stdin this must not happen,
        // some engines take it for the end of the session.
        drop(input.close().await);
        return std::future::pending().await;
    }
    // The write half must live until the output has ended.
    std::future::pending::<()>().await;
    drop(input);
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

/// Writes a container's output to our standard output and standard error.
pub struct Demux {
    /// `None` if everything is standard output.
    frames: Option<api::stream::Demux>,
}

impl Demux {
    /// With `plain` there are no frames: a terminal's output is one stream.
    pub fn new(plain: bool) -> Self {
        Demux { frames: (!plain).then(api::stream::Demux::default) }
    }

    /// Writes the next bytes to where they belong.
    ///
    /// # Errors
    /// [`CliError::Output`], or a frame that nobody knows.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(frames) = &mut self.frames else { return to_stdout(bytes) };
        frames.push(bytes);
        let wrong = |e| CliError::talk("read the container's output", e);
        while let Some((channel, piece)) = frames.next_piece().map_err(wrong)? {
            match channel {
                Channel::Stdin | Channel::Stdout => to_stdout(&piece)?,
                // Nothing can be said when standard error is gone.
                Channel::Stderr | Channel::SystemError => {
                    drop(std::io::stderr().lock().write_all(&piece))
                }
            }
        }
        Ok(())
    }
}

fn to_stdout(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(CliError::Output)
}

//! The multiplexed stream of attach, exec and logs without a terminal.
//!
//! Each frame is an 8-byte head (stream, three zeros, length big-endian) and its payload. Stream 3
//! carries an error text of the engine in the middle of a stream.

use bytes::{Buf, Bytes, BytesMut};

/// Media type of a stream as it comes from a terminal.
pub const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Media type of a multiplexed stream, from 1.42 on.
pub const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

/// Which stream a frame belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard input (only echoed by very old engines).
    Stdin = 0,
    /// Standard output.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// An error of the engine.
    SystemError = 3,
}

/// Length of a frame's head.
pub const HEAD_LEN: usize = 8;

/// The head of a frame with `len` bytes of payload.
pub fn head(channel: Channel, len: u32) -> [u8; HEAD_LEN] {
    let [a, b, c, d] = len.to_be_bytes();
    [channel as u8, 0, 0, 0, a, b, c, d]
}

/// A whole frame.
pub fn frame(channel: Channel, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_LEN + payload.len());
    // A payload of 4 GiB never gets here: it comes out of pipe reads.
    out.extend_from_slice(&head(channel, payload.len() as u32));
    out.extend_from_slice(payload);
    out.freeze()
}

/// A frame with an unknown stream number: the peer isn't multiplexing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized input header: {0}")]
pub struct BadHead(pub u8);

/// Takes a multiplexed byte stream apart. Payload is passed on as it comes, so one frame may come
/// out in several pieces.
#[derive(Debug, Default)]
pub struct Demux {
    buffer: BytesMut,
    current: Option<(Channel, usize)>,
}

impl Demux {
    /// Takes in what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next piece of payload, `None` until more is pushed.
    pub fn next_piece(&mut self) -> Result<Option<(Channel, Bytes)>, BadHead> {
        loop {
            let (channel, left) = match self.current {
                Some(current) => current,
                None => match self.read_head()? {
                    Some(current) => current,
                    None => return Ok(None),
                },
            };
            if left == 0 {
                self.current = None;
                continue;
            }
            if self.buffer.is_empty() {
                self.current = Some((channel, left));
                return Ok(None);
            }
            let piece = self.buffer.split_to(left.min(self.buffer.len())).freeze();
            let left = left - piece.len();
            self.current = (left > 0).then_some((channel, left));
            return Ok(Some((channel, piece)));
        }
    }

    fn read_head(&mut self) -> Result<Option<(Channel, usize)>, BadHead> {
        if self.buffer.len() < HEAD_LEN {
            return Ok(None);
        }
        let channel = match self.buffer[0] {
            0 => Channel::Stdin,
            1 => Channel::Stdout,
            2 => Channel::Stderr,
            3 => Channel::SystemError,
            other => return Err(BadHead(other)),
        };
        self.buffer.advance(4);
        let len = self.buffer.get_u32() as usize;
        Ok(Some((channel, len)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whatever_the_cuts() {
        let mut wire = Vec::new();
        wire.extend_from_slice(&frame(Channel::Stdout, b"hello"));
        wire.extend_from_slice(&frame(Channel::Stderr, b""));
        wire.extend_from_slice(&frame(Channel::Stderr, b"oops"));
        for cut in 1..wire.len() {
            let mut demux = Demux::default();
            let (mut out, mut err) = (Vec::new(), Vec::new());
            for part in wire.chunks(cut) {
                demux.push(part);
                while let Some((channel, piece)) = demux.next_piece().unwrap() {
                    match channel {
                        Channel::Stdout => out.extend_from_slice(&piece),
                        Channel::Stderr => err.extend_from_slice(&piece),
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert_eq!((out.as_slice(), err.as_slice()), (&b"hello"[..], &b"oops"[..]));
        }
    }

    #[test]
    fn raw_bytes_are_no_frame() {
        let mut demux = Demux::default();
        demux.push(b"hello world");
        assert_eq!(demux.next_piece(), Err(BadHead(b'h')));
    }
}

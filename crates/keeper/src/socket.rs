//! One end of the control connection: whole messages in and out of a packet socket.
//!
//! Owns the spilling of large bodies into memfds and the queue of what the socket had no room for. Used by both
//! sides; knows frames, but not what requests mean.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use sys::packet;

use crate::protocol::frame::{self, FrameError, HEADER, Header, INLINE_LIMIT, Kind};

/// Packets that may wait for a peer that doesn't read; more, and the connection is given up.
const QUEUE_LIMIT: usize = 8192;

/// A received message whose body isn't decoded yet.
#[derive(Debug)]
pub(crate) struct Message {
    pub kind: Kind,
    pub seq: u32,
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The peer closed it.
    #[error("the connection to the keeper is closed")]
    Closed,
    /// The peer doesn't read.
    #[error("the peer reads too slowly: {0} messages are waiting")]
    Stuck(usize),
    /// The kernel refused.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The peer speaks something else.
    #[error("cannot read a message")]
    Frame {
        /// What is wrong with it.
        source: FrameError,
    },
}

#[derive(Debug)]
struct Waiting {
    packet: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// A connected packet socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    waiting: VecDeque<Waiting>,
    /// Room for the largest packet; only as much of it becomes memory as packets were long.
    buffer: Vec<u8>,
}

impl Socket {
    pub fn new(fd: OwnedFd) -> Self {
        Socket { fd, waiting: VecDeque::new(), buffer: vec![0; INLINE_LIMIT + HEADER] }
    }

    /// Whether [`Socket::flush`] has something to do once the socket is writable.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Sends a message, or keeps it (with duplicates of its fds) until there is room.
    pub fn send<T: Serialize>(
        &mut self,
        kind: Kind,
        seq: u32,
        message: &T,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), SocketError> {
        let mut packet =
            frame::encode_body(message).map_err(|source| SocketError::Frame { source })?;
        let spilled = packet.len() > INLINE_LIMIT + HEADER;
        packet[..HEADER].copy_from_slice(&Header { kind, spilled, seq }.encode());
        if !spilled {
            return self.push(packet, fds);
        }
        let spill = spill(&packet[HEADER..]).map_err(|source| SocketError::Io {
            action: "keep a large message in memory",
            source,
        })?;
        packet.truncate(HEADER);
        let mut all = Vec::with_capacity(fds.len() + 1);
        all.push(spill.as_fd());
        all.extend_from_slice(fds);
        self.push(packet, &all)
    }

    fn push(&mut self, packet: Vec<u8>, fds: &[BorrowedFd<'_>]) -> Result<(), SocketError> {
        if self.waiting.is_empty() && send_now(&self.fd, &packet, fds)? {
            return Ok(());
        }
        if self.waiting.len() >= QUEUE_LIMIT {
            return Err(SocketError::Stuck(self.waiting.len()));
        }
        let fds = fds.iter().map(BorrowedFd::try_clone_to_owned).collect::<io::Result<_>>();
        let fds =
            fds.map_err(|source| SocketError::Io { action: "duplicate a descriptor", source })?;
        self.waiting.push_back(Waiting { packet, fds });
        Ok(())
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self) -> Result<(), SocketError> {
        while let Some(next) = self.waiting.front() {
            let fds: Vec<_> = next.fds.iter().map(AsFd::as_fd).collect();
            if !send_now(&self.fd, &next.packet, &fds)? {
                break;
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// Receives the next message; `None` when there is none yet.
    pub fn receive(&mut self) -> Result<Option<Message>, SocketError> {
        let received = packet::receive(&self.fd, &mut self.buffer)
            .map_err(|source| closed_or("receive a message", source))?;
        let Some(packet) = received else { return Ok(None) };
        if packet.len == 0 {
            return Err(SocketError::Closed);
        }
        let (header, body) = Header::decode(&self.buffer[..packet.len])
            .map_err(|source| SocketError::Frame { source })?;
        let mut fds = packet.fds;
        let body = if header.spilled {
            if fds.is_empty() {
                return Err(SocketError::Frame { source: FrameError::Header });
            }
            unspill(fds.remove(0))?
        } else {
            body.to_vec()
        };
        Ok(Some(Message { kind: header.kind, seq: header.seq, body, fds }))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn send_now(fd: &OwnedFd, packet: &[u8], fds: &[BorrowedFd<'_>]) -> Result<bool, SocketError> {
    packet::send(fd, packet, fds).map_err(|source| closed_or("send a message", source))
}

fn closed_or(action: &'static str, source: io::Error) -> SocketError {
    match source.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SocketError::Closed,
        _ => SocketError::Io { action, source },
    }
}

fn spill(body: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(sys::memory::file(c"cale-message")?);
    file.write_all(body)?;
    Ok(file.into())
}

/// Reads a spilled body by position, so that the sender's file offset doesn't matter, and never more than the limit:
/// the sender could grow it meanwhile.
fn unspill(fd: OwnedFd) -> Result<Vec<u8>, SocketError> {
    use std::io::Seek;
    let mut file = File::from(fd);
    let mut body = Vec::new();
    file.rewind()
        .and_then(|()| file.take(frame::BODY_LIMIT as u64 + 1).read_to_end(&mut body))
        .map_err(|source| SocketError::Io { action: "read a large message", source })?;
    if body.len() > frame::BODY_LIMIT {
        return Err(SocketError::Frame { source: FrameError::TooLarge(body.len()) });
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (Socket, Socket) {
        let (a, b) = packet::pair().unwrap();
        (Socket::new(a), Socket::new(b))
    }

    #[test]
    fn small_and_large_messages_arrive_whole() {
        let (mut a, mut b) = ends();
        for len in [0, 10, INLINE_LIMIT - 8, INLINE_LIMIT, INLINE_LIMIT + 1, 3 << 20] {
            let text = "x".repeat(len);
            let fd = a.as_fd().try_clone_to_owned().unwrap();
            a.send(Kind::Request, 7, &text, &[fd.as_fd()]).unwrap();
            let message = b.receive().unwrap().unwrap();
            assert_eq!((message.kind, message.seq, message.fds.len()), (Kind::Request, 7, 1));
            assert_eq!(frame::decode_body::<String>(&message.body).unwrap(), text);
        }
        assert!(b.receive().unwrap().is_none());
    }

    #[test]
    fn what_has_no_room_waits_in_order() {
        let (mut a, mut b) = ends();
        let text = "y".repeat(30_000);
        for seq in 0..50 {
            a.send(Kind::Event, seq, &text, &[]).unwrap();
        }
        assert!(a.has_waiting());
        for seq in 0..50 {
            let message = loop {
                match b.receive().unwrap() {
                    Some(message) => break message,
                    None => a.flush().unwrap(),
                }
            };
            assert_eq!(message.seq, seq);
        }
        drop(b);
        assert!(matches!(a.send(Kind::Event, 0, &text, &[]), Err(SocketError::Closed)));
    }
}

//! The bytes around a message: a fixed header, so that a packet whose body can't be decoded can still be answered.
//!
//! ```text
//! 0      2      3      4            8
//! | 'ck' | kind | flags| seq u32 LE | body: postcard, or nothing when flags & SPILLED: then it is in a memfd, the first fd
//! ```
//!
//! A body over [`INLINE_LIMIT`] is spilled because a packet is bounded by the socket's send buffer
//! (`net.core.wmem_default`, unix(7)), and an environment alone may be larger than that.
//!
//! States: none. Doesn't send or receive.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes before the body.
pub const HEADER: usize = 8;
/// Largest body that travels in the packet itself.
pub const INLINE_LIMIT: usize = 64 << 10;
/// Largest body accepted at all: a plan with the largest environment that `execve` takes fits several times.
pub const BODY_LIMIT: usize = 16 << 20;
/// Most fds in one packet (`SCM_MAX_FD`, unix(7)).
pub const FD_LIMIT: usize = 253;

const MAGIC: [u8; 2] = *b"ck";
const SPILLED: u8 = 1;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Client to keeper.
    Request,
    /// Keeper to client, with the request's number.
    Reply,
    /// Keeper to client, unasked, number 0.
    Event,
}

/// The fixed part of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// Whether the body is in a memfd.
    pub spilled: bool,
    /// Number of the request that is made or answered.
    pub seq: u32,
}

/// A packet that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not ours, or cut short.
    #[error("packet without a valid header")]
    Header,
    /// The header is fine but this build doesn't know the body.
    #[error("message body of an unknown kind")]
    Body {
        /// What the decoder says.
        source: postcard::Error,
    },
    /// Larger than [`BODY_LIMIT`].
    #[error("message of {0} bytes is too large")]
    TooLarge(usize),
}

impl Header {
    /// As bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER] {
        let kind = match self.kind {
            Kind::Request => 0,
            Kind::Reply => 1,
            Kind::Event => 2,
        };
        let [a, b, c, d] = self.seq.to_le_bytes();
        [MAGIC[0], MAGIC[1], kind, if self.spilled { SPILLED } else { 0 }, a, b, c, d]
    }

    /// From the start of a packet; gives the rest.
    ///
    /// # Errors
    /// When the packet is too short or not ours.
    pub fn decode(packet: &[u8]) -> Result<(Header, &[u8]), FrameError> {
        let Some((&[m0, m1, kind, flags, a, b, c, d], body)) = packet.split_first_chunk::<HEADER>()
        else {
            return Err(FrameError::Header);
        };
        let kind = match ([m0, m1] == MAGIC, kind) {
            (true, 0) => Kind::Request,
            (true, 1) => Kind::Reply,
            (true, 2) => Kind::Event,
            _ => return Err(FrameError::Header),
        };
        Ok((
            Header { kind, spilled: flags & SPILLED != 0, seq: u32::from_le_bytes([a, b, c, d]) },
            body,
        ))
    }
}

/// Encodes a body behind room for a header.
///
/// # Errors
/// When the message is larger than [`BODY_LIMIT`].
pub fn encode_body<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let packet = postcard::to_extend(message, vec![0; HEADER])
        .map_err(|source| FrameError::Body { source })?;
    if packet.len() > BODY_LIMIT { Err(FrameError::TooLarge(packet.len())) } else { Ok(packet) }
}

/// Decodes a body; trailing bytes mean a newer, unknown shape.
///
/// # Errors
/// When this build doesn't know the message.
pub fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, _)) => Err(FrameError::Body { source: postcard::Error::DeserializeBadEncoding }),
        Err(source) => Err(FrameError::Body { source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Request, TaskId};

    #[test]
    fn header_round_trip() {
        for kind in [Kind::Request, Kind::Reply, Kind::Event] {
            let header = Header { kind, spilled: kind == Kind::Reply, seq: 0xdead_beef };
            let mut packet = header.encode().to_vec();
            packet.push(7);
            assert_eq!(Header::decode(&packet).unwrap(), (header, &[7u8][..]));
        }
        assert!(Header::decode(b"ck").is_err());
        assert!(Header::decode(b"xk\0\0\0\0\0\0").is_err());
        assert!(Header::decode(b"ck\x09\0\0\0\0\0").is_err());
    }

    #[test]
    fn an_unknown_variant_is_an_error_not_a_panic() {
        assert!(matches!(decode_body::<Request>(&[0xff, 0x01]), Err(FrameError::Body { .. })));
        let mut body = encode_body(&Request::Forget { id: TaskId::container("a").unwrap() })
            .unwrap()
            .split_off(HEADER);
        assert!(decode_body::<Request>(&body).is_ok());
        body.push(0);
        assert!(decode_body::<Request>(&body).is_err(), "trailing bytes");
    }

    #[test]
    fn the_wire_order_of_requests_is_frozen() {
        // Appending is fine; reordering breaks a keeper that is already running.
        let id = TaskId::container("a").unwrap();
        let first = |request: &Request| encode_body(request).unwrap()[HEADER];
        assert_eq!(first(&Request::Inventory), 7);
        assert_eq!(first(&Request::Forget { id: id.clone() }), 9);
        assert_eq!(first(&Request::WatchLog { id }), 11);
        assert_eq!(first(&Request::Subscribe), 12);
        assert_eq!(first(&Request::Shutdown { hand_over: false }), 13);
    }
}

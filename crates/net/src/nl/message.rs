//! Encoder: many messages into one buffer.

/// Acknowledge this message (`NLM_F_ACK`).
pub const ACK: u16 = 0x4;
/// A request (`NLM_F_REQUEST`), set on all messages here.
pub const REQUEST: u16 = 0x1;
/// Dump everything (`NLM_F_DUMP`).
pub const DUMP: u16 = 0x300;
/// Create if absent (`NLM_F_CREATE`).
pub const CREATE: u16 = 0x400;
/// Fail if present (`NLM_F_EXCL`).
pub const EXCL: u16 = 0x200;
/// Put at the end (`NLM_F_APPEND`).
pub const APPEND: u16 = 0x800;
/// Replace if present (`NLM_F_REPLACE`).
pub const REPLACE: u16 = 0x100;

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;

/// Several netlink messages, sent with one system call. Messages are numbered from 1 in order.
#[derive(Debug, Default)]
pub struct Batch {
    buffer: Vec<u8>,
    /// Start of the message that is being built.
    start: usize,
    /// What each message does, for errors: index is sequence number - 1.
    subjects: Vec<Subject>,
}

/// What a message does, for the error that names it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Verb: `create`.
    pub action: &'static str,
    /// Object: `bridge br-0123`.
    pub what: String,
    /// Whether the kernel will send an acknowledgement.
    pub acked: bool,
    /// An errno that means "already so" and is no failure.
    pub tolerated: Option<i32>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a message. `flags` beyond `REQUEST`; `header` is the family's fixed part.
    pub fn begin(
        &mut self,
        kind: u16,
        flags: u16,
        header: &[u8],
        action: &'static str,
        what: impl Into<String>,
    ) {
        self.start = self.buffer.len();
        self.subjects.push(Subject {
            action,
            what: what.into(),
            acked: flags & ACK != 0,
            tolerated: None,
        });
        let sequence = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        self.buffer.extend_from_slice(&0u32.to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.buffer.extend_from_slice(&sequence.to_ne_bytes());
        self.buffer.extend_from_slice(&0u32.to_ne_bytes());
        self.buffer.extend_from_slice(header);
        self.close_message();
    }

    /// The errno that the last begun message may fail with.
    pub fn tolerate(&mut self, errno: i32) {
        if let Some(subject) = self.subjects.last_mut() {
            subject.tolerated = Some(errno);
        }
    }

    /// Asks for an acknowledgement of the last begun message.
    pub fn ack_last(&mut self) {
        if let Some(subject) = self.subjects.last_mut() {
            subject.acked = true;
            self.buffer[self.start + 6] |= ACK.to_ne_bytes()[0];
        }
    }

    /// Adds an attribute of raw bytes.
    pub fn bytes(&mut self, kind: u16, payload: &[u8]) {
        let length = u16::try_from(payload.len() + 4).expect("attributes here are short");
        self.buffer.extend_from_slice(&length.to_ne_bytes());
        self.buffer.extend_from_slice(&kind.to_ne_bytes());
        self.buffer.extend_from_slice(payload);
        self.pad();
        self.close_message();
    }

    /// Adds a byte.
    pub fn u8(&mut self, kind: u16, value: u8) {
        self.bytes(kind, &[value]);
    }

    /// Adds a number in host byte order (rtnetlink).
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// Adds a number in network byte order (netfilter).
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Adds a text with its NUL.
    pub fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// Adds a nest of attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        self.nest_after(kind, &[], fill);
    }

    /// Adds a nest whose attributes follow a fixed part (`VETH_INFO_PEER`).
    pub fn nest_after(&mut self, kind: u16, fixed: &[u8], fill: impl FnOnce(&mut Self)) {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; 2]);
        self.buffer.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        self.buffer.extend_from_slice(fixed);
        self.pad();
        fill(self);
        // The kernel limits a nest to 64 KiB; callers split lists of elements below that.
        let length = u16::try_from(self.buffer.len() - at).expect("nests are split by callers");
        self.buffer[at..at + 2].copy_from_slice(&length.to_ne_bytes());
        self.close_message();
    }

    /// Adds a nest whose attributes are encoded already.
    pub fn nested(&mut self, kind: u16, attributes: &[u8]) {
        self.bytes(kind | NESTED, attributes);
    }

    /// All messages.
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// How many messages.
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// What the message with this sequence number does.
    pub fn subject(&self, sequence: u32) -> Option<&Subject> {
        self.subjects.get(usize::try_from(sequence).ok()?.checked_sub(1)?)
    }

    /// What each message does, in order.
    pub fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    fn pad(&mut self) {
        while !self.buffer.len().is_multiple_of(4) {
            self.buffer.push(0);
        }
    }

    fn close_message(&mut self) {
        debug_assert!(self.buffer.len() >= self.start + HEADER);
        let length = u32::try_from(self.buffer.len() - self.start).unwrap_or(u32::MAX);
        self.buffer[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nl::parse::{Attributes, Messages};

    #[test]
    fn what_is_written_can_be_read() {
        let mut batch = Batch::new();
        batch.begin(16, CREATE | ACK, &[7; 16], "create", "link a");
        batch.text(3, "eth0");
        batch.nest(18, |batch| {
            batch.text(1, "veth");
            batch.nest_after(2, &[9; 5], |batch| batch.u32(4, 0x0102_0304));
        });
        batch.begin(20, ACK, &[1, 2, 3, 4], "add", "address");
        batch.u8(1, 5);

        let messages: Vec<_> = Messages::new(batch.as_bytes()).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!((messages[0].kind, messages[0].sequence), (16, 1));
        let attributes: Vec<_> = Attributes::new(&messages[0].payload[16..]).collect();
        assert_eq!(attributes[0], (3, &b"eth0\0"[..]));
        assert_eq!(attributes[1].0, 18);
        let inner: Vec<_> = Attributes::new(attributes[1].1).collect();
        assert_eq!(inner[0], (1, &b"veth\0"[..]));
        let deep: Vec<_> = Attributes::new(&inner[1].1[8..]).collect();
        assert_eq!(deep, [(4, &0x0102_0304u32.to_ne_bytes()[..])]);
        assert_eq!(Attributes::new(&messages[1].payload[4..]).collect::<Vec<_>>(), [(1, &[5][..])]);
        assert_eq!(batch.subject(2).unwrap().what, "address");
        assert!(batch.subject(0).is_none() && batch.subject(3).is_none());
    }
}

//! A connection to one protocol of one namespace: performs batches, collects dumps.

use std::{io, time::Duration};

use sys::netlink::{Netlink, Protocol};

use super::{
    message::{Batch, Subject},
    parse::{self, Attributes, Messages},
};

/// Bytes that one send may carry; beyond it a batch is refused.
pub const SEND_MAX: usize = 8 << 20;

const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const RECEIVE_SIZE: usize = 128 << 10;

/// What the kernel refused.
#[derive(Debug)]
pub struct Refused {
    /// Verb and object of the message.
    pub action: &'static str,
    /// Object of the message, with the kernel's explanation if it gave one.
    pub what: String,
    /// The errno.
    pub source: io::Error,
}

impl From<Refused> for crate::Error {
    fn from(refused: Refused) -> Self {
        Self::Kernel { action: refused.action, subject: refused.what, source: refused.source }
    }
}

/// A socket that waits for the answers to what it sends.
#[derive(Debug)]
pub struct Connection {
    socket: Netlink,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects in the namespace of the calling thread. The connection stays in it wherever it is used from.
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let socket = Netlink::open(protocol, 0)?;
        // The kernel answers within the send; a timeout only guards against a lost answer.
        socket.set_receive_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    /// Makes room for large batches.
    pub fn reserve(&self, bytes: usize) -> io::Result<()> {
        self.socket.reserve(bytes)
    }

    /// Sends all messages and waits for their acknowledgements.
    ///
    /// rtnetlink goes on after a refused message, so a batch is not a transaction there; the
    /// first refusal is returned after all answers are in. nftables batches are transactions.
    pub fn perform(&mut self, batch: &Batch) -> Result<(), Refused> {
        self.perform_with(batch, |_, _| {})
    }

    /// As `perform`, and hands over what the kernel sends besides acknowledgements (type, payload).
    pub fn perform_with(
        &mut self,
        batch: &Batch,
        mut take: impl FnMut(u16, &[u8]),
    ) -> Result<(), Refused> {
        let last_acked = batch.subjects().iter().rposition(|subject| subject.acked);
        let Some(last) = last_acked.and_then(|at| u32::try_from(at + 1).ok()) else {
            return Ok(());
        };
        let unknown =
            Subject { action: "talk to", what: "the kernel".into(), acked: true, tolerated: None };
        let fail = |sequence: u32, source: io::Error, hint: &str| {
            let subject = batch.subject(sequence).unwrap_or(&unknown);
            let what = if hint.is_empty() {
                subject.what.clone()
            } else {
                format!("{} ({hint})", subject.what)
            };
            Refused { action: subject.action, what, source }
        };
        self.buffer.resize(RECEIVE_SIZE, 0);
        self.socket.send(batch.as_bytes()).map_err(|error| fail(last, error, ""))?;
        let mut refused: Option<Refused> = None;
        loop {
            let length = match self.socket.receive(&mut self.buffer) {
                Ok(length) => length,
                // Everything was handled but not every answer fitted: what was refused stands.
                Err(error) => return Err(refused.unwrap_or_else(|| fail(last, error, ""))),
            };
            for message in Messages::new(&self.buffer[..length]) {
                if message.kind != parse::ERROR {
                    take(message.kind, message.payload);
                    continue;
                }
                let (code, hint) = error_of(&message);
                if code != 0 && refused.is_none() {
                    let tolerated = batch.subject(message.sequence).and_then(|s| s.tolerated);
                    if tolerated != Some(code) {
                        let source = io::Error::from_raw_os_error(code);
                        refused = Some(fail(message.sequence, source, hint));
                    }
                }
                // A transaction that fails as a whole answers with the sequence of its first
                // message and sends nothing more.
                let whole = code != 0 && batch.subject(message.sequence).is_some_and(|s| !s.acked);
                if message.sequence >= last || whole {
                    return refused.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Sends one dump request and hands over every object (type, payload).
    pub fn dump(&mut self, batch: &Batch, mut take: impl FnMut(u16, &[u8])) -> io::Result<()> {
        self.buffer.resize(RECEIVE_SIZE, 0);
        self.socket.send(batch.as_bytes())?;
        loop {
            let length = self.socket.receive(&mut self.buffer)?;
            for message in Messages::new(&self.buffer[..length]) {
                match message.kind {
                    parse::DONE => return Ok(()),
                    parse::ERROR => match error_of(&message).0 {
                        0 => return Ok(()),
                        code => return Err(io::Error::from_raw_os_error(code)),
                    },
                    kind => take(kind, message.payload),
                }
            }
        }
    }
}

/// The errno (0: done) and the kernel's explanation.
fn error_of<'a>(message: &parse::Message<'a>) -> (i32, &'a str) {
    let code = parse::u32_at(message.payload, 0).map_or(libc::EBADMSG, |code| -code.cast_signed());
    // With NETLINK_CAP_ACK the echoed request is its header only: attributes follow at 4 + 16.
    let hint = if message.flags & NLM_F_ACK_TLVS != 0 && message.payload.len() > 20 {
        Attributes::new(&message.payload[20..]).find(NLMSGERR_ATTR_MSG).map_or("", parse::text)
    } else {
        ""
    };
    (code, hint)
}

//! A connection to one protocol of one namespace: performs batches, collects dumps.

use std::{io, time::Duration};

use sys::netlink::{Netlink, Protocol};

use super::{
    message::Batch,
    parse::{self, Attributes, Messages},
};

/// Bytes that one send may carry; beyond it a batch is refused.
pub const SEND_MAX: usize = 8 << 20;

const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// The kernel builds dumps in pieces of at most 32 KiB (`NLMSG_GOODSIZE`, `max_recvmsg_len`).
const RECEIVE_SIZE: usize = 33 << 10;

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
}

impl Connection {
    /// Connects in the namespace of the calling thread. The connection stays in it wherever it is used from.
    pub fn open(protocol: Protocol) -> io::Result<Self> {
        let socket = Netlink::open(protocol, 0)?;
        // The kernel answers within the send; a timeout only guards against a lost answer.
        socket.set_receive_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { socket })
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
        let Some(last) = batch.subjects().iter().rposition(|subject| subject.acked) else {
            return Ok(());
        };
        let last = u32::try_from(last + 1).unwrap_or(u32::MAX);
        let mut buffer = vec![0; RECEIVE_SIZE];
        self.socket.send(batch.as_bytes()).map_err(|error| refusal(batch, last, error, ""))?;
        // The kernel handles the batch and queues all answers before send returns.
        let mut refused: Option<Refused> = None;
        let mut finished = false;
        loop {
            let length = match self.socket.try_receive(&mut buffer) {
                Ok(Some(length)) => length,
                Ok(None) if finished || refused.is_some() => break,
                Ok(None) => {
                    let source = io::Error::from_raw_os_error(libc::ENOMSG);
                    return Err(refusal(batch, last, source, "no answer"));
                }
                // Everything was handled, but not every answer fitted.
                Err(error) => {
                    return Err(refused.unwrap_or_else(|| refusal(batch, last, error, "")));
                }
            };
            for message in Messages::new(&buffer[..length]) {
                if message.kind != parse::ERROR {
                    take(message.kind, message.payload);
                    continue;
                }
                finished |= message.sequence >= last;
                let (code, hint) = error_of(&message);
                let tolerated = batch.subject(message.sequence).and_then(|s| s.tolerated);
                if code != 0 && tolerated != Some(code) && refused.is_none() {
                    let source = io::Error::from_raw_os_error(code);
                    refused = Some(refusal(batch, message.sequence, source, hint));
                }
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// The address that events caused by this connection bear.
    pub fn port_id(&self) -> io::Result<u32> {
        self.socket.port_id()
    }

    /// Sends one dump request and hands over every object (type, payload).
    pub fn dump(&mut self, batch: &Batch, mut take: impl FnMut(u16, &[u8])) -> io::Result<()> {
        let mut buffer = vec![0; RECEIVE_SIZE];
        self.socket.send(batch.as_bytes())?;
        loop {
            let length = self.socket.receive(&mut buffer)?;
            for message in Messages::new(&buffer[..length]) {
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

fn refusal(batch: &Batch, sequence: u32, source: io::Error, hint: &str) -> Refused {
    let (action, mut what) = match batch.subject(sequence) {
        Some(subject) => (subject.action, subject.what.clone()),
        None => ("talk to", "the kernel".to_owned()),
    };
    if !hint.is_empty() {
        what = format!("{what} ({hint})");
    }
    Refused { action, what, source }
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

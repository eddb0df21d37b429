//! Expressions of a rule, evaluated from left to right on a packet.
//!
//! A rule stops at the first comparison or lookup that fails. Values live in sixteen registers of
//! four bytes; values longer than four bytes take several in a row.

use crate::{config::Family, nl::Batch};

const EXPR_NAME: u16 = 1;
const EXPR_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const REG_VERDICT: u32 = 0;
/// `NFT_REG32_00`.
const FIRST_REGISTER: u32 = 8;

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
pub fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// A four-byte register, 0 … 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u32);

impl Register {
    fn number(self) -> u32 {
        FIRST_REGISTER + self.0
    }
}

/// What `meta` loads (`NFT_META_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// Packet mark, four bytes.
    Mark = 3,
    /// Name of the incoming interface, sixteen bytes.
    IifName = 6,
    /// Name of the outgoing interface, sixteen bytes.
    OifName = 7,
    /// Address family, one byte.
    NfProto = 15,
    /// Transport protocol, one byte.
    L4Proto = 16,
}

/// Which header `payload` loads from (`NFT_PAYLOAD_*_HEADER`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// IPv4 or IPv6.
    Network = 1,
    /// TCP, UDP, SCTP.
    Transport = 2,
}

/// What `ct` loads (`NFT_CT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ct {
    /// Bits of the connection's state.
    State = 0,
    /// Bits of the connection's history (`IPS_*`).
    Status = 2,
}

/// How a comparison decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cmp {
    /// Goes on when equal.
    Equal = 0,
    /// Goes on when different.
    NotEqual = 1,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the next hook.
    Accept,
    /// Nowhere.
    Drop,
    /// To another chain, and back.
    Jump(&'static str),
}

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Loads packet metadata.
    Meta(Meta, Register),
    /// Sets the packet mark.
    SetMark(Register),
    /// Loads header bytes: header, offset, length, register.
    Payload(Header, u32, u32, Register),
    /// Loads connection data (four bytes, host byte order).
    Ct(Ct, Register),
    /// Loads what kind of address the destination is (`RTN_*`, host byte order).
    FibDestinationType(Register),
    /// Loads a constant.
    Immediate(Register, Vec<u8>),
    /// Compares.
    Compare(Register, Cmp, Vec<u8>),
    /// Keeps the bits of a mask and sets those of the second value, in place.
    Bits(Register, Vec<u8>, Vec<u8>),
    /// Goes on when the set holds the register's value (or does not, when inverted).
    InSet { set: &'static str, key: Register, inverted: bool },
    /// Goes on when the map has an entry, loading it.
    FromMap { map: &'static str, key: Register, value: Register },
    /// Rewrites the destination.
    Dnat { family: Family, addr: Register, port: Option<Register> },
    /// Rewrites the source.
    Snat { family: Family, addr: Register },
    /// Rewrites the source to the outgoing interface's address.
    Masquerade,
    /// Counts packets and bytes.
    Counter,
    /// Ends.
    Verdict(Verdict),
}

impl Expr {
    /// Appends the expression to a rule's list.
    pub fn encode(&self, batch: &mut Batch) {
        batch.text(EXPR_NAME, self.name());
        batch.nest(EXPR_DATA, |batch| self.encode_data(batch));
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) | Self::SetMark(_) => "meta",
            Self::Payload(..) => "payload",
            Self::Ct(..) => "ct",
            Self::FibDestinationType(_) => "fib",
            Self::Immediate(..) | Self::Verdict(_) => "immediate",
            Self::Compare(..) => "cmp",
            Self::Bits(..) => "bitwise",
            Self::InSet { .. } | Self::FromMap { .. } => "lookup",
            Self::Dnat { .. } | Self::Snat { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Counter => "counter",
        }
    }

    fn encode_data(&self, batch: &mut Batch) {
        match self {
            Self::Meta(key, to) => {
                batch.be32(1, to.number());
                batch.be32(2, *key as u32);
            }
            Self::SetMark(from) => {
                batch.be32(2, Meta::Mark as u32);
                batch.be32(3, from.number());
            }
            Self::Payload(header, offset, length, to) => {
                batch.be32(1, to.number());
                batch.be32(2, *header as u32);
                batch.be32(3, *offset);
                batch.be32(4, *length);
            }
            Self::Ct(key, to) => {
                batch.be32(1, to.number());
                batch.be32(2, *key as u32);
            }
            Self::FibDestinationType(to) => {
                const RESULT_ADDRTYPE: u32 = 3;
                const FLAG_DADDR: u32 = 2;
                batch.be32(1, to.number());
                batch.be32(2, RESULT_ADDRTYPE);
                batch.be32(3, FLAG_DADDR);
            }
            Self::Immediate(to, value) => {
                batch.be32(1, to.number());
                data(batch, 2, value);
            }
            Self::Compare(from, how, value) => {
                batch.be32(1, from.number());
                batch.be32(2, *how as u32);
                data(batch, 3, value);
            }
            Self::Bits(register, mask, set) => {
                batch.be32(1, register.number());
                batch.be32(2, register.number());
                batch.be32(3, u32::try_from(mask.len()).expect("masks are at most 16 bytes"));
                data(batch, 4, mask);
                data(batch, 5, set);
            }
            Self::InSet { set, key, inverted } => {
                batch.text(1, set);
                batch.be32(2, key.number());
                if *inverted {
                    batch.be32(5, 1);
                }
            }
            Self::FromMap { map, key, value } => {
                batch.text(1, map);
                batch.be32(2, key.number());
                batch.be32(3, value.number());
            }
            Self::Dnat { family, addr, port } => encode_nat(batch, 1, *family, *addr, *port),
            Self::Snat { family, addr } => encode_nat(batch, 0, *family, *addr, None),
            Self::Masquerade | Self::Counter => {}
            Self::Verdict(verdict) => {
                batch.be32(1, REG_VERDICT);
                batch.nest(2, |batch| encode_verdict(batch, *verdict));
            }
        }
    }
}

fn encode_nat(
    batch: &mut Batch,
    kind: u32,
    family: Family,
    addr: Register,
    port: Option<Register>,
) {
    batch.be32(1, kind);
    batch.be32(2, u32::from(nfproto(family)));
    batch.be32(3, addr.number());
    batch.be32(4, addr.number());
    if let Some(port) = port {
        batch.be32(5, port.number());
        batch.be32(6, port.number());
    }
}

fn encode_verdict(batch: &mut Batch, verdict: Verdict) {
    const NF_DROP: u32 = 0;
    const NF_ACCEPT: u32 = 1;
    const NFT_JUMP: u32 = -3i32 as u32;
    batch.nest(DATA_VERDICT, |batch| match verdict {
        Verdict::Accept => batch.be32(VERDICT_CODE, NF_ACCEPT),
        Verdict::Drop => batch.be32(VERDICT_CODE, NF_DROP),
        Verdict::Jump(chain) => {
            batch.be32(VERDICT_CODE, NFT_JUMP);
            batch.text(VERDICT_CHAIN, chain);
        }
    });
}

/// A constant value in a nest.
pub(super) fn data(batch: &mut Batch, kind: u16, value: &[u8]) {
    batch.nest(kind, |batch| batch.bytes(DATA_VALUE, value));
}

//! Forgetting connections (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! The kernel decides on a flow's translation once. A UDP flow lives on after its port is
//! unpublished, and the next container with the address would get it; and one that began before
//! its port was published is never translated.

use std::{io, net::IpAddr};

use super::{
    address::octets,
    conn::Connection,
    message::{ACK, Batch, DUMP},
    parse::Attributes,
};
use crate::{
    config::Family,
    nft::{expr::nfproto, nfgenmsg},
};

const CT_NEW: u16 = 1 << 8;
const CT_GET: u16 = (1 << 8) | 1;
const CT_DELETE: u16 = (1 << 8) | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ZONE: u16 = 18;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const IPPROTO_UDP: u8 = 17;
/// Acknowledgements of one batch must fit the receive buffer.
const BATCH_MAX: usize = 64;

/// Forgets every flow whose answers come from `container`: those that were translated to it.
/// Returns how many there were.
pub fn forget_translated(conn: &mut Connection, container: IpAddr) -> io::Result<usize> {
    let wanted = octets(container);
    forget(conn, Family::of(container), |flow| flow.answers_from == Some(&wanted[..]))
}

/// Forgets every UDP flow to one of the ports, first and last.
pub fn forget_udp_ports(
    conn: &mut Connection,
    family: Family,
    ports: &[(u16, u16)],
) -> io::Result<usize> {
    forget(conn, family, |flow| {
        let is_published =
            |port| ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
        flow.protocol == Some(IPPROTO_UDP) && flow.to_port.is_some_and(is_published)
    })
}

/// What a flow is judged by.
struct Flow<'a> {
    protocol: Option<u8>,
    to_port: Option<u16>,
    answers_from: Option<&'a [u8]>,
}

fn forget(
    conn: &mut Connection,
    family: Family,
    is_doomed: impl Fn(&Flow<'_>) -> bool,
) -> io::Result<usize> {
    let header = nfgenmsg(nfproto(family), 0);
    let mut request = Batch::new();
    request.begin(CT_GET, DUMP, &header, "list", "connections");
    let mut batches = vec![Batch::new()];
    conn.dump(&request, |kind, payload| {
        let attributes = Attributes::new(payload.get(4..).unwrap_or(&[]));
        let (CT_NEW, Some(tuple)) = (kind, attributes.find(CTA_TUPLE_ORIG)) else { return };
        if !is_doomed(&flow(&attributes, tuple, family)) {
            return;
        }
        if batches.last().is_some_and(|batch| batch.len() >= BATCH_MAX) {
            batches.push(Batch::new());
        }
        let Some(batch) = batches.last_mut() else { return };
        batch.begin(CT_DELETE, ACK, &header, "forget", "a connection");
        batch.tolerate(libc::ENOENT);
        batch.nested(CTA_TUPLE_ORIG, tuple);
        if let Some(zone) = attributes.find(CTA_ZONE) {
            batch.bytes(CTA_ZONE, zone);
        }
    })?;
    for batch in &batches {
        conn.perform(batch).map_err(|refused| refused.source)?;
    }
    Ok(batches.iter().map(Batch::len).sum())
}

fn flow<'a>(attributes: &Attributes<'a>, original: &'a [u8], family: Family) -> Flow<'a> {
    let source = if family == Family::V4 { CTA_IP_V4_SRC } else { CTA_IP_V6_SRC };
    let within = |nest: Option<&'a [u8]>, kind| Attributes::new(nest?).find(kind);
    let ports = within(Some(original), CTA_TUPLE_PROTO);
    let to_port = within(ports, CTA_PROTO_DST_PORT).and_then(|port| <[u8; 2]>::try_from(port).ok());
    Flow {
        protocol: within(ports, CTA_PROTO_NUM).and_then(|number| number.first().copied()),
        to_port: to_port.map(u16::from_be_bytes),
        answers_from: within(within(attributes.find(CTA_TUPLE_REPLY), CTA_TUPLE_IP), source),
    }
}

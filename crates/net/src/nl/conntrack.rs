//! Forgetting connections (`linux/netfilter/nfnetlink_conntrack.h`).
//!
//! A translated UDP flow lives on in the kernel's table after its port is unpublished; the next
//! container with the address would get it.

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
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V6_SRC: u16 = 3;

/// Forgets every flow whose answers come from `container`: those that were translated to it.
/// Returns how many there were.
pub fn forget_translated(conn: &mut Connection, container: IpAddr) -> io::Result<usize> {
    let family = Family::of(container);
    let wanted = octets(container);
    let source_kind = if family == Family::V4 { CTA_IP_V4_SRC } else { CTA_IP_V6_SRC };
    let mut request = Batch::new();
    request.begin(CT_GET, DUMP, &nfgenmsg(nfproto(family), 0), "list", "connections");
    let mut doomed = Batch::new();
    let mut batches = Vec::new();
    conn.dump(&request, |kind, payload| {
        let attributes = Attributes::new(payload.get(4..).unwrap_or(&[]));
        let answer_from = attributes
            .find(CTA_TUPLE_REPLY)
            .and_then(|tuple| Attributes::new(tuple).find(CTA_TUPLE_IP))
            .and_then(|ip| Attributes::new(ip).find(source_kind));
        let (CT_NEW, Some(tuple)) = (kind, attributes.find(CTA_TUPLE_ORIG)) else { return };
        if answer_from != Some(&wanted[..]) {
            return;
        }
        doomed.begin(CT_DELETE, ACK, &nfgenmsg(nfproto(family), 0), "forget", "a connection");
        doomed.tolerate(libc::ENOENT);
        doomed.nested(CTA_TUPLE_ORIG, tuple);
        if let Some(zone) = attributes.find(CTA_ZONE) {
            doomed.bytes(CTA_ZONE, zone);
        }
        // Answers must fit the receive buffer.
        if doomed.len() >= 64 {
            batches.push(std::mem::take(&mut doomed));
        }
    })?;
    batches.push(doomed);
    let mut count = 0;
    for batch in &batches {
        conn.perform(batch).map_err(|refused| refused.source)?;
        count += batch.len();
    }
    Ok(count)
}

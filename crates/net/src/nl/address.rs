//! Requests on addresses and routes (rtnetlink(7)), and what there are.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    conn::Connection,
    message::{ACK, Batch, CREATE, DUMP, REPLACE},
    parse::{self, Attributes},
};
use crate::cidr::Cidr;

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_F_NODAD: u32 = 0x02;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;

fn family(addr: IpAddr) -> u8 {
    let family = if addr.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    u8::try_from(family).expect("address families are small numbers")
}

/// The bytes of an address in network order.
pub fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Gives a link an address. IPv6 addresses work at once (no duplicate detection: the engine gives
/// each out once).
pub fn add(batch: &mut Batch, link: u32, addr: Cidr) {
    address_message(batch, RTM_NEWADDR, ACK | CREATE | REPLACE, "add", link, addr);
    batch.bytes(IFA_ADDRESS, &octets(addr.addr()));
    match addr.last() {
        IpAddr::V4(broadcast) if addr.prefix() < 31 => {
            batch.bytes(IFA_BROADCAST, &broadcast.octets());
        }
        IpAddr::V4(_) => {}
        IpAddr::V6(_) => batch.u32(IFA_FLAGS, IFA_F_NODAD),
    }
}

/// Takes an address from a link.
pub fn remove(batch: &mut Batch, link: u32, addr: Cidr) {
    address_message(batch, RTM_DELADDR, ACK, "remove", link, addr);
    batch.tolerate(libc::EADDRNOTAVAIL);
}

fn address_message(
    batch: &mut Batch,
    kind: u16,
    flags: u16,
    action: &'static str,
    link: u32,
    addr: Cidr,
) {
    let mut header = [0; 8];
    header[0] = family(addr.addr());
    header[1] = addr.prefix();
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    batch.begin(kind, flags, &header, action, format!("address {addr}"));
    batch.bytes(IFA_LOCAL, &octets(addr.addr()));
}

/// Points the default route of a family at a gateway, replacing the one there was.
pub fn set_default_route(batch: &mut Batch, link: u32, gateway: IpAddr) {
    let header = rtmsg(gateway, 0);
    batch.begin(
        RTM_NEWROUTE,
        ACK | CREATE | REPLACE,
        &header,
        "set",
        format!("default route via {gateway}"),
    );
    batch.bytes(RTA_GATEWAY, &octets(gateway));
    batch.u32(RTA_OIF, link);
}

/// Removes the default route of a family, if there is one.
pub fn remove_default_route(batch: &mut Batch, any: IpAddr) {
    batch.begin(RTM_DELROUTE, ACK, &rtmsg(any, 0), "remove", "default route");
    batch.tolerate(libc::ESRCH);
}

/// Routes a subnet by a gateway.
#[cfg(test)]
pub fn add_route(batch: &mut Batch, link: u32, subnet: Cidr, gateway: IpAddr) {
    let header = rtmsg(gateway, subnet.prefix());
    batch.begin(RTM_NEWROUTE, ACK | CREATE | REPLACE, &header, "set", format!("route to {subnet}"));
    batch.bytes(RTA_DST, &octets(subnet.first()));
    batch.bytes(RTA_GATEWAY, &octets(gateway));
    batch.u32(RTA_OIF, link);
}

fn rtmsg(of_family: IpAddr, prefix: u8) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = family(of_family);
    header[1] = prefix;
    header[4] = RT_TABLE_MAIN;
    header[5] = RTPROT_STATIC;
    header[6] = RT_SCOPE_UNIVERSE;
    header[7] = RTN_UNICAST;
    header
}

/// A route to somewhere smaller than everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub subnet: Cidr,
    /// By which link; 0: several or none.
    pub link: u32,
}

/// All unicast routes of all tables but default routes.
pub fn routes(conn: &mut Connection) -> io::Result<Vec<Route>> {
    let mut batch = Batch::new();
    batch.begin(RTM_GETROUTE, DUMP, &[0; 12], "list", "routes");
    let mut routes = Vec::new();
    conn.dump(&batch, |kind, payload| {
        if kind == RTM_NEWROUTE {
            routes.extend(parse_route(payload));
        }
    })?;
    Ok(routes)
}

fn parse_route(payload: &[u8]) -> Option<Route> {
    let prefix = *payload.get(1)?;
    if prefix == 0 || *payload.get(7)? != RTN_UNICAST {
        return None;
    }
    let attributes = Attributes::new(payload.get(12..)?);
    let addr = ip(attributes.find(RTA_DST)?)?;
    let link = attributes.find(RTA_OIF).and_then(|oif| parse::u32_at(oif, 0)).unwrap_or(0);
    Some(Route { subnet: Cidr::new(addr, prefix).ok()?.network(), link })
}

/// All addresses as (link, address).
pub fn addresses(conn: &mut Connection) -> io::Result<Vec<(u32, Cidr)>> {
    let mut batch = Batch::new();
    batch.begin(RTM_GETADDR, DUMP, &[0; 8], "list", "addresses");
    let mut addresses = Vec::new();
    conn.dump(&batch, |kind, payload| {
        if kind == RTM_NEWADDR {
            addresses.extend(parse_address(payload));
        }
    })?;
    Ok(addresses)
}

fn parse_address(payload: &[u8]) -> Option<(u32, Cidr)> {
    let attributes = Attributes::new(payload.get(8..)?);
    // IPv4: IFA_ADDRESS is the far end of a point-to-point link, IFA_LOCAL is ours.
    let own = attributes.find(IFA_LOCAL).or_else(|| attributes.find(IFA_ADDRESS))?;
    Some((parse::u32_at(payload, 4)?, Cidr::new(ip(own)?, *payload.get(1)?).ok()?))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).into())
}

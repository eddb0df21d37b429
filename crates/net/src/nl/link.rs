//! Requests on links (`linux/if_link.h`): bridges, veth pairs, macvlan; and what links there are.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use super::{
    conn::{Connection, Refused},
    message::{ACK, Batch, CREATE, DUMP, EXCL},
    parse::{self, Attributes},
};
use crate::cidr::Mac;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const INFO_SLAVE_KIND: u16 = 4;
const INFO_SLAVE_DATA: u16 = 5;
const VETH_INFO_PEER: u16 = 1;
const MACVLAN_MODE: u16 = 1;
const IPVLAN_MODE: u16 = 1;
const BRPORT_HAIRPIN: u16 = 4;
const BRPORT_ISOLATED: u16 = 33;
const AF_INET6: u16 = 10;
const INET6_ADDR_GEN_MODE: u16 = 8;
const ADDR_GEN_MODE_NONE: u8 = 1;
const IFF_UP: u32 = 1;

/// A link as the kernel reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// `ifindex`.
    pub index: u32,
    /// Name.
    pub name: String,
    /// `bridge`, `veth`, …; empty for hardware and loopback.
    pub kind: String,
    /// The bridge it is a port of; 0: none.
    pub master: u32,
    /// Administratively up.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// MAC address, if it has one of six bytes.
    pub mac: Option<Mac>,
}

/// Settings of a bridge port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// Frames may leave by the port they came from: needed for published ports on the own bridge
    /// where the kernel shows bridged frames to netfilter (`br_netfilter`).
    pub hairpin: bool,
    /// Never forwards to other isolated ports (`icc=false`).
    pub isolated: bool,
}

/// A veth pair whose one end is born inside a container's namespace.
#[derive(Debug)]
pub struct VethPair<'a> {
    /// Name of the end on the host.
    pub host: &'a str,
    /// Name of the end in the container.
    pub peer: &'a str,
    /// MAC of the end in the container.
    pub peer_mac: Mac,
    /// The container's namespace.
    pub namespace: BorrowedFd<'a>,
    /// `ifindex` of the bridge that the host's end joins.
    pub bridge: u32,
    /// MTU of both ends in bytes.
    pub mtu: Option<u32>,
    /// Bridge port settings.
    pub port: PortSettings,
}

fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// Creates a bridge, down.
pub fn create_bridge(batch: &mut Batch, name: &str, mac: Mac, mtu: Option<u32>) {
    batch.begin(
        RTM_NEWLINK,
        ACK | CREATE | EXCL,
        &ifinfomsg(0, 0, 0),
        "create",
        format!("bridge {name}"),
    );
    batch.text(IFLA_IFNAME, name);
    batch.bytes(IFLA_ADDRESS, &mac.0);
    if let Some(mtu) = mtu {
        batch.u32(IFLA_MTU, mtu);
    }
    batch.nest(IFLA_LINKINFO, |batch| batch.text(INFO_KIND, "bridge"));
}

/// Creates a veth pair and brings the host's end up, in two messages.
///
/// The peer is created where it belongs: moving it there later waits for the kernel's
/// grace periods (tens of milliseconds). The host's end gets no IPv6 address of its own.
pub fn create_veth(batch: &mut Batch, pair: &VethPair<'_>) {
    let what = format!("interface {}", pair.host);
    batch.begin(RTM_NEWLINK, ACK | CREATE | EXCL, &ifinfomsg(0, 0, 0), "create", what.clone());
    batch.text(IFLA_IFNAME, pair.host);
    if let Some(mtu) = pair.mtu {
        batch.u32(IFLA_MTU, mtu);
    }
    batch.u32(IFLA_MASTER, pair.bridge);
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(INFO_KIND, "veth");
        batch.nest(INFO_DATA, |batch| {
            batch.nest_after(VETH_INFO_PEER, &ifinfomsg(0, 0, 0), |batch| {
                batch.text(IFLA_IFNAME, pair.peer);
                batch.bytes(IFLA_ADDRESS, &pair.peer_mac.0);
                if let Some(mtu) = pair.mtu {
                    batch.u32(IFLA_MTU, mtu);
                }
                batch.u32(IFLA_NET_NS_FD, pair.namespace.as_raw_fd().cast_unsigned());
            });
        });
    });

    batch.begin(RTM_NEWLINK, ACK, &ifinfomsg(0, IFF_UP, IFF_UP), "bring up", what);
    batch.text(IFLA_IFNAME, pair.host);
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(INFO_SLAVE_KIND, "bridge");
        batch.nest(INFO_SLAVE_DATA, |batch| {
            batch.u8(BRPORT_HAIRPIN, u8::from(pair.port.hairpin));
            batch.u8(BRPORT_ISOLATED, u8::from(pair.port.isolated));
        });
    });
    no_generated_addresses(batch);
}

/// Creates a macvlan interface on `parent` inside a namespace. `mode` is `MACVLAN_MODE_*`.
pub fn create_macvlan(
    batch: &mut Batch,
    name: &str,
    parent: u32,
    mode: u32,
    mac: Mac,
    mtu: Option<u32>,
    namespace: BorrowedFd<'_>,
) {
    batch.begin(
        RTM_NEWLINK,
        ACK | CREATE | EXCL,
        &ifinfomsg(0, 0, 0),
        "create",
        format!("macvlan {name}"),
    );
    batch.text(IFLA_IFNAME, name);
    batch.u32(IFLA_LINK, parent);
    batch.bytes(IFLA_ADDRESS, &mac.0);
    if let Some(mtu) = mtu {
        batch.u32(IFLA_MTU, mtu);
    }
    batch.u32(IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(INFO_KIND, "macvlan");
        batch.nest(INFO_DATA, |batch| batch.u32(MACVLAN_MODE, mode));
    });
}

/// Creates an ipvlan interface on `parent` inside a namespace. `mode` is `IPVLAN_MODE_*`.
pub fn create_ipvlan(
    batch: &mut Batch,
    name: &str,
    parent: u32,
    mode: u16,
    mtu: Option<u32>,
    namespace: BorrowedFd<'_>,
) {
    batch.begin(
        RTM_NEWLINK,
        ACK | CREATE | EXCL,
        &ifinfomsg(0, 0, 0),
        "create",
        format!("ipvlan {name}"),
    );
    batch.text(IFLA_IFNAME, name);
    batch.u32(IFLA_LINK, parent);
    if let Some(mtu) = mtu {
        batch.u32(IFLA_MTU, mtu);
    }
    batch.u32(IFLA_NET_NS_FD, namespace.as_raw_fd().cast_unsigned());
    batch.nest(IFLA_LINKINFO, |batch| {
        batch.text(INFO_KIND, "ipvlan");
        batch.nest(INFO_DATA, |batch| batch.bytes(IPVLAN_MODE, &mode.to_ne_bytes()));
    });
}

/// Brings a link up.
pub fn set_up(batch: &mut Batch, index: u32, name: &str) {
    let header = ifinfomsg(index, IFF_UP, IFF_UP);
    batch.begin(RTM_NEWLINK, ACK, &header, "bring up", format!("interface {name}"));
}

/// Removes a link. On a veth or a bridge this waits for grace periods (15–30 ms): never on the
/// way to a running container.
pub fn delete(batch: &mut Batch, index: u32, name: &str) {
    batch.begin(RTM_DELLINK, ACK, &ifinfomsg(index, 0, 0), "remove", format!("interface {name}"));
    batch.tolerate(libc::ENODEV);
}

/// As `delete`, by name.
pub fn delete_by_name(batch: &mut Batch, name: &str) {
    delete(batch, 0, name);
    batch.text(IFLA_IFNAME, name);
}

/// Makes a link a port of a bridge.
pub fn set_master(batch: &mut Batch, name: &str, bridge: u32) {
    batch.begin(
        RTM_NEWLINK,
        ACK,
        &ifinfomsg(0, IFF_UP, IFF_UP),
        "connect",
        format!("interface {name}"),
    );
    batch.text(IFLA_IFNAME, name);
    batch.u32(IFLA_MASTER, bridge);
}

fn no_generated_addresses(batch: &mut Batch) {
    batch.nest(IFLA_AF_SPEC, |batch| {
        batch.nest(AF_INET6, |batch| batch.u8(INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE));
    });
}

/// The link with this name; `None`: there is none.
pub fn by_name(conn: &mut Connection, name: &str) -> Result<Option<Link>, Refused> {
    let mut batch = Batch::new();
    batch.begin(RTM_GETLINK, ACK, &ifinfomsg(0, 0, 0), "find", format!("interface {name}"));
    batch.text(IFLA_IFNAME, name);
    batch.tolerate(libc::ENODEV);
    let mut found = None;
    conn.perform_with(&batch, |kind, payload| {
        if kind == RTM_NEWLINK {
            found = parse_link(payload);
        }
    })?;
    Ok(found)
}

/// All links of the connection's namespace.
pub fn all(conn: &mut Connection) -> io::Result<Vec<Link>> {
    let mut batch = Batch::new();
    batch.begin(RTM_GETLINK, DUMP, &ifinfomsg(0, 0, 0), "list", "interfaces");
    let mut links = Vec::new();
    conn.dump(&batch, |kind, payload| {
        if kind == RTM_NEWLINK {
            links.extend(parse_link(payload));
        }
    })?;
    Ok(links)
}

fn parse_link(payload: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: parse::u32_at(payload, 4)?,
        up: parse::u32_at(payload, 8)? & IFF_UP != 0,
        ..Link::default()
    };
    for (kind, value) in Attributes::new(payload.get(16..)?) {
        match kind {
            IFLA_IFNAME => parse::text(value).clone_into(&mut link.name),
            IFLA_MTU => link.mtu = parse::u32_at(value, 0)?,
            IFLA_MASTER => link.master = parse::u32_at(value, 0)?,
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            IFLA_LINKINFO => {
                if let Some(kind) = Attributes::new(value).find(INFO_KIND) {
                    parse::text(kind).clone_into(&mut link.kind);
                }
            }
            _ => {}
        }
    }
    Some(link)
}

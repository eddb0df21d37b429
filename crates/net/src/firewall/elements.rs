//! Changes of the firewall in the project's words, and their encoding as set elements.

use std::net::IpAddr;

use model::port::Protocol;

use super::sets;
use crate::{cidr::Cidr, config::Family, nft::transaction::Element, nl::address::octets};

/// One change. All are additions but `Remove`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A bridge of ours.
    Bridge(String),
    /// A bridge whose containers may talk to each other.
    Within(String),
    /// A bridge that nothing enters or leaves.
    Internal(String),
    /// A subnet and its bridge.
    Home(Cidr, String),
    /// A subnet whose outgoing traffic takes the host's address.
    Masquerade(Cidr),
    /// A subnet whose outgoing traffic takes this address.
    Source(Cidr, IpAddr),
    /// A subnet with every port open.
    Open(Cidr),
    /// A subnet without translation.
    Routed(Cidr),
    /// Open ports of an address in a routed subnet: address, protocol, first and last.
    RoutedPorts(IpAddr, Protocol, u16, u16),
    /// A published port.
    Published {
        /// Address on the host; unspecified: all of the container's family.
        host: IpAddr,
        /// Transport.
        protocol: Protocol,
        /// First and last port on the host.
        host_ports: (u16, u16),
        /// Address of the container, same family as `host`.
        container: IpAddr,
        /// Port in the container; `None`: the same as on the host.
        port: Option<u16>,
    },
    /// Takes the other change back.
    Remove(Box<Change>),
}

impl Change {
    /// The change that takes this one back.
    pub fn reverted(self) -> Self {
        Self::Remove(Box::new(self))
    }

    pub(super) fn is_addition(&self) -> bool {
        !matches!(self, Self::Remove(_))
    }

    /// Name of the set and the element.
    pub(super) fn encode(&self) -> (&'static str, Element) {
        match self {
            Self::Bridge(name) => (sets::BRIDGES.name, plain(ifname(name))),
            Self::Within(name) => (sets::WITHIN.name, plain([ifname(name), ifname(name)].concat())),
            Self::Internal(name) => (sets::INTERNAL.name, plain(ifname(name))),
            Self::Home(subnet, name) => {
                let (first, last) = bounds(*subnet);
                let key = [first, ifname(name)].concat();
                let last = Some([last, ifname(name)].concat());
                (of(*subnet).home.name, Element { key, last, value: Vec::new() })
            }
            Self::Masquerade(subnet) => (of(*subnet).masquerade.name, range(*subnet, Vec::new())),
            Self::Source(subnet, addr) => (of(*subnet).source.name, range(*subnet, octets(*addr))),
            Self::Open(subnet) => (of(*subnet).open.name, range(*subnet, Vec::new())),
            Self::Routed(subnet) => (of(*subnet).routed.name, range(*subnet, Vec::new())),
            Self::RoutedPorts(addr, protocol, first, last) => {
                let head = [octets(*addr), protocol_word(*protocol)].concat();
                let key = [head.clone(), port_word(*first)].concat();
                let last = Some([head, port_word(*last)].concat());
                (
                    sets::of(Family::of(*addr)).routed_ports.name,
                    Element { key, last, value: Vec::new() },
                )
            }
            Self::Published { host, protocol, host_ports, container, port } => {
                published(*host, *protocol, *host_ports, *container, *port)
            }
            Self::Remove(change) => change.encode(),
        }
    }
}

fn published(
    host: IpAddr,
    protocol: Protocol,
    (first, last): (u16, u16),
    container: IpAddr,
    port: Option<u16>,
) -> (&'static str, Element) {
    let sets = sets::of(Family::of(container));
    let head = if host.is_unspecified() {
        protocol_word(protocol)
    } else {
        [octets(host), protocol_word(protocol)].concat()
    };
    let key = [head.clone(), port_word(first)].concat();
    match port {
        Some(port) => {
            let def = if host.is_unspecified() { &sets.published } else { &sets.published_at };
            let value = [octets(container), port_word(port)].concat();
            (def.name, Element { key, last: None, value })
        }
        None => {
            let def = if host.is_unspecified() { &sets.run } else { &sets.run_at };
            let last = Some([head, port_word(last)].concat());
            (def.name, Element { key, last, value: octets(container) })
        }
    }
}

fn plain(key: Vec<u8>) -> Element {
    Element { key, last: None, value: Vec::new() }
}

fn range(subnet: Cidr, value: Vec<u8>) -> Element {
    let (key, last) = bounds(subnet);
    Element { key, last: Some(last), value }
}

fn bounds(subnet: Cidr) -> (Vec<u8>, Vec<u8>) {
    (octets(subnet.first()), octets(subnet.last()))
}

fn of(subnet: Cidr) -> &'static sets::FamilySets {
    sets::of(Family::of(subnet.addr()))
}

fn ifname(name: &str) -> Vec<u8> {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(16, 0);
    padded
}

/// IANA protocol numbers, in the first byte of a word.
fn protocol_word(protocol: Protocol) -> Vec<u8> {
    let number = match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    };
    vec![number, 0, 0, 0]
}

fn port_word(port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    vec![high, low, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_padded_fields_in_network_order() {
        let change = Change::Published {
            host: "192.0.2.1".parse().unwrap(),
            protocol: Protocol::Udp,
            host_ports: (8080, 8080),
            container: "172.17.0.2".parse().unwrap(),
            port: Some(80),
        };
        let (set, element) = change.encode();
        assert_eq!(set, "published_at4");
        assert_eq!(element.key, [192, 0, 2, 1, 17, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(element.value, [172, 17, 0, 2, 0, 80, 0, 0]);
        assert_eq!(change.reverted().encode(), (set, element));
    }

    #[test]
    fn a_run_of_ports_is_one_range() {
        let change = Change::Published {
            host: "::".parse().unwrap(),
            protocol: Protocol::Tcp,
            host_ports: (1000, 1999),
            container: "fd00::2".parse().unwrap(),
            port: None,
        };
        let (set, element) = change.encode();
        assert_eq!(set, "run6");
        assert_eq!(element.key, [6, 0, 0, 0, 0x03, 0xe8, 0, 0]);
        assert_eq!(element.last.unwrap(), [6, 0, 0, 0, 0x07, 0xcf, 0, 0]);
        assert_eq!(element.value.len(), 16);
    }
}

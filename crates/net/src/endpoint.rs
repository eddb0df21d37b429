//! One connection between a container and a network: asked ([`EndpointConfig`]), made
//! ([`Attachment`]), and what is reachable through it ([`PublishedPort`]).
//!
//! Attachments and published ports are plain data that the engine stores: after a restart they are
//! given back, and the kernel is brought in line with them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use model::{ContainerId, NetworkId, port::ContainerPort};
use serde::{Deserialize, Serialize};

use crate::cidr::{Cidr, Mac};

/// What is asked of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConfig {
    /// Name of the interface in the container; `None`: the network's prefix and the next number.
    pub ifname: Option<String>,
    /// MAC address; `None`: made from the IP address.
    pub mac: Option<Mac>,
    /// Fixed IPv4 address, in one of the network's subnets.
    pub ipv4: Option<Ipv4Addr>,
    /// Fixed IPv6 address, in one of the network's subnets.
    pub ipv6: Option<Ipv6Addr>,
    /// Further addresses from the link-local blocks (`--link-local-ip`).
    pub link_local: Vec<IpAddr>,
    /// Names that mean this container alone on this network: its name first, short id.
    pub names: Vec<String>,
    /// Names that several containers may share: aliases, services.
    pub aliases: Vec<String>,
    /// Names that only this container sees, and what they mean (legacy links): other name → own name.
    pub links: BTreeMap<String, String>,
    /// Ports it serves, for SRV queries (`_5432._tcp.db`, or by label `_http._tcp.web`).
    pub services: Vec<ServicePort>,
    /// The endpoint with the highest priority gives the default route; equal: the lowest network name.
    pub gateway_priority: i64,
    /// Settings below `/proc/sys/net` for this interface (`net.ipv4.conf.IFNAME.log_martians`);
    /// `IFNAME` stands for the interface's name.
    pub sysctls: BTreeMap<String, String>,
}

/// A named port for SRV records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePort {
    /// Label without underscore; the number works as label as well.
    pub label: Option<String>,
    /// Port and protocol in the container.
    pub port: ContainerPort,
}

/// One connection, made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Whose.
    pub container: ContainerId,
    /// To what.
    pub network: NetworkId,
    /// As it was asked for.
    pub config: EndpointConfig,
    /// Name of the interface in the container.
    pub ifname: String,
    /// Name of the other end on the host; `None` where the driver has none.
    pub host_ifname: Option<String>,
    /// MAC address of the interface.
    pub mac: Mac,
    /// IPv4 address with the subnet's prefix length.
    pub ipv4: Option<Cidr>,
    /// IPv6 address with the subnet's prefix length.
    pub ipv6: Option<Cidr>,
    /// Where IPv4 leaves the network; `None`: it doesn't.
    pub gateway_v4: Option<Ipv4Addr>,
    /// Where IPv6 leaves the network.
    pub gateway_v6: Option<Ipv6Addr>,
}

/// One port, or one run of ports, made reachable from the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// First port in the container.
    pub container: ContainerPort,
    /// Address and first port on the host (`0.0.0.0` and `::` are all of a family).
    pub host: SocketAddr,
    /// How many consecutive ports, at least 1.
    pub count: u16,
}

/// What a container asks of name resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DnsConfig {
    /// Upstream servers (`--dns`), asked from the container's namespace. Empty: the host's
    /// servers, asked from the host's namespace.
    pub servers: Vec<IpAddr>,
    /// Search domains (`--dns-search`); empty: the host's; a single `.`: none.
    pub search: Vec<String>,
    /// Resolver options (`--dns-option`); empty: the host's.
    pub options: Vec<String>,
    /// The container serves port 53 itself (its image exposes it, or it is published): the name
    /// server leaves that port free and is reached by a rule in the container's namespace.
    pub port_53_is_taken: bool,
}

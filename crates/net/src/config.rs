//! What a network is: driver, subnets, gateways, switches.
//!
//! A [`NetworkConfig`] is the whole persistent state of a network: the engine stores it and gives
//! it back after a restart. Docker's option strings are parsed here once (`options.rs`).

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use model::{NetworkId, name::NetworkName};
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;

/// Who makes the interfaces of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DriverKind {
    /// A Linux bridge with one veth pair per container.
    #[default]
    Bridge,
    /// The host's own namespace.
    Host,
    /// Only a loopback.
    None,
    /// A MAC address of its own on a parent interface.
    Macvlan,
    /// The parent's MAC address, an IP address of its own.
    Ipvlan,
}

impl fmt::Display for DriverKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "null",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
        })
    }
}

/// A driver name that is not built in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not find plugin {0} in v1 plugin registry: plugin not found")]
pub struct UnknownDriver(pub String);

impl FromStr for DriverKind {
    type Err = UnknownDriver;

    /// Takes Docker's names; the empty text is the default driver.
    fn from_str(text: &str) -> Result<Self, UnknownDriver> {
        Ok(match text {
            "" | "bridge" | "default" => Self::Bridge,
            "host" => Self::Host,
            "null" | "none" => Self::None,
            "macvlan" => Self::Macvlan,
            "ipvlan" => Self::Ipvlan,
            other => return Err(UnknownDriver(other.to_owned())),
        })
    }
}

/// How the outside reaches the containers of a bridge network, per address family
/// (`com.docker.network.bridge.gateway_mode_ipv4|6`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// Only published ports, by address translation; outgoing traffic is masqueraded.
    #[default]
    Nat,
    /// As `nat`, and every port of a container's own address is open.
    NatUnprotected,
    /// No translation; only published ports of a container's own address are open.
    Routed,
    /// The bridge bears no address: no gateway, not even to the host (internal networks only).
    Isolated,
}

/// How a macvlan network connects its containers (`macvlan_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// Containers see each other.
    #[default]
    Bridge,
    /// Containers never see each other.
    Private,
    /// Traffic between containers goes by the switch outside.
    Vepa,
    /// One container takes the parent over.
    Passthru,
}

/// How an ipvlan network forwards (`ipvlan_mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// Layer 2.
    #[default]
    L2,
    /// Layer 3 without broadcast.
    L3,
    /// Layer 3 with the host's netfilter hooks.
    L3s,
}

/// One subnet of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The subnet; host bits clear.
    pub cidr: Cidr,
    /// Part of the subnet that addresses are given from; `None`: all of it.
    #[serde(default)]
    pub range: Option<Cidr>,
    /// Address of the bridge, and default route of the containers. `create_network` fills it in.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Addresses that belong to others, by name (`--aux-address`).
    #[serde(default)]
    pub reserved: BTreeMap<String, IpAddr>,
}

impl Subnet {
    /// A subnet with nothing said about its insides.
    pub fn new(cidr: Cidr) -> Self {
        Self { cidr, range: None, gateway: None, reserved: BTreeMap::new() }
    }
}

/// A network, as asked for and, once `create_network` has
/// filled in what was left open, as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkConfig {
    /// Names the network for ever.
    pub id: NetworkId,
    /// What people call it.
    pub name: NetworkName,
    /// Who makes the interfaces.
    pub driver: DriverKind,
    /// The engine's default bridge: no name service on it (Docker's rule), files instead.
    pub is_default_bridge: bool,
    /// Name of the bridge interface (at most 15 bytes); empty: `br-` and the short id.
    pub bridge_name: String,
    /// The bridge is somebody else's: it is used and never removed.
    pub bridge_is_foreign: bool,
    /// macvlan, ipvlan: the interface that carries the traffic (`parent`), `eth0` or `eth0.10`.
    pub parent: Option<String>,
    /// macvlan: how containers see each other.
    pub macvlan_mode: MacvlanMode,
    /// ipvlan: layer.
    pub ipvlan_mode: IpvlanMode,
    /// IPv4 is on.
    pub ipv4: bool,
    /// IPv6 is on.
    pub ipv6: bool,
    /// Subnets of both families; where a family that is on has none, one is chosen.
    pub subnets: Vec<Subnet>,
    /// No way out, no published ports, no forwarded name queries.
    pub internal: bool,
    /// Containers of this network may talk to each other.
    pub icc: bool,
    /// Outgoing traffic takes the host's address (`nat` modes).
    pub masquerade: bool,
    /// MTU of all interfaces in bytes; `None`: the kernel's default.
    pub mtu: Option<u32>,
    /// IPv4 gateway mode.
    pub gateway_mode_v4: GatewayMode,
    /// IPv6 gateway mode.
    pub gateway_mode_v6: GatewayMode,
    /// Host address of published ports that name none (`host_binding_ipv4`); `None`: all.
    pub default_host_ip: Option<IpAddr>,
    /// Source address for outgoing IPv4 instead of masquerading (`com.docker.network.host_ipv4`).
    pub snat_v4: Option<std::net::Ipv4Addr>,
    /// Source address for outgoing IPv6 (`com.docker.network.host_ipv6`).
    pub snat_v6: Option<std::net::Ipv6Addr>,
    /// Prefix of interface names inside containers (`container_iface_prefix`).
    pub ifname_prefix: String,
}

impl Default for NetworkConfig {
    /// A bridge network with Docker's defaults. The id is all zeros and the name `unnamed`: set both.
    fn default() -> Self {
        Self {
            id: NetworkId::from_bytes([0; 32]),
            name: "unnamed".parse().expect("a constant name that fits the grammar"),
            driver: DriverKind::Bridge,
            is_default_bridge: false,
            bridge_name: String::new(),
            bridge_is_foreign: false,
            parent: None,
            macvlan_mode: MacvlanMode::Bridge,
            ipvlan_mode: IpvlanMode::L2,
            ipv4: true,
            ipv6: false,
            subnets: Vec::new(),
            internal: false,
            icc: true,
            masquerade: true,
            mtu: None,
            gateway_mode_v4: GatewayMode::Nat,
            gateway_mode_v6: GatewayMode::Nat,
            default_host_ip: None,
            snat_v4: None,
            snat_v6: None,
            ifname_prefix: "eth".to_owned(),
        }
    }
}

impl NetworkConfig {
    /// The subnets of one family.
    pub fn subnets_of(&self, family: Family) -> impl Iterator<Item = &Subnet> {
        self.subnets.iter().filter(move |subnet| subnet.cidr.is_ipv4() == (family == Family::V4))
    }

    /// True when the family is on.
    pub fn has(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        }
    }

    /// The gateway mode of one family.
    pub fn gateway_mode(&self, family: Family) -> GatewayMode {
        match family {
            Family::V4 => self.gateway_mode_v4,
            Family::V6 => self.gateway_mode_v6,
        }
    }
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Both, IPv4 first.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

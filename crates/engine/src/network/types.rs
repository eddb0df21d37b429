//! Requests and snapshots of networks.

use std::net::IpAddr;

use indexmap::IndexMap;
use model::{NetworkId, filter::Filters, network::EndpointSpec};
use serde::{Deserialize, Serialize};

/// Make a network.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Unique.
    pub name: String,
    /// `bridge`, `macvlan`, …; empty: `bridge`.
    pub driver: String,
    /// No way out.
    pub internal: bool,
    /// Containers may be attached by hand (swarm networks).
    pub attachable: bool,
    /// IPv4 addresses; `None`: yes.
    pub ipv4: Option<bool>,
    /// IPv6 addresses; `None`: the engine's default.
    pub ipv6: Option<bool>,
    /// Subnets asked for; empty: from the pools.
    pub subnets: Vec<Subnet>,
    /// Address management driver; empty: `default`.
    pub ipam_driver: String,
    /// Its options.
    pub ipam_options: IndexMap<String, String>,
    /// Driver options.
    pub options: IndexMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

/// A range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subnet {
    /// `10.1.0.0/16`; empty: the next free one.
    pub subnet: String,
    /// Addresses for containers are taken from here only.
    pub range: String,
    /// The network's own address.
    pub gateway: Option<IpAddr>,
    /// Addresses that are not given away.
    pub reserved: IndexMap<String, IpAddr>,
}

/// A network at one moment.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// For ever.
    pub id: NetworkId,
    /// Unique.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// Driver.
    pub driver: String,
    /// No way out.
    pub internal: bool,
    /// May be attached by hand.
    pub attachable: bool,
    /// Has IPv4 addresses.
    pub ipv4: bool,
    /// Has IPv6 addresses.
    pub ipv6: bool,
    /// Subnets in force.
    pub subnets: Vec<Subnet>,
    /// Address management driver.
    pub ipam_driver: String,
    /// Its options.
    pub ipam_options: IndexMap<String, String>,
    /// Driver options.
    pub options: IndexMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// Running containers on it, by container id.
    pub containers: IndexMap<String, Member>,
}

/// A running container on a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The container's name.
    pub name: String,
    /// Id of the connection.
    pub endpoint_id: String,
    /// Hardware address.
    pub mac_address: String,
    /// `address/prefix`; empty: none.
    pub ipv4: String,
    /// `address/prefix`; empty: none.
    pub ipv6: String,
}

/// List networks.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Keys as Docker has them; unknown ones are refused.
    pub filters: Filters,
}

/// Connect a container.
#[derive(Clone, Debug, Default)]
pub struct ConnectRequest {
    /// Name or id.
    pub container: String,
    /// What is asked of the connection.
    pub endpoint: EndpointSpec,
}

/// Disconnect a container.
#[derive(Clone, Debug, Default)]
pub struct DisconnectRequest {
    /// Name or id.
    pub container: String,
    /// Also when the container is in no state for it.
    pub force: bool,
}

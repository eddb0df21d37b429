//! How a container is connected.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// A container's main network, `--network`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// Not said, or `default`/`bridge`: the default bridge.
    #[default]
    Default,
    /// Only a loopback.
    None,
    /// The host's.
    Host,
    /// That of the container with this name or id.
    Container(String),
    /// A network by name or id.
    Named(String),
}

impl FromStr for NetworkMode {
    type Err = crate::container::ModeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "" | "default" | "bridge" => Self::Default,
            "none" => Self::None,
            "host" => Self::Host,
            other => match other.strip_prefix("container:") {
                Some("") => {
                    return Err(Self::Err { what: "network mode", text: text.to_owned() });
                }
                Some(name) => Self::Container(name.to_owned()),
                None => Self::Named(other.to_owned()),
            },
        })
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("bridge"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// What is asked of one connection between a container and a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// Further names on this network.
    pub aliases: Vec<String>,
    /// Legacy links.
    pub links: Vec<String>,
    /// A fixed IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// A fixed IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Extra link-local addresses.
    pub link_local: Vec<IpAddr>,
    /// A fixed MAC address, `02:42:…`.
    pub mac_address: Option<String>,
    /// The highest gives the default route.
    pub gateway_priority: i64,
    /// Driver options.
    pub driver_options: IndexMap<String, String>,
}

//! Container networks as a library: namespaces, bridges, addresses, published ports, firewall,
//! name service.
//!
//! Owns everything between a container's `eth0` and the outside of the host, by netlink and
//! nftables messages, never by processes. Owns no storage and no HTTP: networks
//! ([`NetworkConfig`]), attachments ([`Attachment`]) and published ports ([`PublishedPort`]) are
//! plain data that the engine stores and hands back after a restart.

pub mod cidr;
pub mod config;
mod dns;
mod driver;
pub mod endpoint;
pub mod error;
pub mod files;
mod firewall;
mod ipam;
mod netns;
mod nft;
mod nl;
pub mod options;
pub mod plane;
pub mod pool;
mod publish;
mod serving;

pub use cidr::{Cidr, Mac};
pub use config::{DriverKind, Family, GatewayMode, NetworkConfig, Subnet};
pub use endpoint::{Attachment, DnsConfig, EndpointConfig, PublishedPort, ServicePort};
pub use error::{Error, Result};
pub use plane::{Facts, NetworkPlane, PlaneConfig, Restored, RestoredSandbox};

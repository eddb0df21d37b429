//! What can go wrong with networks.

use std::{io, net::IpAddr, path::PathBuf};

use model::{ContainerId, ErrorKind, NetworkId, port::Protocol};

use crate::cidr::Cidr;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed action on a network, an endpoint, a port or the firewall.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Error {
    #[error("cannot {action} {subject}")]
    Kernel { action: &'static str, subject: String, source: io::Error },
    #[error("cannot {action} a network namespace")]
    Namespace { action: &'static str, source: io::Error },
    #[error("cannot write {}", path.display())]
    Sysctl { path: PathBuf, source: io::Error },
    #[error("cannot read {}", path.display())]
    ReadFile { path: PathBuf, source: io::Error },
    #[error("cannot {action} the firewall table {table}")]
    Firewall { action: &'static str, table: String, source: io::Error },

    #[error("network {0} not found")]
    NoSuchNetwork(NetworkId),
    #[error("network {0} already exists")]
    NetworkExists(NetworkId),
    #[error("network {name} has active endpoints")]
    NetworkInUse { name: String, endpoints: usize },
    #[error("container {} has no network namespace", .0.short())]
    NoSuchSandbox(ContainerId),
    #[error("container {} has a network namespace already", .0.short())]
    SandboxExists(ContainerId),
    #[error("container {} is already connected to network {network}", container.short())]
    AlreadyAttached { container: ContainerId, network: String },
    #[error("container {} is not connected to network {network}", container.short())]
    NotAttached { container: ContainerId, network: String },

    #[error(
        "could not find an available, non-overlapping {family} address pool among the defaults to assign to the network"
    )]
    NoFreePool { family: &'static str },
    #[error("invalid pool request: Pool overlaps with other one on this address space")]
    PoolOverlaps { wanted: Cidr, taken: Cidr },
    #[error("no available {family} addresses on this network's address pools: {network}")]
    NoFreeAddress { family: &'static str, network: String },
    #[error("Address already in use")]
    AddressInUse { addr: IpAddr },
    #[error("invalid network config: {0}")]
    InvalidConfig(String),
    #[error("invalid endpoint settings: {0}")]
    InvalidEndpoint(String),
    #[error("invalid value {value:?} for option {key}")]
    InvalidOption { key: String, value: String },
    #[error("networks of driver {driver} {what}")]
    Unsupported { driver: String, what: String },

    #[error("failed to bind host port {host}/{protocol}: address already in use")]
    PortBusy { host: std::net::SocketAddr, protocol: Protocol },
    #[error("failed to bind host port {host}/{protocol}")]
    PortBind { host: std::net::SocketAddr, protocol: Protocol, source: io::Error },
    #[error("all ports are allocated")]
    NoFreePort { protocol: Protocol, first: u16, last: u16 },
    #[error("cannot start the name server of container {}", container.short())]
    NameServer { container: ContainerId, source: io::Error },
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kernel { source, .. } | Self::Firewall { source, .. } => kind_of(source),
            Self::Namespace { .. }
            | Self::Sysctl { .. }
            | Self::ReadFile { .. }
            | Self::PortBind { .. }
            | Self::NameServer { .. } => ErrorKind::Internal,
            Self::NoSuchNetwork(_) | Self::NoSuchSandbox(_) | Self::NotAttached { .. } => {
                ErrorKind::NotFound
            }
            Self::NetworkExists(_)
            | Self::SandboxExists(_)
            | Self::NetworkInUse { .. }
            | Self::AlreadyAttached { .. }
            | Self::AddressInUse { .. } => ErrorKind::Conflict,
            Self::PoolOverlaps { .. }
            | Self::InvalidConfig(_)
            | Self::InvalidEndpoint(_)
            | Self::InvalidOption { .. } => ErrorKind::InvalidInput,
            Self::NoFreePool { .. }
            | Self::NoFreeAddress { .. }
            | Self::PortBusy { .. }
            | Self::NoFreePort { .. } => ErrorKind::Exhausted,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
        }
    }
}

fn kind_of(source: &io::Error) -> ErrorKind {
    match source.raw_os_error() {
        Some(libc::EOPNOTSUPP | libc::ENOSYS | libc::EPROTONOSUPPORT) => ErrorKind::Unsupported,
        Some(libc::EPERM | libc::EACCES) => ErrorKind::Forbidden,
        Some(libc::ENOMEM | libc::ENOSPC | libc::ENFILE | libc::EMFILE) => ErrorKind::Exhausted,
        _ => ErrorKind::Internal,
    }
}

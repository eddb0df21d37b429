//! Drivers: what is made on the host for a network, and an interface in a namespace for a
//! container. Addresses, routes, names and ports are the same for all and made by `plane`.

mod bridge;
mod vlan;

use std::os::fd::BorrowedFd;

use crate::{
    cidr::Mac,
    config::{DriverKind, NetworkConfig},
    error::{Error, Result},
    nl::{Connection, link},
};

pub use bridge::Bridge;

/// The host's side: its rtnetlink, and what it has switched on.
#[derive(Debug)]
pub struct Host {
    /// rtnetlink in the host's namespace.
    pub routes: Connection,
    /// The kernel shows bridged frames to netfilter (`bridge-nf-call-iptables`): bridge ports must
    /// send frames back where they came from.
    pub hairpin: bool,
}

/// What a driver made for a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// `ifindex` of the bridge or parent; 0: none.
    pub link: u32,
}

/// An interface to make.
#[derive(Debug)]
pub struct Interface<'a> {
    /// Its name in the container.
    pub name: &'a str,
    /// Name for the end on the host, where there is one.
    pub host_name: &'a str,
    /// Its MAC address.
    pub mac: Mac,
    /// The container's namespace.
    pub namespace: BorrowedFd<'a>,
}

/// What sets a kind of network apart from another.
///
/// A driver is called under the plane's lock, in the host's namespace. `create` and `connect`
/// undo what they began when they fail. `connect` leaves the interface down and without
/// addresses; the plane configures it from inside.
pub trait Driver: Send + Sync {
    /// Checks a configuration before anything is made or chosen.
    fn check(&self, config: &NetworkConfig) -> Result<()>;
    /// Makes, or finds again after a restart, what the network needs on the host.
    fn create(&self, host: &mut Host, config: &NetworkConfig) -> Result<Made>;
    /// Removes it. What is gone already is no failure.
    fn remove(&self, host: &mut Host, config: &NetworkConfig, made: &Made) -> Result<()>;
    /// Makes an interface. True: it has an end on the host, called `host_name`.
    fn connect(
        &self,
        host: &mut Host,
        config: &NetworkConfig,
        made: &Made,
        interface: &Interface<'_>,
    ) -> Result<bool>;
    /// The traffic passes the host's forward hook, so the firewall and published ports apply.
    fn is_routed_by_host(&self) -> bool;
}

/// The driver of a kind; `host` and `none` make nothing and connect nobody.
pub fn of(kind: DriverKind) -> Result<&'static dyn Driver> {
    match kind {
        DriverKind::Bridge => Ok(&Bridge),
        DriverKind::Macvlan => Ok(&vlan::Macvlan),
        DriverKind::Ipvlan => Ok(&vlan::Ipvlan),
        DriverKind::Host | DriverKind::None => Ok(&Nothing),
    }
}

/// `host` and `none`: networks without interfaces of their own.
struct Nothing;

impl Driver for Nothing {
    fn check(&self, config: &NetworkConfig) -> Result<()> {
        if config.subnets.is_empty() {
            return Ok(());
        }
        Err(Error::InvalidConfig(format!("{} network has no subnets", config.driver)))
    }

    fn create(&self, _: &mut Host, _: &NetworkConfig) -> Result<Made> {
        Ok(Made::default())
    }

    fn remove(&self, _: &mut Host, _: &NetworkConfig, _: &Made) -> Result<()> {
        Ok(())
    }

    fn connect(
        &self,
        _: &mut Host,
        config: &NetworkConfig,
        _: &Made,
        _: &Interface<'_>,
    ) -> Result<bool> {
        let what = "have no interfaces: the container shares the namespace or has none".to_owned();
        Err(Error::Unsupported { driver: config.driver.to_string(), what })
    }

    fn is_routed_by_host(&self) -> bool {
        false
    }
}

/// The link with this name, which must be there.
fn existing_link(host: &mut Host, name: &str) -> Result<link::Link> {
    link::by_name(&mut host.routes, name)?.ok_or_else(|| Error::Kernel {
        action: "find",
        subject: format!("interface {name}"),
        source: std::io::Error::from_raw_os_error(libc::ENODEV),
    })
}

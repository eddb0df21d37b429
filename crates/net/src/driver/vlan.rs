//! macvlan and ipvlan networks: interfaces on a parent of the host, past its forward hook.

use super::{Driver, Host, Interface, Made, existing_link};
use crate::{
    config::{IpvlanMode, MacvlanMode, NetworkConfig},
    error::{Error, Result},
    nl::{Batch, conn::Refused, link},
};

/// The macvlan driver.
pub struct Macvlan;
/// The ipvlan driver.
pub struct Ipvlan;

impl Driver for Macvlan {
    fn check(&self, config: &NetworkConfig) -> Result<()> {
        parent(config).map(drop)
    }

    fn create(&self, host: &mut Host, config: &NetworkConfig) -> Result<Made> {
        Ok(Made { link: existing_link(host, parent(config)?)?.index })
    }

    fn remove(&self, _: &mut Host, _: &NetworkConfig, _: &Made) -> Result<()> {
        Ok(())
    }

    fn connect(
        &self,
        host: &mut Host,
        config: &NetworkConfig,
        made: &Made,
        interface: &Interface<'_>,
    ) -> Result<bool> {
        let mode = match config.macvlan_mode {
            MacvlanMode::Private => 1,
            MacvlanMode::Vepa => 2,
            MacvlanMode::Bridge => 4,
            MacvlanMode::Passthru => 8,
        };
        let mut batch = Batch::new();
        let Interface { name, mac, namespace, .. } = *interface;
        link::create_macvlan(&mut batch, name, made.link, mode, mac, config.mtu, namespace);
        host.routes.perform(&batch).map_err(|refused| explain(config, refused))?;
        Ok(false)
    }

    fn is_routed_by_host(&self) -> bool {
        false
    }
}

impl Driver for Ipvlan {
    fn check(&self, config: &NetworkConfig) -> Result<()> {
        parent(config).map(drop)
    }

    fn create(&self, host: &mut Host, config: &NetworkConfig) -> Result<Made> {
        Ok(Made { link: existing_link(host, parent(config)?)?.index })
    }

    fn remove(&self, _: &mut Host, _: &NetworkConfig, _: &Made) -> Result<()> {
        Ok(())
    }

    fn connect(
        &self,
        host: &mut Host,
        config: &NetworkConfig,
        made: &Made,
        interface: &Interface<'_>,
    ) -> Result<bool> {
        let mode = match config.ipvlan_mode {
            IpvlanMode::L2 => 0,
            IpvlanMode::L3 => 1,
            IpvlanMode::L3s => 2,
        };
        let mut batch = Batch::new();
        let Interface { name, namespace, .. } = *interface;
        link::create_ipvlan(&mut batch, name, made.link, mode, config.mtu, namespace);
        host.routes.perform(&batch).map_err(|refused| explain(config, refused))?;
        Ok(false)
    }

    fn is_routed_by_host(&self) -> bool {
        false
    }
}

/// The parent is required: an implied one would have to be a dummy interface, which many kernels lack.
fn parent(config: &NetworkConfig) -> Result<&str> {
    config.parent.as_deref().ok_or_else(|| {
        Error::InvalidConfig(format!(
            "{} network needs a parent interface (-o parent=eth0)",
            config.driver
        ))
    })
}

/// A kernel without the driver says EOPNOTSUPP.
fn explain(config: &NetworkConfig, refused: Refused) -> Error {
    if refused.source.raw_os_error() == Some(libc::EOPNOTSUPP) {
        let what = "are not supported by this kernel".to_owned();
        return Error::Unsupported { driver: config.driver.to_string(), what };
    }
    refused.into()
}

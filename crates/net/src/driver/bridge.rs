//! Bridge networks: a Linux bridge that bears the gateways' addresses, a veth pair per container.

use std::net::IpAddr;

use super::{Driver, Host, Interface, Made, existing_link};
use crate::{
    cidr::{Cidr, Mac},
    config::{Family, GatewayMode, NetworkConfig},
    error::{Error, Result},
    netns::{Absent, write_setting},
    nl::{
        Batch, address,
        link::{self, PortSettings, VethPair},
    },
    options::IFNAME_MAX,
};

/// The driver.
pub struct Bridge;

impl Driver for Bridge {
    fn check(&self, config: &NetworkConfig) -> Result<()> {
        if config.bridge_name.len() > IFNAME_MAX {
            return Err(Error::InvalidConfig(format!(
                "bridge name {} is too long",
                config.bridge_name
            )));
        }
        for family in Family::BOTH {
            if config.gateway_mode(family) == GatewayMode::Isolated && !config.internal {
                let text = "gateway mode 'isolated' can only be used for an internal network";
                return Err(Error::InvalidConfig(text.to_owned()));
            }
        }
        Ok(())
    }

    fn create(&self, host: &mut Host, config: &NetworkConfig) -> Result<Made> {
        let name = &config.bridge_name;
        let found = link::by_name(&mut host.routes, name)?;
        let is_new = found.is_none();
        match &found {
            Some(link) if link.kind != "bridge" => {
                let text = format!("interface {name} exists and is no bridge");
                return Err(Error::InvalidConfig(text));
            }
            Some(_) => {}
            None if config.bridge_is_foreign => {
                return Err(Error::InvalidConfig(format!("bridge {name} not found")));
            }
            None => {
                let mut batch = Batch::new();
                link::create_bridge(&mut batch, name, bridge_mac(config), config.mtu);
                host.routes.perform(&batch)?;
            }
        }
        let made = Made { link: existing_link(host, name)?.index };
        configure(host, config, &made).inspect_err(|_| {
            if is_new {
                let mut batch = Batch::new();
                link::delete(&mut batch, made.link, name);
                // The first failure is the one to tell.
                let _ = host.routes.perform(&batch);
            }
        })?;
        Ok(made)
    }

    fn remove(&self, host: &mut Host, config: &NetworkConfig, made: &Made) -> Result<()> {
        if config.bridge_is_foreign {
            return Ok(());
        }
        let mut batch = Batch::new();
        link::delete(&mut batch, made.link, &config.bridge_name);
        Ok(host.routes.perform(&batch)?)
    }

    fn connect(
        &self,
        host: &mut Host,
        config: &NetworkConfig,
        made: &Made,
        interface: &Interface<'_>,
    ) -> Result<bool> {
        let mut batch = Batch::new();
        link::create_veth(
            &mut batch,
            &VethPair {
                host: interface.host_name,
                peer: interface.name,
                peer_mac: interface.mac,
                namespace: interface.namespace,
                bridge: made.link,
                mtu: config.mtu,
                port: PortSettings { hairpin: host.hairpin, isolated: !config.icc },
            },
        );
        host.routes.perform(&batch).inspect_err(|refused| {
            if refused.action == "bring up" {
                let mut undo = Batch::new();
                link::delete_by_name(&mut undo, interface.host_name);
                // The first failure is the one to tell.
                let _ = host.routes.perform(&undo);
            }
        })?;
        Ok(true)
    }

    fn is_routed_by_host(&self) -> bool {
        true
    }
}

/// A fixed MAC address keeps the bridge from taking that of its ports, which come and go.
fn bridge_mac(config: &NetworkConfig) -> Mac {
    let mut gateways = config.subnets.iter().filter_map(|subnet| subnet.gateway);
    match gateways.find(IpAddr::is_ipv4).or_else(|| config.subnets.iter().find_map(|s| s.gateway)) {
        Some(IpAddr::V4(gateway)) => Mac::from_ipv4(gateway),
        Some(IpAddr::V6(gateway)) => Mac::from_ipv6(gateway),
        None => {
            let id = config.id.as_str().as_bytes();
            Mac([0x02, 0x42, id[0], id[1], id[2], id[3]])
        }
    }
}

/// Settings first, addresses second, up last.
fn configure(host: &mut Host, config: &NetworkConfig, made: &Made) -> Result<()> {
    let name = &config.bridge_name;
    if !config.bridge_is_foreign {
        let v6 = format!("net/ipv6/conf/{name}");
        write_setting(
            &format!("{v6}/disable_ipv6"),
            if config.ipv6 { "0" } else { "1" },
            Absent::Fine,
        )?;
        // A container must not configure the host by router advertisements (CVE-2020-13401).
        write_setting(&format!("{v6}/accept_ra"), "0", Absent::Fine)?;
        write_setting(&format!("{v6}/accept_dad"), "0", Absent::Fine)?;
        if config.ipv4 && uses_translation(config) {
            // 127.0.0.1 on the host reaches published ports; the firewall keeps others from it.
            write_setting(&format!("net/ipv4/conf/{name}/route_localnet"), "1", Absent::Failure)?;
        }
    }
    let wanted: Vec<Cidr> =
        config.subnets.iter().filter_map(|subnet| bridge_address(config, subnet)).collect();
    let present: Vec<Cidr> = address::addresses(&mut host.routes)
        .map_err(|source| Error::Kernel { action: "list", subject: "addresses".into(), source })?
        .into_iter()
        .filter_map(|(link, addr)| (link == made.link).then_some(addr))
        .collect();
    let mut batch = Batch::new();
    if !config.bridge_is_foreign {
        for &old in
            present.iter().filter(|addr| !wanted.contains(addr) && !is_link_local(addr.addr()))
        {
            address::remove(&mut batch, made.link, old);
        }
    }
    for &new in wanted.iter().filter(|addr| !present.contains(addr)) {
        address::add(&mut batch, made.link, new);
    }
    link::set_up(&mut batch, made.link, name);
    Ok(host.routes.perform(&batch)?)
}

fn uses_translation(config: &NetworkConfig) -> bool {
    let mode = config.gateway_mode_v4;
    !config.internal && matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected)
}

/// The gateway's address with the subnet's prefix; none where the host stays outside.
fn bridge_address(config: &NetworkConfig, subnet: &crate::config::Subnet) -> Option<Cidr> {
    if config.gateway_mode(Family::of(subnet.cidr.addr())) == GatewayMode::Isolated {
        return None;
    }
    Cidr::new(subnet.gateway?, subnet.cidr.prefix()).ok()
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

//! Deciding on a connection: is it possible, which addresses, what names. Touches no kernel.

use std::net::IpAddr;

use model::{ContainerId, NetworkId};

use super::{Network, Sandbox, State};
use crate::{
    cidr::{Cidr, Mac},
    config::{Family, GatewayMode},
    endpoint::{Attachment, EndpointConfig},
    error::{Error, Result},
    options::IFNAME_MAX,
};

impl State {
    /// Decides addresses and names. Addresses are taken; everything else is still untouched.
    pub(super) fn plan(
        &mut self,
        container: &ContainerId,
        network: &NetworkId,
        endpoint: &EndpointConfig,
    ) -> Result<Attachment> {
        let sandbox =
            self.sandboxes.get(container).ok_or_else(|| Error::NoSuchSandbox(container.clone()))?;
        let found = self.networks.get_mut(network);
        let net = found.ok_or_else(|| Error::NoSuchNetwork(network.clone()))?;
        if sandbox.attachments.iter().any(|attachment| attachment.network == *network) {
            let network = net.config.name.to_string();
            return Err(Error::AlreadyAttached { container: container.clone(), network });
        }
        check_endpoint(sandbox, net, endpoint)?;
        let ifname = match &endpoint.ifname {
            Some(name) => name.clone(),
            None => sandbox.next_ifname(&net.config.ifname_prefix),
        };
        let ipv4 = take_address(net, Family::V4, endpoint.ipv4.map(IpAddr::from))?;
        let ipv6 =
            take_address(net, Family::V6, endpoint.ipv6.map(IpAddr::from)).inspect_err(|_| {
                if let Some(ipv4) = ipv4 {
                    net.book.release(ipv4.addr());
                }
            })?;
        let mac = endpoint.mac.unwrap_or_else(|| default_mac(ipv4, ipv6));
        let (gateway_v4, gateway_v6) = gateways(net, ipv4, ipv6);
        Ok(Attachment {
            container: container.clone(),
            network: network.clone(),
            config: endpoint.clone(),
            ifname,
            host_ifname: Some(host_ifname()),
            mac,
            ipv4,
            ipv6,
            gateway_v4,
            gateway_v6,
        })
    }
}

fn check_endpoint(sandbox: &Sandbox, network: &Network, endpoint: &EndpointConfig) -> Result<()> {
    let invalid = |text: String| Err(Error::InvalidEndpoint(text));
    if let Some(mac) = endpoint.mac.filter(|mac| !mac.is_unicast()) {
        return invalid(format!("MAC address {mac} is no unicast address"));
    }
    if let Some(name) = &endpoint.ifname {
        let taken = name == "lo" || sandbox.attachments.iter().any(|a| a.ifname == *name);
        if taken || name.is_empty() || name.len() > IFNAME_MAX {
            return invalid(format!("interface name {name:?} is taken or not possible"));
        }
    }
    if endpoint.ipv6.is_some() && !network.config.ipv6 {
        return invalid(format!("network {} has no IPv6", network.config.name));
    }
    if endpoint.ipv4.is_some() && !network.config.ipv4 {
        return invalid(format!("network {} has no IPv4", network.config.name));
    }
    let is_link_local = |addr: &IpAddr| match addr {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    match endpoint.link_local.iter().find(|addr| !is_link_local(addr)) {
        Some(addr) => invalid(format!("{addr} is no link-local address")),
        None => Ok(()),
    }
}

fn take_address(
    network: &mut Network,
    family: Family,
    asked: Option<IpAddr>,
) -> Result<Option<Cidr>> {
    if !network.config.has(family) {
        return Ok(None);
    }
    let name = network.config.name.to_string();
    match asked {
        Some(addr) => network.book.take(addr).map(Some),
        None => network.book.take_any(family, &name).map(Some),
    }
}

fn default_mac(ipv4: Option<Cidr>, ipv6: Option<Cidr>) -> Mac {
    match ipv4.or(ipv6).map(Cidr::addr) {
        Some(IpAddr::V4(addr)) => Mac::from_ipv4(addr),
        Some(IpAddr::V6(addr)) => Mac::from_ipv6(addr),
        None => Mac([0x02, 0x42, 0, 0, 0, 1]),
    }
}

/// The gateways of the subnets that the addresses are from; internal networks lead nowhere.
fn gateways(
    network: &Network,
    ipv4: Option<Cidr>,
    ipv6: Option<Cidr>,
) -> (Option<std::net::Ipv4Addr>, Option<std::net::Ipv6Addr>) {
    let config = &network.config;
    let of = |addr: Option<Cidr>| {
        let addr = addr.filter(|_| !config.internal)?.addr();
        if config.gateway_mode(Family::of(addr)) == GatewayMode::Isolated {
            return None;
        }
        config.subnets.iter().find(|subnet| subnet.cidr.contains(addr))?.gateway
    };
    let v4 = of(ipv4).and_then(|gateway| match gateway {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    });
    let v6 = of(ipv6).and_then(|gateway| match gateway {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    });
    (v4, v6)
}

/// `veth` and eleven random digits. Another name for each connection: a container that is started
/// again at once must not meet its last interface, which the kernel removes in the background. A
/// restart of the engine finds it by the stored attachment.
fn host_ifname() -> String {
    let mut bytes = [0; 6];
    sys::random::fill(&mut bytes);
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("veth{}", &digits[..11])
}

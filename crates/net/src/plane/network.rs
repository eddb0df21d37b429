//! Creating and removing networks.

use std::net::IpAddr;

use model::NetworkId;

use super::{Network, NetworkPlane, State, forwarding, naming};
use crate::{
    cidr::Cidr,
    config::{DriverKind, Family, GatewayMode, NetworkConfig, Subnet},
    driver,
    error::{Error, Result},
    firewall::Change,
    ipam::{self, AddressBook},
    netns::lock,
    nl::address,
    pool::{self, AddressPool},
};

impl NetworkPlane {
    /// Creates a network: chooses what was left open, makes the bridge, opens the firewall.
    /// Returns the network as it is, to be stored.
    pub fn create_network(&self, mut config: NetworkConfig) -> Result<NetworkConfig> {
        let driver = driver::of(config.driver)?;
        driver.check(&config)?;
        let mut state = lock(&self.state);
        // Somebody may have loaded br_netfilter since.
        state.host.hairpin = forwarding::netfilter_sees_bridges();
        if state.networks.contains_key(&config.id) {
            return Err(Error::NetworkExists(config.id));
        }
        self.fill_in(&mut state, &mut config)?;
        if driver.is_routed_by_host() && !config.internal && self.config.switch_forwarding {
            self.switch_forwarding(&mut state, &config)?;
        }
        let made = driver.create(&mut state.host, &config)?;
        if let Err(error) = self.firewall.apply(&firewall_changes(&config)) {
            // The first failure is the one to tell.
            let _ = driver.remove(&mut state.host, &config, &made);
            return Err(error);
        }
        naming::add_network(&self.names, &config);
        let book = AddressBook::new(&config);
        state.networks.insert(config.id.clone(), Network { config: config.clone(), made, book });
        Ok(config)
    }

    /// Removes a network without containers. One that is unknown is no failure if nothing is left.
    pub fn remove_network(&self, id: &NetworkId) -> Result<()> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let network = state.networks.get(id).ok_or_else(|| Error::NoSuchNetwork(id.clone()))?;
        let attached = state.sandboxes.values().flat_map(|sandbox| &sandbox.attachments);
        let endpoints = attached.filter(|attachment| attachment.network == *id).count();
        if endpoints > 0 {
            return Err(Error::NetworkInUse { name: network.config.name.to_string(), endpoints });
        }
        driver::of(network.config.driver)?.remove(
            &mut state.host,
            &network.config,
            &network.made,
        )?;
        let closed: Vec<Change> =
            firewall_changes(&network.config).into_iter().map(Change::reverted).collect();
        state.networks.remove(id);
        self.names.write(|names| names.remove_network(id));
        self.firewall.apply(&closed)
    }

    /// Subnets, gateways and names that were left open.
    fn fill_in(&self, state: &mut State, config: &mut NetworkConfig) -> Result<()> {
        if matches!(config.driver, DriverKind::Host | DriverKind::None) {
            return Ok(());
        }
        if config.driver == DriverKind::Bridge && config.bridge_name.is_empty() {
            config.bridge_name = format!("br-{}", config.id.short());
        }
        let taken: Vec<Cidr> = state.subnets().collect();
        check_subnets(config, &taken)?;
        for family in Family::BOTH {
            if config.has(family) && config.subnets_of(family).next().is_none() {
                let subnet = self.choose_subnet(state, family, &taken)?;
                config.subnets.push(Subnet::new(subnet));
            }
        }
        for subnet in &mut config.subnets {
            if subnet.gateway.is_none() {
                subnet.gateway = ipam::default_gateway(subnet);
            }
        }
        Ok(())
    }

    /// Routes of the host are read anew each time: a VPN may have appeared.
    fn choose_subnet(&self, state: &mut State, family: Family, taken: &[Cidr]) -> Result<Cidr> {
        let routes = address::routes(&mut state.host.routes).map_err(|source| Error::Kernel {
            action: "list",
            subject: "routes".to_owned(),
            source,
        })?;
        let routes: Vec<Cidr> = routes.into_iter().map(|route| route.subnet).collect();
        let (pools, name): (&[AddressPool], _) = match family {
            Family::V4 => (&self.config.pools_v4, "IPv4"),
            Family::V6 => (&self.config.pools_v6, "IPv6"),
        };
        pool::choose(pools, taken, &routes).ok_or(Error::NoFreePool { family: name })
    }
}

impl State {
    pub(super) fn subnets(&self) -> impl Iterator<Item = Cidr> {
        let configs = self.networks.values().map(|network| &network.config);
        configs.flat_map(|config| config.subnets.iter().map(|subnet| subnet.cidr))
    }

    pub(super) fn network_mut(&mut self, id: &NetworkId) -> Result<&mut Network> {
        self.networks.get_mut(id).ok_or_else(|| Error::NoSuchNetwork(id.clone()))
    }
}

/// Rejects subnets that contradict themselves, each other or the networks there are.
fn check_subnets(config: &NetworkConfig, taken: &[Cidr]) -> Result<()> {
    let invalid = |text: String| Err(Error::InvalidConfig(text));
    let mut seen: Vec<Cidr> = Vec::new();
    for subnet in &config.subnets {
        let cidr = subnet.cidr;
        let family = Family::of(cidr.addr());
        if !cidr.is_network() {
            return invalid(format!("invalid subnet {cidr}: it should be {}", cidr.network()));
        }
        if !config.has(family) {
            let name = if family == Family::V4 { "IPv4" } else { "IPv6" };
            return invalid(format!("subnet {cidr} given, but {name} is disabled"));
        }
        if let Some(range) = subnet.range.filter(|range| !cidr.covers(*range)) {
            return invalid(format!("invalid ip-range {range}: it is not in subnet {cidr}"));
        }
        let inside = |addr: &IpAddr| cidr.contains(*addr);
        if let Some(gateway) = subnet.gateway.filter(|addr| !inside(addr)) {
            return invalid(format!("invalid gateway {gateway}: it is not in subnet {cidr}"));
        }
        if let Some(addr) = subnet.reserved.values().find(|addr| !inside(addr)) {
            return invalid(format!(
                "invalid auxiliary address {addr}: it is not in subnet {cidr}"
            ));
        }
        if let Some(&other) = taken.iter().chain(&seen).find(|other| other.overlaps(cidr)) {
            return Err(Error::PoolOverlaps { wanted: cidr, taken: other });
        }
        seen.push(cidr);
    }
    Ok(())
}

/// What the firewall must know of a network.
pub(super) fn firewall_changes(config: &NetworkConfig) -> Vec<Change> {
    if config.driver != DriverKind::Bridge {
        return Vec::new();
    }
    let bridge = config.bridge_name.clone();
    let mut changes = vec![Change::Bridge(bridge.clone())];
    if config.icc {
        changes.push(Change::Within(bridge.clone()));
    }
    if config.internal {
        changes.push(Change::Internal(bridge.clone()));
    }
    for subnet in &config.subnets {
        let cidr = subnet.cidr;
        changes.push(Change::Home(cidr, bridge.clone()));
        if config.internal {
            continue;
        }
        let source: Option<IpAddr> = match Family::of(cidr.addr()) {
            Family::V4 => config.snat_v4.map(Into::into),
            Family::V6 => config.snat_v6.map(Into::into),
        };
        let mode = config.gateway_mode(Family::of(cidr.addr()));
        match mode {
            GatewayMode::Nat | GatewayMode::NatUnprotected => {
                match source {
                    Some(addr) if config.masquerade => changes.push(Change::Source(cidr, addr)),
                    None if config.masquerade => changes.push(Change::Masquerade(cidr)),
                    _ => {}
                }
                if mode == GatewayMode::NatUnprotected {
                    changes.push(Change::Open(cidr));
                }
            }
            GatewayMode::Routed => changes.push(Change::Routed(cidr)),
            GatewayMode::Isolated => {}
        }
    }
    changes
}

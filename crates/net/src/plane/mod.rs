//! The network plane: all networks and connected containers of one engine.
//!
//! States of a container here: no sandbox → sandbox (a namespace, connected to any number of
//! networks, with any number of published ports) → none. Methods block for the time of a few
//! netlink messages (attach: well under a millisecond of kernel time); call them from a blocking
//! thread that is in the host's namespace. Owns no storage: after a restart the engine hands back
//! what it stored and `start` brings the kernel in line with it.
//!
//! One lock covers everything: the kernel serializes interface changes anyway.

mod forwarding;
mod gateway;
mod naming;
mod network;
mod plan;
mod ports;
mod restore;
mod sandbox;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use model::{ContainerId, NetworkId};
use sys::netlink::Protocol;
use tokio::runtime::Handle;

pub use restore::{Restored, RestoredSandbox};

use crate::{
    cidr::Cidr,
    config::NetworkConfig,
    dns::{NameService, Server},
    driver::{Host, Made},
    endpoint::{Attachment, DnsConfig, PublishedPort},
    error::{Error, Result},
    firewall::{Firewall, Guard},
    ipam::AddressBook,
    netns::{NamespacePool, Visitor, lock},
    nl::Connection,
    pool::{self, AddressPool},
    publish::{PortTable, Proxy, Reservation, Target},
};

/// How an engine wants its networks. Two engines on one host need different tables.
#[derive(Clone, Debug)]
pub struct PlaneConfig {
    /// Name of the nftables table.
    pub table: String,
    /// Forbid others to change the table, where the kernel can (6.9).
    pub own_table: bool,
    /// Insert a rule for our packets into other firewalls' forward chains that drop by policy.
    pub pass_other_firewalls: bool,
    /// Switch IP forwarding on when a network needs it.
    pub switch_forwarding: bool,
    /// IPv4 blocks for networks that name no subnet.
    pub pools_v4: Vec<AddressPool>,
    /// IPv6 blocks.
    pub pools_v6: Vec<AddressPool>,
    /// How many fresh namespaces are kept ready.
    pub ready_namespaces: usize,
}

impl Default for PlaneConfig {
    /// Table `cale`, Docker's pools, two ready namespaces. The IPv6 block has a fixed seed: give
    /// each host its own by [`pool::default_v6`].
    fn default() -> Self {
        Self {
            table: "cale".to_owned(),
            own_table: true,
            pass_other_firewalls: true,
            switch_forwarding: true,
            pools_v4: pool::default_v4(),
            pools_v6: pool::default_v6(*b"cale0"),
            ready_namespaces: 2,
        }
    }
}

/// What the plane changed on the host, for the engine to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// IPv4 forwarding was off and is on now; what is forwarded between others is dropped.
    pub switched_forwarding_v4: bool,
    /// IPv6 forwarding was off and is on now.
    pub switched_forwarding_v6: bool,
    /// How often the firewall table was put back after somebody changed it.
    pub firewall_reasserted: u64,
}

/// All networks and connected containers of one engine.
#[derive(Debug)]
pub struct NetworkPlane {
    config: PlaneConfig,
    runtime: Handle,
    firewall: Arc<Firewall>,
    _guard: Guard,
    namespaces: NamespacePool,
    visitor: Visitor,
    names: Arc<NameService>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    host: Host,
    networks: HashMap<NetworkId, Network>,
    sandboxes: HashMap<ContainerId, Sandbox>,
    ports: PortTable,
    facts: Facts,
}

#[derive(Debug)]
struct Network {
    config: NetworkConfig,
    made: Made,
    book: AddressBook,
}

#[derive(Debug)]
struct Sandbox {
    namespace: OwnedFd,
    /// rtnetlink inside of it.
    routes: Connection,
    dns: DnsConfig,
    /// In order of connection.
    attachments: Vec<Attachment>,
    reservations: Vec<Reservation>,
    proxies: Vec<Proxy>,
    /// The name server, once the container is on a network with names.
    names: Option<Server>,
    /// Where the firewall and the proxies send published ports now.
    target: Target,
}

impl NetworkPlane {
    /// Starts with what an earlier run of the engine stored (`Restored::default()` for nothing),
    /// and brings bridges, interfaces, ports and the firewall in line with it. What could not be
    /// restored comes back as errors; everything else works.
    pub fn start(
        config: PlaneConfig,
        runtime: Handle,
        restored: Restored,
    ) -> Result<(Self, Vec<Error>)> {
        let connect = |action, source| Error::Namespace { action, source };
        let routes = Connection::open(Protocol::Route).map_err(|e| connect("connect to", e))?;
        let firewall = Firewall::open(&config.table, config.own_table)?;
        let drops_foreign = firewall.inherits_drop_foreign()?;
        let mut state = State {
            host: Host { routes, hairpin: forwarding::netfilter_sees_bridges() },
            networks: HashMap::new(),
            sandboxes: HashMap::new(),
            ports: PortTable::default(),
            facts: Facts::default(),
        };
        let visitor = Visitor::default();
        let names = NameService::new(runtime.clone());
        let mut problems = Vec::new();
        let mut changes = Vec::new();
        for network in restored.networks {
            naming::add_network(&names, &network);
            match state.adopt_network(network) {
                Ok(new) => changes.extend(new),
                Err(error) => problems.push(error),
            }
        }
        for sandbox in restored.sandboxes {
            let container = sandbox.container.clone();
            changes.extend(state.adopt_sandbox(sandbox, &visitor, &runtime, &mut problems));
            for attachment in state.sandboxes.get(&container).iter().flat_map(|s| &s.attachments) {
                naming::add(&names, attachment);
            }
            problems.extend(state.settle_names(&container, &names, &visitor).err());
        }
        problems.extend(state.remove_strays().err());
        firewall.assert_with(&changes, drops_foreign)?;
        let guard = Guard::start(&firewall, &runtime, config.pass_other_firewalls)?;
        let namespaces = NamespacePool::start(config.ready_namespaces)?;
        let plane = Self {
            config,
            runtime,
            firewall,
            _guard: guard,
            namespaces,
            visitor,
            names,
            state: Mutex::new(state),
        };
        Ok((plane, problems))
    }

    /// What the plane changed on the host.
    pub fn facts(&self) -> Facts {
        let mut facts = lock(&self.state).facts;
        facts.firewall_reasserted = self.firewall.reasserted();
        facts
    }

    /// A network as it is.
    pub fn network(&self, id: &NetworkId) -> Option<NetworkConfig> {
        lock(&self.state).networks.get(id).map(|network| network.config.clone())
    }

    /// How many addresses of a subnet are used, those of gateways and reserved ones included.
    pub fn used_addresses(&self, id: &NetworkId, subnet: Cidr) -> usize {
        lock(&self.state).networks.get(id).map_or(0, |network| network.book.used(subnet))
    }

    /// The connections of a container, in order.
    pub fn attachments(&self, container: &ContainerId) -> Vec<Attachment> {
        lock(&self.state).sandboxes.get(container).map_or_else(Vec::new, |s| s.attachments.clone())
    }

    /// The published ports of a container.
    pub fn published(&self, container: &ContainerId) -> Vec<PublishedPort> {
        let state = lock(&self.state);
        state.sandboxes.get(container).map_or_else(Vec::new, Sandbox::published)
    }

    /// The address of the host that containers of a network reach it by (`host-gateway`): the
    /// gateway of the default bridge, or of the only network given.
    pub fn host_gateway(&self, id: &NetworkId) -> Option<IpAddr> {
        let state = lock(&self.state);
        state.networks.get(id)?.config.subnets.iter().find_map(|subnet| subnet.gateway)
    }

    /// Removes the firewall table, when the engine is uninstalled or all its networks are gone.
    pub fn remove_firewall(&self) -> Result<()> {
        self.firewall.remove()
    }
}

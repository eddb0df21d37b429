//! The name service's part of connecting: who is called what, and a server per container.
//!
//! Containers on the default bridge alone have none (Docker's rule): files name them.

use std::{
    net::IpAddr,
    os::fd::AsFd,
    sync::{Arc, Mutex},
};

use model::ContainerId;

use super::{NetworkPlane, Sandbox, State};
use crate::{
    config::{DriverKind, NetworkConfig},
    dns::{self, Endpoint, NameService, Reach, Server, View},
    endpoint::Attachment,
    error::{Error, Result},
    netns::{Visitor, lock},
};

impl NetworkPlane {
    /// Says whether a container can serve: shared names tell only those that can. All can until
    /// told otherwise.
    pub fn set_ready(&self, container: &ContainerId, ready: bool) {
        self.names.write(|names| names.set_ready(container, ready));
    }

    /// Changes a container's own name on all its networks.
    pub fn rename(&self, container: &ContainerId, old: &str, new: &str) {
        self.names.write(|names| names.rename(container, old, new));
        let mut state = lock(&self.state);
        let Some(sandbox) = state.sandboxes.get_mut(container) else { return };
        let names = sandbox.attachments.iter_mut().flat_map(|a| &mut a.config.names);
        for name in names.filter(|name| *name == old) {
            new.clone_into(name);
        }
    }
}

/// True for networks whose containers find each other by name.
pub(super) fn has_names(config: &NetworkConfig) -> bool {
    !config.is_default_bridge && !matches!(config.driver, DriverKind::Host | DriverKind::None)
}

/// Begins a network's table of names.
pub(super) fn add_network(names: &NameService, config: &NetworkConfig) {
    if has_names(config) {
        let subnets = config.subnets.iter().map(|subnet| subnet.cidr).collect();
        names.write(|names| names.put_network(config.id.clone(), config.name.as_str(), subnets));
    }
}

/// Adds a connection's names; a network without names takes none.
pub(super) fn add(names: &NameService, attachment: &Attachment) {
    let config = &attachment.config;
    let mut own = config.names.clone();
    let short = attachment.container.short();
    if !own.iter().any(|name| name == short) {
        own.push(short.to_owned());
    }
    let endpoint = Endpoint {
        ipv4: attachment.ipv4.and_then(|cidr| match cidr.addr() {
            IpAddr::V4(addr) => Some(addr),
            IpAddr::V6(_) => None,
        }),
        ipv6: attachment.ipv6.and_then(|cidr| match cidr.addr() {
            IpAddr::V6(addr) => Some(addr),
            IpAddr::V4(_) => None,
        }),
        names: own,
        aliases: config.aliases.clone(),
        links: config.links.clone(),
        services: config.services.clone(),
    };
    names.write(|names| names.put(&attachment.network, &attachment.container, endpoint));
}

impl State {
    /// Starts a container's server when it needs one, and tells it what the container may see.
    pub(super) fn settle_names(
        &mut self,
        container: &ContainerId,
        names: &Arc<NameService>,
        visitor: &Visitor,
    ) -> Result<()> {
        let Some(sandbox) = self.sandboxes.get(container) else { return Ok(()) };
        let reach = self.reach_of(sandbox);
        let sandbox = self.sandbox_mut(container)?;
        if let Some(server) = &sandbox.names {
            *lock(&server.view.reach) = reach;
            return Ok(());
        }
        if !reach.networks.is_empty() {
            sandbox.names = Some(start_server(container, sandbox, reach, names, visitor)?);
        }
        Ok(())
    }

    fn reach_of(&self, sandbox: &Sandbox) -> Reach {
        let mut reach = Reach::default();
        for attachment in &sandbox.attachments {
            let Some(network) = self.networks.get(&attachment.network) else { continue };
            reach.outside |= !network.config.internal;
            if has_names(&network.config) {
                reach.networks.push(attachment.network.clone());
            }
        }
        reach
    }
}

fn start_server(
    container: &ContainerId,
    sandbox: &Sandbox,
    reach: Reach,
    names: &Arc<NameService>,
    visitor: &Visitor,
) -> Result<Server> {
    let failed = |source| Error::NameServer { container: container.clone(), source };
    let is_taken = sandbox.dns.port_53_is_taken;
    let sockets = visitor
        .visit(sandbox.namespace.as_fd(), move || {
            if is_taken {
                let sockets = dns::open_sockets(0)?;
                dns::divert(sockets.addr, sockets.tcp_addr)?;
                return Ok(sockets);
            }
            dns::open_sockets(53)
        })?
        .map_err(failed)?;
    let view = View {
        container: container.clone(),
        namespace: sandbox.namespace.try_clone().map_err(failed)?,
        servers: sandbox.dns.servers.clone(),
        reach: Mutex::new(reach),
    };
    Server::start(names, sockets, view).map_err(failed)
}

//! After a restart: bringing the kernel in line with what the engine stored.

use std::os::fd::{AsFd, OwnedFd};

use model::ContainerId;
use sys::netlink::Protocol;
use tokio::runtime::Handle;

use super::{Network, Sandbox, State, network, ports};
use crate::{
    config::{DriverKind, NetworkConfig},
    driver,
    endpoint::{Attachment, DnsConfig, PublishedPort},
    error::{Error, Result},
    firewall::Change,
    ipam::AddressBook,
    netns::Visitor,
    nl::{Batch, Connection, link},
    publish::Run,
};

/// What the engine stored.
#[derive(Debug, Default)]
pub struct Restored {
    /// All networks.
    pub networks: Vec<NetworkConfig>,
    /// The containers that still run.
    pub sandboxes: Vec<RestoredSandbox>,
}

/// A container that ran on while the engine was away.
#[derive(Debug)]
pub struct RestoredSandbox {
    /// Which.
    pub container: ContainerId,
    /// Its namespace: `/proc/<pid>/ns/net`, opened.
    pub namespace: OwnedFd,
    /// As given to `create_sandbox`.
    pub dns: DnsConfig,
    /// As returned by `attach`, in order.
    pub attachments: Vec<Attachment>,
    /// As returned by `publish`.
    pub published: Vec<PublishedPort>,
}

impl State {
    /// Finds or makes what a network needs; returns what the firewall must know.
    pub(super) fn adopt_network(&mut self, config: NetworkConfig) -> Result<Vec<Change>> {
        let made = driver::of(config.driver)?.create(&mut self.host, &config)?;
        let changes = network::firewall_changes(&config);
        let book = AddressBook::new(&config);
        self.networks.insert(config.id.clone(), Network { config, made, book });
        Ok(changes)
    }

    /// Takes a running container over. What fails is a problem of its own and the rest goes on.
    pub(super) fn adopt_sandbox(
        &mut self,
        stored: RestoredSandbox,
        visitor: &Visitor,
        runtime: &Handle,
        problems: &mut Vec<Error>,
    ) -> Vec<Change> {
        let container = stored.container;
        let opened = visitor.visit(stored.namespace.as_fd(), || Connection::open(Protocol::Route));
        let routes = match opened.and_then(|result| {
            result.map_err(|source| Error::Namespace { action: "connect to", source })
        }) {
            Ok(routes) => routes,
            Err(error) => {
                problems.push(error);
                return Vec::new();
            }
        };
        let sandbox = Sandbox::new(stored.namespace, routes, stored.dns);
        self.sandboxes.insert(container.clone(), sandbox);
        for attachment in stored.attachments {
            problems.extend(self.adopt_attachment(attachment, visitor).err());
        }
        problems.extend(self.settle_routes(&container).err());
        self.adopt_ports(&container, &stored.published, runtime, problems)
    }

    fn adopt_attachment(&mut self, attachment: Attachment, visitor: &Visitor) -> Result<()> {
        let network = self.network_mut(&attachment.network)?;
        for addr in [attachment.ipv4, attachment.ipv6].into_iter().flatten() {
            network.book.take(addr.addr())?;
        }
        let bridge = network.made.link;
        let present = match &attachment.host_ifname {
            Some(name) => link::by_name(&mut self.host.routes, name)?,
            None => None,
        };
        let whole = match (&present, &attachment.host_ifname) {
            (Some(link), Some(name)) => {
                if link.master != bridge || !link.up {
                    let mut batch = Batch::new();
                    link::set_master(&mut batch, name, bridge);
                    self.host.routes.perform(&batch)?;
                }
                attachment
            }
            // Drivers without an end on the host: the interface lives in the namespace alone.
            (None, None) => attachment,
            _ => self.connect(attachment, visitor)?,
        };
        self.sandbox_mut(&whole.container.clone())?.attachments.push(whole);
        Ok(())
    }

    fn adopt_ports(
        &mut self,
        container: &ContainerId,
        published: &[PublishedPort],
        runtime: &Handle,
        problems: &mut Vec<Error>,
    ) -> Vec<Change> {
        let mut reservations = Vec::new();
        for port in published {
            match self.ports.reserve_again(Run::from_published(port)) {
                Ok(made) => reservations.extend(made),
                Err(error) => problems.push(error),
            }
        }
        let target = self.target_of(container);
        let proxies = ports::start_proxies(&reservations, &target, runtime);
        let Some(sandbox) = self.sandboxes.get_mut(container) else { return Vec::new() };
        sandbox.target = target;
        sandbox.reservations = reservations;
        match proxies {
            Ok(proxies) => sandbox.proxies = proxies,
            Err(error) => problems.push(error),
        }
        sandbox.firewall_changes()
    }

    /// Removes interfaces on our bridges that belong to no container any more.
    pub(super) fn remove_strays(&mut self) -> Result<()> {
        let bridges: Vec<u32> = self
            .networks
            .values()
            .filter(|n| n.config.driver == DriverKind::Bridge && !n.config.bridge_is_foreign)
            .map(|network| network.made.link)
            .collect();
        let known: Vec<&str> = self
            .sandboxes
            .values()
            .flat_map(|sandbox| &sandbox.attachments)
            .filter_map(|attachment| attachment.host_ifname.as_deref())
            .collect();
        let links = link::all(&mut self.host.routes).map_err(|source| Error::Kernel {
            action: "list",
            subject: "interfaces".to_owned(),
            source,
        })?;
        let mut batch = Batch::new();
        for stray in links.iter().filter(|link| {
            link.kind == "veth"
                && link.name.starts_with("veth")
                && bridges.contains(&link.master)
                && !known.contains(&link.name.as_str())
        }) {
            link::delete(&mut batch, stray.index, &stray.name);
        }
        Ok(self.host.routes.perform(&batch)?)
    }
}

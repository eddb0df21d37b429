//! Containers' namespaces and their connections to networks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::{ContainerId, NetworkId};

use super::{NetworkPlane, Sandbox, State, naming};
use crate::{
    cidr::Cidr,
    driver::{self, Interface},
    endpoint::{Attachment, DnsConfig, EndpointConfig},
    error::{Error, Result},
    files::{self, Resolution, Resolver},
    firewall::Change,
    netns::{Absent, Visitor, lock, write_setting},
    nl::{Batch, Connection, address, conntrack, link},
    publish::Target,
};

impl NetworkPlane {
    /// Makes a container's namespace: loopback up, nothing else. The returned fd is for the
    /// container's init; the plane keeps its own.
    pub fn create_sandbox(&self, container: &ContainerId, dns: DnsConfig) -> Result<OwnedFd> {
        if lock(&self.state).sandboxes.contains_key(container) {
            return Err(Error::SandboxExists(container.clone()));
        }
        let fresh = self.namespaces.take()?;
        let for_caller =
            fresh.fd.try_clone().map_err(|source| Error::Namespace { action: "open", source })?;
        let sandbox = Sandbox::new(fresh.fd, fresh.routes, dns);
        let mut state = lock(&self.state);
        if state.sandboxes.contains_key(container) {
            return Err(Error::SandboxExists(container.clone()));
        }
        state.sandboxes.insert(container.clone(), sandbox);
        Ok(for_caller)
    }

    /// Connects a container to a network, live or before its start.
    pub fn attach(
        &self,
        container: &ContainerId,
        network: &NetworkId,
        endpoint: &EndpointConfig,
    ) -> Result<Attachment> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let planned = state.plan(container, network, endpoint)?;
        let made = state.connect(planned.clone(), &self.visitor);
        let attachment = match made {
            Ok(attachment) => attachment,
            Err(error) => {
                state.release_addresses(&planned);
                return Err(error);
            }
        };
        let sandbox = state.sandbox_mut(container)?;
        sandbox.attachments.push(attachment.clone());
        naming::add(&self.names, &attachment);
        let settled = state
            .settle_routes(container)
            .and_then(|()| self.retarget(state, container))
            .and_then(|()| state.settle_names(container, &self.names, &self.visitor));
        if let Err(error) = settled {
            // The first failure is the one to tell.
            let _ = self.disconnect(state, container, network);
            return Err(error);
        }
        Ok(attachment)
    }

    /// Disconnects a running container from a network. Waits for the kernel (15–30 ms).
    pub fn detach(&self, container: &ContainerId, network: &NetworkId) -> Result<()> {
        self.disconnect(&mut lock(&self.state), container, network)
    }

    fn disconnect(
        &self,
        state: &mut State,
        container: &ContainerId,
        network: &NetworkId,
    ) -> Result<()> {
        let name = state.network_mut(network)?.config.name.to_string();
        let sandbox = state.sandbox_mut(container)?;
        let at = sandbox.attachments.iter().position(|attachment| attachment.network == *network);
        let at =
            at.ok_or_else(|| Error::NotAttached { container: container.clone(), network: name })?;
        let gone = sandbox.attachments.remove(at);
        let mut batch = Batch::new();
        link::delete_by_name(&mut batch, &gone.ifname);
        let removed = sandbox.routes.perform(&batch);
        state.release_addresses(&gone);
        self.names.write(|names| names.remove(network, container));
        state.settle_names(container, &self.names, &self.visitor)?;
        state.settle_routes(container)?;
        self.retarget(state, container)?;
        self.forget_flows(&[gone]);
        Ok(removed?)
    }

    /// Lets go of a container's namespace, addresses and ports, after its last process ended. The
    /// kernel removes the interfaces in the background. An unknown container is no failure.
    pub fn remove_sandbox(&self, container: &ContainerId) -> Result<()> {
        let mut state = lock(&self.state);
        let Some(sandbox) = state.sandboxes.remove(container) else { return Ok(()) };
        for attachment in &sandbox.attachments {
            state.release_addresses(attachment);
        }
        self.names.write(|names| {
            for attachment in &sandbox.attachments {
                names.remove(&attachment.network, container);
            }
            names.set_ready(container, true);
        });
        state.ports.release(&sandbox.reservations);
        let had_ports = !sandbox.reservations.is_empty();
        let closed: Vec<Change> =
            sandbox.firewall_changes().into_iter().map(Change::reverted).collect();
        drop(state);
        let attachments = sandbox.attachments.clone();
        drop(sandbox);
        self.firewall.apply(&closed)?;
        if had_ports {
            self.forget_flows(&attachments);
        }
        Ok(())
    }

    /// How a container resolves names: by the engine's server as soon as it is on a user-defined
    /// network, else by the host's servers.
    pub fn resolution(&self, container: &ContainerId) -> Resolution {
        let state = lock(&self.state);
        let Some(sandbox) = state.sandboxes.get(container) else { return Resolution::Host };
        if state.is_named(sandbox) {
            return Resolution::Internal;
        }
        Resolution::Direct { ipv6: sandbox.attachments.iter().any(|a| a.gateway_v6.is_some()) }
    }

    /// The text of a container's resolv.conf now. `host`: the host's resolver.
    pub fn resolv_conf(&self, container: &ContainerId, host: &Resolver) -> String {
        let how = self.resolution(container);
        let asked = lock(&self.state).sandboxes.get(container).map(|sandbox| sandbox.dns.clone());
        files::resolv_conf(host, &asked.unwrap_or_default(), how)
    }

    /// The namespace of a container, for a process that joins it.
    pub fn namespace(&self, container: &ContainerId) -> Result<OwnedFd> {
        let mut state = lock(&self.state);
        let sandbox = state.sandbox_mut(container)?;
        let failed = |source| Error::Namespace { action: "open", source };
        sandbox.namespace.try_clone().map_err(failed)
    }

    /// Translated flows to these addresses end with their container.
    pub(super) fn forget_flows(&self, attachments: &[Attachment]) {
        let addrs = attachments.iter().flat_map(|a| [a.ipv4, a.ipv6]).flatten().map(Cidr::addr);
        let forgotten = Connection::open(sys::netlink::Protocol::Netfilter).and_then(|mut conn| {
            for addr in addrs {
                conntrack::forget_translated(&mut conn, addr)?;
            }
            Ok(())
        });
        if let Err(error) = forgotten {
            // Flows time out by themselves; the container is gone either way.
            tracing::warn!(%error, "cannot forget connections of a removed endpoint");
        }
    }
}

impl Sandbox {
    pub(super) fn new(namespace: OwnedFd, routes: Connection, dns: DnsConfig) -> Self {
        Self {
            namespace,
            routes,
            dns,
            attachments: Vec::new(),
            reservations: Vec::new(),
            proxies: Vec::new(),
            target: Target::default(),
            names: None,
        }
    }

    /// The lowest number that no interface has.
    pub(super) fn next_ifname(&self, prefix: &str) -> String {
        let taken = |name: &String| self.attachments.iter().any(|a| a.ifname == *name);
        (0u32..)
            .map(|number| format!("{prefix}{number}"))
            .find(|name| !taken(name))
            .unwrap_or_else(|| prefix.to_owned())
    }
}

impl State {
    pub(super) fn sandbox_mut(&mut self, container: &ContainerId) -> Result<&mut Sandbox> {
        self.sandboxes.get_mut(container).ok_or_else(|| Error::NoSuchSandbox(container.clone()))
    }

    /// True when the container is on a network with a name service.
    pub(super) fn is_named(&self, sandbox: &Sandbox) -> bool {
        let mut networks = sandbox.attachments.iter().filter_map(|a| self.networks.get(&a.network));
        networks.any(|network| naming::has_names(&network.config))
    }

    /// Makes the interface and gives it its addresses.
    pub(super) fn connect(
        &mut self,
        mut planned: Attachment,
        visitor: &Visitor,
    ) -> Result<Attachment> {
        let found = self.networks.get(&planned.network);
        let network = found.ok_or_else(|| Error::NoSuchNetwork(planned.network.clone()))?;
        let found = self.sandboxes.get_mut(&planned.container);
        let sandbox = found.ok_or_else(|| Error::NoSuchSandbox(planned.container.clone()))?;
        let host_name = planned.host_ifname.take().unwrap_or_default();
        let interface = Interface {
            name: &planned.ifname,
            host_name: &host_name,
            mac: planned.mac,
            namespace: sandbox.namespace.as_fd(),
        };
        let driver = driver::of(network.config.driver)?;
        let has_host_end =
            driver.connect(&mut self.host, &network.config, &network.made, &interface)?;
        planned.host_ifname = has_host_end.then_some(host_name);
        let configured = configure(sandbox, &planned, visitor);
        if let Err(error) = configured {
            let mut undo = Batch::new();
            link::delete_by_name(&mut undo, &planned.ifname);
            // The first failure is the one to tell.
            let _ = sandbox.routes.perform(&undo);
            return Err(error);
        }
        Ok(planned)
    }

    pub(super) fn release_addresses(&mut self, attachment: &Attachment) {
        if let Some(network) = self.networks.get_mut(&attachment.network) {
            for addr in [attachment.ipv4, attachment.ipv6].into_iter().flatten() {
                network.book.release(addr.addr());
            }
        }
    }
}

/// Addresses, settings, up: from inside the namespace.
fn configure(sandbox: &mut Sandbox, planned: &Attachment, visitor: &Visitor) -> Result<()> {
    let mut settings: Vec<(String, String)> = Vec::new();
    if planned.ipv6.is_some() {
        // Neighbours must not configure the container (CVE-2020-13401). Addresses are given out
        // once, so there is nothing to detect, and no second of waiting. On last.
        for (name, value) in [
            ("accept_ra", "0"),
            ("accept_redirects", "0"),
            ("accept_dad", "0"),
            ("disable_ipv6", "0"),
        ] {
            let key = format!("net/ipv6/conf/{}/{name}", planned.ifname);
            settings.push((key, value.to_owned()));
        }
    }
    for (name, value) in &planned.config.sysctls {
        let key = name.replace('.', "/").replace("/IFNAME/", &format!("/{}/", planned.ifname));
        settings.push((key, value.clone()));
    }
    apply_settings(sandbox.namespace.as_fd(), settings, visitor)?;
    let found = link::by_name(&mut sandbox.routes, &planned.ifname)?;
    let link = found.ok_or_else(|| Error::Kernel {
        action: "find",
        subject: format!("interface {}", planned.ifname),
        source: std::io::Error::from_raw_os_error(libc::ENODEV),
    })?;
    let mut batch = Batch::new();
    for addr in [planned.ipv4, planned.ipv6].into_iter().flatten() {
        address::add(&mut batch, link.index, addr);
    }
    for &addr in &planned.config.link_local {
        let prefix = if addr.is_ipv4() { 16 } else { 64 };
        let cidr = Cidr::new(addr, prefix).map_err(|e| Error::InvalidEndpoint(e.to_string()))?;
        address::add(&mut batch, link.index, cidr);
    }
    link::set_up(&mut batch, link.index, &planned.ifname);
    Ok(sandbox.routes.perform(&batch)?)
}

fn apply_settings(
    namespace: BorrowedFd<'_>,
    settings: Vec<(String, String)>,
    visitor: &Visitor,
) -> Result<()> {
    if settings.is_empty() {
        return Ok(());
    }
    visitor.visit(namespace, move || {
        settings.iter().try_for_each(|(key, value)| write_setting(key, value, Absent::Failure))
    })?
}

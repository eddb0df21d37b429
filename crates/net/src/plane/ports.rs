//! Published ports of containers.

use std::net::{IpAddr, SocketAddr};

use model::{
    ContainerId,
    port::{PortBinding, Protocol},
};

use super::{NetworkPlane, Sandbox, State};
use crate::{
    config::Family,
    endpoint::PublishedPort,
    error::{Error, Result},
    firewall::Change,
    netns::lock,
    nl::{Connection, conntrack},
    publish::{self, Proxy, Reservation, Run, Target, runs},
};

impl NetworkPlane {
    /// Makes ports of a container reachable from the host, all or none, in addition to those that
    /// are already. A container without a way out (internal networks only) publishes nothing.
    ///
    /// # Errors
    /// `PortBusy` in Docker's words when somebody else has a port.
    pub fn publish(
        &self,
        container: &ContainerId,
        bindings: &[PortBinding],
    ) -> Result<Vec<PublishedPort>> {
        if bindings.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = lock(&self.state);
        let state = &mut *state;
        let target = state.target_of(container);
        if target == Target::default() {
            state.sandbox_mut(container)?;
            return Ok(Vec::new());
        }
        let default_host = state.default_host_ip(container);
        let new = state.ports.reserve(bindings, default_host)?;
        let published = joined(&new).iter().map(Run::published).collect();
        let changes = reservations_changes(&new, &target);
        let opened = self.firewall.apply(&changes).and_then(|()| {
            start_proxies(&new, &target, &self.runtime).inspect_err(|_| {
                let closed: Vec<Change> = changes.into_iter().map(Change::reverted).collect();
                // The first failure is the one to tell.
                let _ = self.firewall.apply(&closed);
            })
        });
        let proxies = match opened {
            Ok(proxies) => proxies,
            Err(error) => {
                state.ports.release(&new);
                return Err(error);
            }
        };
        forget_earlier_flows(&joined(&new));
        let sandbox = state.sandbox_mut(container)?;
        sandbox.target = target;
        sandbox.reservations.extend(new);
        sandbox.proxies.extend(proxies);
        Ok(published)
    }

    /// Closes published ports of a container; those it doesn't have are no failure. Flows in
    /// progress end.
    pub fn unpublish(&self, container: &ContainerId, ports: &[PublishedPort]) -> Result<()> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let doomed: Vec<Run> = ports.iter().map(Run::from_published).collect();
        let sandbox = state.sandbox_mut(container)?;
        let before = sandbox.firewall_changes();
        let is_doomed = |reservation: &Reservation| {
            let run = &reservation.run;
            doomed.iter().any(|d| {
                d.host == run.host
                    && d.protocol == run.protocol
                    && run.host_port >= d.host_port
                    && run.host_port - d.host_port < d.count
            })
        };
        let (gone, kept) =
            std::mem::take(&mut sandbox.reservations).into_iter().partition(is_doomed);
        let gone: Vec<Reservation> = gone;
        sandbox.reservations = kept;
        let changes = replacing(before, sandbox.firewall_changes());
        sandbox.proxies = start_proxies(&sandbox.reservations, &sandbox.target, &self.runtime)?;
        let attachments = sandbox.attachments.clone();
        state.ports.release(&gone);
        self.firewall.apply(&changes)?;
        self.forget_flows(&attachments);
        Ok(())
    }

    /// Leads a container's ports to where its gateway endpoints are now.
    pub(super) fn retarget(&self, state: &mut State, container: &ContainerId) -> Result<()> {
        let target = state.target_of(container);
        let sandbox = state.sandbox_mut(container)?;
        if sandbox.target == target || sandbox.reservations.is_empty() {
            sandbox.target = target;
            return Ok(());
        }
        let before = sandbox.firewall_changes();
        sandbox.target = target;
        let changes = replacing(before, sandbox.firewall_changes());
        sandbox.proxies.clear();
        sandbox.proxies = start_proxies(&sandbox.reservations, &sandbox.target, &self.runtime)?;
        self.firewall.apply(&changes)
    }
}

impl State {
    /// The host address of ports that name none, from the network that gives the default route.
    fn default_host_ip(&self, container: &ContainerId) -> Option<IpAddr> {
        let sandbox = self.sandboxes.get(container)?;
        let endpoint = self
            .gateway_endpoint(sandbox, Family::V4)
            .or_else(|| self.gateway_endpoint(sandbox, Family::V6))?;
        let host = self.networks.get(&endpoint.network)?.config.default_host_ip;
        host.filter(|addr| *addr != IpAddr::from([0, 0, 0, 0]))
    }
}

impl Sandbox {
    /// As the engine stores them.
    pub(super) fn published(&self) -> Vec<PublishedPort> {
        joined(&self.reservations).iter().map(Run::published).collect()
    }

    /// All additions that the firewall holds for this container.
    pub(super) fn firewall_changes(&self) -> Vec<Change> {
        reservations_changes(&self.reservations, &self.target)
    }
}

/// What the firewall must know of reservations.
pub(super) fn reservations_changes(reservations: &[Reservation], target: &Target) -> Vec<Change> {
    publish::firewall_changes(&joined(reservations), target)
}

fn joined(reservations: &[Reservation]) -> Vec<Run> {
    runs(reservations.iter().map(|reservation| reservation.run).collect())
}

/// UDP flows that began before their port was published were never translated and never would be.
fn forget_earlier_flows(opened: &[Run]) {
    for family in Family::BOTH {
        let ports: Vec<(u16, u16)> = opened
            .iter()
            .filter(|run| run.protocol == Protocol::Udp && Family::of(run.host) == family)
            .map(|run| (run.host_port, run.host_port + (run.count - 1)))
            .collect();
        if ports.is_empty() {
            continue;
        }
        let forgotten = Connection::open(sys::netlink::Protocol::Netfilter)
            .and_then(|mut conn| conntrack::forget_udp_ports(&mut conn, family, &ports));
        if let Err(error) = forgotten {
            // Such flows time out by themselves; the port works for all others.
            tracing::warn!(%error, "cannot forget connections to newly published ports");
        }
    }
}

/// Removals of what is no longer wanted, then additions: the last word on a key counts.
fn replacing(before: Vec<Change>, after: Vec<Change>) -> Vec<Change> {
    before.into_iter().map(Change::reverted).chain(after).collect()
}

/// Serves what the kernel can't translate, on duplicates of the reserved sockets.
pub(super) fn start_proxies(
    reservations: &[Reservation],
    target: &Target,
    runtime: &tokio::runtime::Handle,
) -> Result<Vec<Proxy>> {
    let mut proxies = Vec::new();
    for Reservation { run, socket } in reservations {
        let Some(socket) = socket.as_ref().filter(|_| target.needs_proxy(run.host)) else {
            continue;
        };
        let other = if run.host.is_ipv4() { Family::V6 } else { Family::V4 };
        let own = target.addr(Family::of(run.host));
        let Some(addr) = own.or_else(|| target.addr(other)) else { continue };
        let host = SocketAddr::new(run.host, run.host_port);
        let failed = |source| Error::PortBind { host, protocol: run.protocol, source };
        let socket = socket.try_clone().map_err(failed)?;
        let to = SocketAddr::new(addr, run.container_port);
        proxies.extend(Proxy::start(socket, run.protocol, to, runtime).map_err(failed)?);
    }
    Ok(proxies)
}

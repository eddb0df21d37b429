//! Which of a container's connections leads outside: default routes and published ports follow it.

use std::net::IpAddr;

use model::ContainerId;

use super::{Sandbox, State};
use crate::{
    config::{DriverKind, Family},
    endpoint::Attachment,
    error::Result,
    nl::{Batch, address, link},
    publish::Target,
};

impl State {
    /// The endpoint that gives a family its default route: the highest priority, then the lowest
    /// network name.
    pub(super) fn gateway_endpoint(&self, sandbox: &Sandbox, family: Family) -> Option<Attachment> {
        let with_gateway = sandbox.attachments.iter().filter(|attachment| match family {
            Family::V4 => attachment.gateway_v4.is_some(),
            Family::V6 => attachment.gateway_v6.is_some(),
        });
        let name = |attachment: &Attachment| {
            self.networks.get(&attachment.network).map(|network| network.config.name.clone())
        };
        with_gateway
            .min_by_key(|attachment| {
                (-i128::from(attachment.config.gateway_priority), name(attachment))
            })
            .cloned()
    }

    /// Points the default routes at the gateways they should have now.
    pub(super) fn settle_routes(&mut self, container: &ContainerId) -> Result<()> {
        let Some(sandbox) = self.sandboxes.get(container) else { return Ok(()) };
        let v4 = self.gateway_endpoint(sandbox, Family::V4);
        let v6 = self.gateway_endpoint(sandbox, Family::V6);
        let is_only = sandbox.attachments.len() == 1;
        let sandbox = self.sandbox_mut(container)?;
        let mut batch = Batch::new();
        for (family, endpoint) in [(Family::V4, v4), (Family::V6, v6)] {
            let (gateway, any): (Option<IpAddr>, IpAddr) = match (family, &endpoint) {
                (Family::V4, found) => {
                    let gateway = found.as_ref().and_then(|a| a.gateway_v4).map(Into::into);
                    (gateway, std::net::Ipv4Addr::UNSPECIFIED.into())
                }
                (Family::V6, found) => {
                    let gateway = found.as_ref().and_then(|a| a.gateway_v6).map(Into::into);
                    (gateway, std::net::Ipv6Addr::UNSPECIFIED.into())
                }
            };
            match (endpoint, gateway) {
                (Some(endpoint), Some(gateway)) => {
                    let found = link::by_name(&mut sandbox.routes, &endpoint.ifname)?;
                    if let Some(link) = found {
                        address::set_default_route(&mut batch, link.index, gateway);
                    }
                }
                // A namespace that was never connected before has no route to remove.
                _ if is_only => {}
                _ => address::remove_default_route(&mut batch, any),
            }
        }
        Ok(sandbox.routes.perform(&batch)?)
    }

    /// Where published ports of a container lead now.
    pub(super) fn target_of(&self, container: &ContainerId) -> Target {
        let Some(sandbox) = self.sandboxes.get(container) else { return Target::default() };
        let mode = |attachment: &Attachment, family| {
            let network = self.networks.get(&attachment.network)?;
            let routed = network.config.driver == DriverKind::Bridge && !network.config.internal;
            routed.then(|| network.config.gateway_mode(family))
        };
        let v4 = self.gateway_endpoint(sandbox, Family::V4).and_then(|attachment| {
            let IpAddr::V4(addr) = attachment.ipv4?.addr() else { return None };
            Some((addr, mode(&attachment, Family::V4)?))
        });
        let v6 = self.gateway_endpoint(sandbox, Family::V6).and_then(|attachment| {
            let IpAddr::V6(addr) = attachment.ipv6?.addr() else { return None };
            Some((addr, mode(&attachment, Family::V6)?))
        });
        Target { v4, v6 }
    }
}

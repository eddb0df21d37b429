//! Connect and disconnect: the actor's part, live where the container runs.

use model::{NetworkId, network::NetworkMode};

use super::actor::Actor;
use crate::{Error, Result, blocking, network::Joining, records::Weight};

impl Actor {
    pub(super) async fn connect(&mut self, joining: Joining) -> Result<()> {
        let (id, name) = (joining.id.to_string(), joining.network.name.clone());
        let mode = &self.record.spec.host.network_mode;
        if matches!(mode, NetworkMode::Host | NetworkMode::Container(_) | NetworkMode::None) {
            return Err(Error::Invalid(format!(
                "container sharing network namespace with another container or host cannot be connected to any other network (mode {mode})"
            )));
        }
        if self.record.networks.contains_key(&id) {
            return Err(Error::Forbidden(format!(
                "endpoint with name {} already exists in network {name}",
                self.record.name
            )));
        }
        let network = joining.network;
        if let Some(live) = &mut self.live
            && let Some(sandbox) = &mut live.sandbox
        {
            let mut record = self.record.clone();
            record.networks.insert(id.clone(), network.clone());
            let (engine, state) = (&self.engine, &mut self.state);
            blocking::brief(|| sandbox.join(engine, &record, &id, &network, state))?;
        }
        self.record.networks.insert(id, network);
        let found = self.engine.networks_table().record(&joining.id)?;
        let event = crate::network::event(&found, "connect", Some(self.record.id.as_str()));
        self.save_with(Weight::Durable, vec![event])
    }

    pub(super) async fn disconnect(&mut self, network: &str, force: bool) -> Result<()> {
        let id: NetworkId =
            network.parse().map_err(|_| Error::NoSuchNetwork(network.to_owned()))?;
        if !self.record.networks.contains_key(network) {
            return Err(Error::Forbidden(format!(
                "container {} is not connected to network {}",
                self.record.id,
                self.engine.networks_table().name_of(&id)?.0
            )));
        }
        if let Some(live) = &mut self.live
            && let Some(sandbox) = &mut live.sandbox
        {
            let (engine, record, state) = (&self.engine, &self.record, &mut self.state);
            let left = blocking::brief(|| sandbox.leave(engine, record, &id, state));
            if !force {
                left?;
            }
        }
        self.record.networks.shift_remove(network);
        let found = self.engine.networks_table().record(&id)?;
        let event = crate::network::event(&found, "disconnect", Some(self.record.id.as_str()));
        self.save_with(Weight::Durable, vec![event])
    }
}

//! Networks: their verbs, and the actor's part of connecting containers.

pub(crate) mod claim;
mod create;
pub(crate) mod sandbox;
pub(crate) mod table;
mod types;

use std::sync::Arc;

use indexmap::IndexMap;
use model::{NetworkId, event::EventType, filter::Filters};

pub(crate) use table::event;
pub use types::*;

use crate::{
    Engine, Error, Result, blocking,
    container::{
        NetworkUse,
        handle::{Ask, Handle},
        list::{labels_chosen, until},
    },
};

/// Everything that can be asked of networks.
#[derive(Clone, Copy, Debug)]
pub struct Networks<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

/// A connection to be made, for the container's actor.
#[derive(Debug)]
pub struct Joining {
    /// The network's id.
    pub id: NetworkId,
    /// Name, and what is asked.
    pub network: NetworkUse,
}

impl Networks<'_> {
    /// Lists them.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Inspection>> {
        let filters = &request.filters;
        filters
            .check_keys(&["dangling", "driver", "id", "label", "label!", "name", "scope", "type"])
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let dangling = crate::volume::dangling(filters)?;
        for text in filters.values("type") {
            if !["builtin", "custom"].contains(&text) {
                return Err(Error::Invalid(format!("invalid filter: 'type'='{text}'")));
            }
        }
        let records = self.engine.networks_table().all();
        let chosen = |record: &table::Record| {
            let kind = if record.predefined { "builtin" } else { "custom" };
            filters.any("driver", |text| record.config.driver.to_string() == text)
                && filters.any("id", |text| record.config.id.as_str().starts_with(text))
                && filters.any("name", |text| record.config.name.as_str().contains(text))
                && filters.any("scope", |text| text == "local")
                && filters.any("type", |text| text == kind)
                && labels_chosen(filters, &record.labels)
                && dangling.is_none_or(|wanted| {
                    !record.predefined && self.users(&record.config.id).is_empty() == wanted
                })
        };
        Ok(records.into_iter().filter(chosen).map(|record| self.look(record)).collect())
    }

    /// One by name, id or unique prefix of an id.
    pub async fn inspect(&self, network: &str) -> Result<Inspection> {
        let table = self.engine.networks_table();
        Ok(self.look(table.record(&table.find(network)?)?))
    }

    /// Makes one; returns its id and warnings.
    pub async fn create(&self, request: CreateRequest) -> Result<(NetworkId, Vec<String>)> {
        let engine = self.engine.clone();
        blocking::spawn(move || engine.networks_table().create(&engine, request)).await
    }

    /// Removes one that nobody uses.
    pub async fn remove(&self, network: &str) -> Result<()> {
        let id = self.engine.networks_table().find(network)?;
        let engine = self.engine.clone();
        blocking::spawn(move || engine.networks_table().remove(&engine, &id)).await
    }

    /// Removes those that nobody uses; returns their names.
    pub async fn prune(&self, filters: Filters) -> Result<Vec<String>> {
        filters
            .check_keys(&["label", "label!", "until"])
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let until = until(&filters)?;
        let mut removed = Vec::new();
        for record in self.engine.networks_table().all() {
            let chosen = !record.predefined
                && until.is_none_or(|until| record.created_ns < until)
                && labels_chosen(&filters, &record.labels)
                && self.users(&record.config.id).is_empty();
            if chosen && self.remove(record.config.id.as_str()).await.is_ok() {
                removed.push(record.config.name.to_string());
            }
        }
        self.engine.events().pruned(EventType::Network, 0);
        Ok(removed)
    }

    /// Connects a container, running or not.
    pub async fn connect(&self, network: &str, request: ConnectRequest) -> Result<()> {
        let table = self.engine.networks_table();
        let id = table.find(network)?;
        let (name, default) = table.name_of(&id)?;
        let handle = self.engine.registry().find(&request.container)?;
        let fixed = request.endpoint.ipv4.is_some() || request.endpoint.ipv6.is_some();
        if default && (fixed || !request.endpoint.aliases.is_empty()) {
            return Err(Error::Invalid(
                "user specified IP address and network-scoped aliases are supported on user defined networks only".to_owned(),
            ));
        }
        let network = NetworkUse { name, spec: request.endpoint };
        handle.ask(self.engine, Ask::Connect(Box::new(Joining { id, network }))).await
    }

    /// Disconnects a container, running or not.
    pub async fn disconnect(&self, network: &str, request: DisconnectRequest) -> Result<()> {
        let id = self.engine.networks_table().find(network)?;
        let handle = match self.engine.registry().find(&request.container) {
            Ok(handle) => handle,
            Err(_) if request.force => return Ok(()),
            Err(error) => return Err(error),
        };
        handle.ask(self.engine, Ask::Disconnect(id.to_string(), request.force)).await
    }

    fn users(&self, id: &NetworkId) -> Vec<Arc<Handle>> {
        let all = self.engine.registry().all().into_iter();
        all.filter(|handle| handle.snapshot().record.networks.contains_key(id.as_str())).collect()
    }

    fn look(&self, record: table::Record) -> Inspection {
        let config = &record.config;
        let mut containers = IndexMap::new();
        for handle in self.users(&config.id) {
            let snapshot = handle.snapshot();
            let Some(endpoint) = snapshot.state.endpoints.get(config.name.as_str()) else {
                continue;
            };
            let text = |address: Option<String>| address.unwrap_or_default();
            containers.insert(
                handle.id.to_string(),
                Member {
                    name: snapshot.record.name.to_string(),
                    endpoint_id: endpoint.endpoint_id.clone(),
                    mac_address: endpoint.mac_address.clone(),
                    ipv4: text(endpoint.ipv4.map(|(addr, prefix)| format!("{addr}/{prefix}"))),
                    ipv6: text(endpoint.ipv6.map(|(addr, prefix)| format!("{addr}/{prefix}"))),
                },
            );
        }
        Inspection {
            id: config.id.clone(),
            name: config.name.to_string(),
            created_ns: record.created_ns,
            driver: config.driver.to_string(),
            internal: config.internal,
            attachable: record.attachable,
            ipv4: config.ipv4,
            ipv6: config.ipv6,
            subnets: config.subnets.iter().map(subnet).collect(),
            ipam_driver: record.ipam_driver,
            ipam_options: record.ipam_options,
            options: record.options,
            labels: record.labels,
            containers,
        }
    }
}

fn subnet(subnet: &net::Subnet) -> Subnet {
    Subnet {
        subnet: subnet.cidr.to_string(),
        range: subnet.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: subnet.gateway,
        reserved: subnet.reserved.clone().into_iter().collect(),
    }
}

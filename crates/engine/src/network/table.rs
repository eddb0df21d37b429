//! The networks of an engine: their records, and the plane that makes them real.
//!
//! `bridge`, `host` and `none` are always there. Networks themselves are made and kept in line
//! with the kernel by `net`; this keeps what people said of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use indexmap::IndexMap;
use model::{NetworkId, event::EventType, name::NetworkName};
use net::{DriverKind, NetworkConfig, NetworkPlane};
use serde::{Deserialize, Serialize};
use store::{Batch, Store};

use super::CreateRequest;
use crate::{
    Engine, Error, Result,
    config::BridgeConfig,
    error::Cause,
    event::Draft,
    moment,
    records::{Weight, stored},
};

const NETWORK: &str = "network";

/// A network as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// As `net` knows it.
    pub config: NetworkConfig,
    /// Made by the engine itself.
    pub predefined: bool,
    /// May be attached by hand.
    pub attachable: bool,
    /// Address management driver.
    pub ipam_driver: String,
    /// Its options.
    pub ipam_options: IndexMap<String, String>,
    /// Driver options as given.
    pub options: IndexMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

/// All networks by id.
#[derive(Debug)]
pub struct Table {
    entries: Mutex<BTreeMap<String, Record>>,
    plane: Arc<NetworkPlane>,
}

/// The stored networks; those that must be there are added.
pub fn load(store: &Store, bridge: &BridgeConfig) -> Result<BTreeMap<String, Record>> {
    let mut entries = records(store)?;
    let mut wanted = vec![("host", DriverKind::Host), ("none", DriverKind::None)];
    if bridge.name != "none" {
        wanted.push(("bridge", DriverKind::Bridge));
    }
    for (name, driver) in wanted {
        let known = entries.values().find(|record| record.config.name.as_str() == name);
        let record = predefined(name, driver, bridge, known)?;
        put(store, &record)?;
        entries.insert(record.config.id.to_string(), record);
    }
    Ok(entries)
}

/// The stored networks.
fn records(store: &Store) -> Result<BTreeMap<String, Record>> {
    let mut entries = BTreeMap::new();
    for (id, bytes) in store.list(NETWORK).map_err(stored("list", "networks"))? {
        match serde_json::from_slice::<Record>(&bytes) {
            Ok(record) => {
                entries.insert(id, record);
            }
            Err(error) => tracing::error!(id, %error, "a network's record can't be read"),
        }
    }
    Ok(entries)
}

/// The bridge that the default network had before.
pub fn recorded_bridge(store: &Store) -> Result<Option<String>> {
    let default = records(store)?.into_values().find(|record| record.config.is_default_bridge);
    Ok(default.map(|record| record.config.bridge_name).filter(|name| !name.is_empty()))
}

/// A network that is always there. Its settings follow the engine's configuration, its id stays.
fn predefined(
    name: &str,
    driver: DriverKind,
    bridge: &BridgeConfig,
    known: Option<&Record>,
) -> Result<Record> {
    let name: NetworkName =
        name.parse().map_err(|_| Error::Invalid("a name of the engine's own".to_owned()))?;
    let mut config = NetworkConfig {
        id: match known {
            Some(record) => record.config.id.clone(),
            None => NetworkId::from_bytes(moment::random_id()),
        },
        name,
        driver,
        ..NetworkConfig::default()
    };
    let mut options = IndexMap::new();
    if driver == DriverKind::Bridge {
        default_bridge(&mut config, bridge)?;
        // Addresses chosen once stay while nothing else is asked for.
        if bridge.address.is_none()
            && let Some(record) = known
        {
            config.subnets.clone_from(&record.config.subnets);
        }
        for (key, value) in [
            ("com.docker.network.bridge.default_bridge", "true".to_owned()),
            ("com.docker.network.bridge.enable_icc", bridge.icc.to_string()),
            ("com.docker.network.bridge.enable_ip_masquerade", bridge.masquerade.to_string()),
            (
                "com.docker.network.bridge.host_binding_ipv4",
                match bridge.default_publish_ip {
                    Some(ip) => ip.to_string(),
                    None => "0.0.0.0".to_owned(),
                },
            ),
            ("com.docker.network.bridge.name", bridge.name.clone()),
            ("com.docker.network.driver.mtu", bridge.mtu.unwrap_or(1500).to_string()),
        ] {
            options.insert(key.to_owned(), value);
        }
    }
    Ok(Record {
        created_ns: known.map_or_else(moment::now_ns, |record| record.created_ns),
        config,
        predefined: true,
        attachable: false,
        ipam_driver: "default".to_owned(),
        ipam_options: IndexMap::new(),
        options,
        labels: IndexMap::new(),
    })
}

fn default_bridge(config: &mut NetworkConfig, bridge: &BridgeConfig) -> Result<()> {
    config.is_default_bridge = true;
    config.bridge_name.clone_from(&bridge.name);
    config.icc = bridge.icc;
    config.masquerade = bridge.masquerade;
    config.mtu = bridge.mtu;
    config.default_host_ip = bridge.default_publish_ip;
    config.ipv6 = bridge.ipv6;
    let cidr = |addr: std::net::IpAddr, prefix: u8| {
        net::Cidr::new(addr, prefix).map_err(|error| Error::Invalid(error.to_string()))
    };
    if let Some((addr, prefix)) = bridge.address {
        let own = cidr(addr.into(), prefix)?;
        let mut subnet = net::Subnet::new(own.network());
        subnet.gateway = Some(addr.into());
        if let Some((addr, prefix)) = bridge.fixed_range {
            subnet.range = Some(cidr(addr.into(), prefix)?);
        }
        config.subnets.push(subnet);
    }
    if let Some((addr, prefix)) = bridge.address6 {
        let own = cidr(addr.into(), prefix)?;
        let mut subnet = net::Subnet::new(own.network());
        subnet.gateway = Some(addr.into());
        config.subnets.push(subnet);
        config.ipv6 = true;
    }
    Ok(())
}

fn put(store: &Store, record: &Record) -> Result<()> {
    let batch = Batch::new().put(NETWORK, record.config.id.as_str(), bytes(record)?);
    store.apply(batch, Weight::Lazy.into()).map(drop).map_err(stored("write", "a network"))
}

fn bytes(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|error| Error::Failed {
        action: "write the record of network",
        subject: record.config.name.to_string(),
        source: Cause::new(model::ErrorKind::Internal, error),
    })
}

/// `net`'s refusal, with its kind.
pub fn refused(action: &'static str, subject: impl ToString) -> impl FnOnce(net::Error) -> Error {
    let subject = subject.to_string();
    move |error| Error::Failed { action, subject, source: Cause::new(error.kind(), error) }
}

impl Table {
    /// With the plane that has taken these networks up.
    pub fn new(
        entries: BTreeMap<String, Record>,
        plane: NetworkPlane,
        store: &Store,
    ) -> Result<Self> {
        let table = Self { entries: Mutex::new(entries), plane: Arc::new(plane) };
        table.complete(store)?;
        Ok(table)
    }

    /// Networks that the plane doesn't know yet are made; what it chose for them is stored.
    fn complete(&self, store: &Store) -> Result<()> {
        for record in self.lock().values_mut() {
            if !matches!(record.config.driver, DriverKind::Bridge) {
                continue;
            }
            if self.plane.network(&record.config.id).is_none() {
                let name = record.config.name.to_string();
                record.config = self
                    .plane
                    .create_network(record.config.clone())
                    .map_err(refused("make network", name))?;
                put(store, record)?;
            }
        }
        Ok(())
    }

    /// Takes interfaces and firewall away and keeps the records.
    pub fn take_down(&self) {
        for record in self.all() {
            if matches!(record.config.driver, DriverKind::Host | DriverKind::None) {
                continue;
            }
            if let Err(error) = self.plane.remove_network(&record.config.id) {
                tracing::warn!(network = %record.config.name, %error, "network stays");
            }
        }
        if let Err(error) = self.plane.remove_firewall() {
            tracing::warn!(%error, "firewall stays");
        }
    }

    /// The plane.
    pub fn plane(&self) -> &Arc<NetworkPlane> {
        &self.plane
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All records.
    pub fn all(&self) -> Vec<Record> {
        self.lock().values().cloned().collect()
    }

    /// The id that a name, id or unique prefix of an id means.
    pub fn find(&self, text: &str) -> Result<NetworkId> {
        let entries = self.lock();
        let text = if text == "default" { "bridge" } else { text };
        let by_name = entries.values().find(|record| record.config.name.as_str() == text);
        if let Some(record) = by_name.or_else(|| entries.get(text)) {
            return Ok(record.config.id.clone());
        }
        let missing = || Error::NoSuchNetwork(text.to_owned());
        if text.is_empty() {
            return Err(missing());
        }
        let mut matches = entries.iter().filter(|(id, _)| id.starts_with(text));
        match (matches.next(), matches.next()) {
            (Some((_, record)), None) => Ok(record.config.id.clone()),
            (Some(_), Some(_)) => Err(Error::Ambiguous(text.to_owned())),
            _ => Err(missing()),
        }
    }

    /// The record of an id.
    pub fn record(&self, id: &NetworkId) -> Result<Record> {
        let found = self.lock().get(id.as_str()).cloned();
        found.ok_or_else(|| Error::NoSuchNetwork(id.to_string()))
    }

    /// Name, and whether it is the default bridge.
    pub fn name_of(&self, id: &NetworkId) -> Result<(String, bool)> {
        let record = self.record(id)?;
        Ok((record.config.name.to_string(), record.config.is_default_bridge))
    }

    /// Makes one.
    pub fn create(
        &self,
        engine: &Engine,
        request: CreateRequest,
    ) -> Result<(NetworkId, Vec<String>)> {
        let (record, warnings) = super::create::record(request)?;
        // Held over the making: of two who take the same name, one gets it.
        let mut entries = self.lock();
        let name = record.config.name.clone();
        if entries.values().any(|other| other.config.name == name) {
            return Err(Error::Conflict(format!("network with name {name} already exists")));
        }
        let config =
            self.plane.create_network(record.config.clone()).map_err(|error| {
                match error.kind() {
                    model::ErrorKind::InvalidInput => Error::Invalid(crate::error::chain(&error)),
                    _ => refused("make network", &name)(error),
                }
            })?;
        let record = Record { config, ..record };
        let id = record.config.id.clone();
        let event = super::event(&record, "create", None);
        let batch = Batch::new().put(NETWORK, id.as_str(), bytes(&record)?);
        if let Err(error) = engine.log().commit(batch, vec![event], Weight::Durable) {
            if let Err(error) = self.plane.remove_network(&id) {
                tracing::warn!(%error, "network stays after a failed create");
            }
            return Err(error);
        }
        entries.insert(id.to_string(), record);
        Ok((id, warnings))
    }

    /// Removes one that nobody uses.
    pub fn remove(&self, engine: &Engine, id: &NetworkId) -> Result<()> {
        let mut entries = self.lock();
        let record = entries
            .get(id.as_str())
            .cloned()
            .ok_or_else(|| Error::NoSuchNetwork(id.to_string()))?;
        let name = record.config.name.to_string();
        if record.predefined {
            return Err(Error::Forbidden(format!(
                "{name} is a pre-defined network and cannot be removed"
            )));
        }
        self.plane.remove_network(id).map_err(|error| match error {
            net::Error::NetworkInUse { .. } => Error::Forbidden(format!(
                "error while removing network: network {name} has active endpoints"
            )),
            other => refused("remove network", &name)(other),
        })?;
        let event = super::event(&record, "destroy", None);
        let batch = Batch::new().delete(NETWORK, id.as_str());
        engine.log().commit(batch, vec![event], Weight::Durable)?;
        entries.remove(id.as_str());
        Ok(())
    }
}

/// An event about a network, and maybe a container on it.
pub fn event(record: &Record, action: &str, container: Option<&str>) -> Draft {
    let kind = record.config.driver.to_string();
    let mut more = vec![("name", record.config.name.as_str()), ("type", kind.as_str())];
    more.extend(container.map(|id| ("container", id)));
    Draft::new(EventType::Network, action, record.config.id.as_str(), &more)
}

/// How the plane is set up: engines with another bridge have another firewall table.
pub fn plane_config(bridge: &BridgeConfig, store: &Store) -> Result<net::PlaneConfig> {
    let seed = model::Digest::sha256(store.root().as_os_str().as_encoded_bytes());
    let mut bytes = [0; 5];
    for (byte, pair) in bytes.iter_mut().zip(seed.hex().as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or("00");
        *byte = u8::from_str_radix(text, 16).unwrap_or(0);
    }
    let mut config = net::PlaneConfig {
        switch_forwarding: bridge.ip_forward,
        pools_v6: net::pool::default_v6(bytes),
        ..net::PlaneConfig::default()
    };
    if bridge.name != BridgeConfig::default().name {
        config.table = format!("cale-{}", bridge.name);
    }
    if !bridge.address_pools.is_empty() {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for pool in &bridge.address_pools {
            let base = net::Cidr::new(pool.base, pool.prefix)
                .map_err(|error| Error::Invalid(error.to_string()))?;
            let pool = net::pool::AddressPool { base, size: pool.size };
            if base.is_ipv4() { v4.push(pool) } else { v6.push(pool) }
        }
        if !v4.is_empty() {
            config.pools_v4 = v4;
        }
        if !v6.is_empty() {
            config.pools_v6 = v6;
        }
    }
    Ok(config)
}

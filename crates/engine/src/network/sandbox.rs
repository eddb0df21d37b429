//! A running container's share of the network: namespace, addresses, ports, files.
//!
//! Made before the launch, given back after the exit. What is in force is kept in the state, so
//! that an engine that is started again can hand it to the plane.

use std::{
    fs,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::Arc,
};

use model::{
    NetworkId,
    network::{EndpointSpec, NetworkMode},
    port::{ContainerPort, PortBinding},
};
use net::{
    Attachment, DnsConfig, EndpointConfig,
    files::{self, Resolution, Resolver},
};

use super::table::{Record as Network, refused};
use crate::{
    Config, Engine, Error, Result, blocking,
    container::{Endpoint, NetworkUse, PublishedPort, Record, State, namespaces, oci},
    event::Draft,
};

/// What a container holds of the network.
#[derive(Debug)]
pub struct Sandbox {
    namespace: Option<OwnedFd>,
    attachments: Vec<Attachment>,
    published: Vec<net::PublishedPort>,
    /// Where its files are; `None`: it has none.
    directory: Option<PathBuf>,
    /// There is something in the plane to give back.
    own: bool,
    id: model::ContainerId,
}

/// Makes it.
pub async fn attach(engine: &Arc<Engine>, record: &Record) -> Result<Option<Sandbox>> {
    let (engine, record) = (engine.clone(), record.clone());
    blocking::spawn(move || make(&engine, &record).map(Some)).await
}

fn make(engine: &Engine, record: &Record) -> Result<Sandbox> {
    let directory = engine.records().container_dir(&record.id);
    let mut sandbox = Sandbox {
        namespace: None,
        attachments: Vec::new(),
        published: Vec::new(),
        directory: Some(directory),
        own: false,
        id: record.id.clone(),
    };
    match &record.spec.host.network_mode {
        NetworkMode::Host => {}
        NetworkMode::Container(other) => {
            let other = engine.registry().find(other)?;
            sandbox.directory = Some(engine.records().container_dir(&other.id));
            return Ok(sandbox);
        }
        NetworkMode::None | NetworkMode::Default | NetworkMode::Named(_) => {
            let plane = engine.networks_table().plane();
            let dns = dns(engine.config(), record);
            let namespace = plane
                .create_sandbox(&record.id, dns)
                .map_err(refused("make the network namespace of", record.id.short()))?;
            sandbox.namespace = Some(namespace);
            sandbox.own = true;
            if let Err(error) = sandbox.connect_all(engine, record) {
                sandbox.give_back(engine);
                return Err(error);
            }
        }
    }
    if let Err(error) = sandbox.write_files(engine, record) {
        sandbox.give_back(engine);
        return Err(error);
    }
    Ok(sandbox)
}

/// What a container asks of name resolution, completed by what the engine was told.
fn dns(config: &Config, record: &Record) -> DnsConfig {
    let host = &record.spec.host;
    let or = |own: &[String], engine_wide: &[String]| match own.is_empty() {
        true => engine_wide.to_vec(),
        false => own.to_vec(),
    };
    let exposed = record.spec.exposed_ports.iter();
    let mut ports = exposed.chain(host.port_bindings.iter().map(|binding| &binding.container));
    DnsConfig {
        servers: if host.dns.is_empty() { config.dns.clone() } else { host.dns.clone() },
        search: or(&host.dns_search, &config.dns_search),
        options: or(&host.dns_options, &config.dns_options),
        port_53_is_taken: ports.any(|port| port.port == 53),
    }
}

/// What is asked of one connection, in `net`'s terms.
pub fn endpoint_config(record: &Record, spec: &EndpointSpec) -> Result<EndpointConfig> {
    let invalid = |error: &dyn std::fmt::Display| {
        Error::Invalid(format!("invalid endpoint settings: {error}"))
    };
    let mac = match spec.mac_address.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(text.parse().map_err(|error| invalid(&error as &net::cidr::MacError))?),
        None => None,
    };
    let links = spec.links.iter().chain(&record.spec.host.links).map(|link| {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        (alias.to_owned(), container.trim_start_matches('/').to_owned())
    });
    let mut config = EndpointConfig {
        mac,
        ipv4: spec.ipv4,
        ipv6: spec.ipv6,
        link_local: spec.link_local.clone(),
        names: vec![record.name.to_string(), record.id.short().to_owned()],
        aliases: spec.aliases.clone(),
        links: links.collect(),
        gateway_priority: spec.gateway_priority,
        ..EndpointConfig::default()
    };
    if let Some(name) = record.spec.hostname.as_deref().filter(|name| !name.is_empty())
        && !config.aliases.iter().any(|alias| alias == name)
    {
        config.aliases.push(name.to_owned());
    }
    for (key, value) in &spec.driver_options {
        net::options::apply_to_endpoint(&mut config, key, value)
            .map_err(|error| Error::Invalid(crate::error::chain(&error)))?;
    }
    Ok(config)
}

impl Sandbox {
    fn connect_all(&mut self, engine: &Engine, record: &Record) -> Result<()> {
        for (id, network) in &record.networks {
            self.connect(engine, record, id, network)?;
        }
        if self.attachments.is_empty() {
            return Ok(());
        }
        let bindings = bindings(record);
        let plane = engine.networks_table().plane();
        let published = plane.publish(&record.id, &bindings);
        self.published = published.map_err(|error| not_published(record, &error))?;
        Ok(())
    }

    fn connect(
        &mut self,
        engine: &Engine,
        record: &Record,
        id: &str,
        network: &NetworkUse,
    ) -> Result<()> {
        let id: NetworkId = id.parse().map_err(|_| Error::NoSuchNetwork(network.name.clone()))?;
        let table = engine.networks_table();
        table.record(&id).map_err(|_| Error::NoSuchNetwork(network.name.clone()))?;
        let config = endpoint_config(record, &network.spec)?;
        let attachment = table
            .plane()
            .attach(&record.id, &id, &config)
            .map_err(refused("connect to network", &network.name))?;
        self.attachments.push(attachment);
        Ok(())
    }

    /// Connects one more network, live.
    pub fn join(
        &mut self,
        engine: &Engine,
        record: &Record,
        id: &str,
        network: &NetworkUse,
        state: &mut State,
    ) -> Result<()> {
        self.connect(engine, record, id, network)?;
        self.write_files(engine, record)?;
        self.show(engine, record, state);
        Ok(())
    }

    /// Leaves a network, live.
    pub fn leave(
        &mut self,
        engine: &Engine,
        record: &Record,
        id: &NetworkId,
        state: &mut State,
    ) -> Result<()> {
        let plane = engine.networks_table().plane();
        plane.detach(&record.id, id).map_err(refused("disconnect from network", id.short()))?;
        self.attachments.retain(|attachment| attachment.network != *id);
        self.write_files(engine, record)?;
        self.show(engine, record, state);
        Ok(())
    }

    /// The namespace for the launch.
    pub fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.namespace.as_ref().map(AsFd::as_fd)
    }

    /// The launch has it now; the plane keeps its own.
    pub fn launched(&mut self) {
        self.namespace = None;
    }

    /// The files for the specification.
    pub fn files(&self, inputs: &mut oci::Inputs) {
        if let Some(directory) = &self.directory {
            inputs.resolv_conf = Some(directory.join("resolv.conf"));
            inputs.hosts = Some(directory.join("hosts"));
            inputs.hostname = Some(directory.join("hostname"));
        }
    }

    /// Fills in what `inspect` shows, and what a later engine needs to go on.
    pub fn show(&self, engine: &Engine, record: &Record, state: &mut State) {
        state.endpoints = self
            .attachments
            .iter()
            .filter_map(|attachment| {
                let found = engine.networks_table().record(&attachment.network).ok()?;
                let asked = record.networks.get(attachment.network.as_str());
                let spec = asked.map(|network| network.spec.clone()).unwrap_or_default();
                Some((found.config.name.to_string(), endpoint(attachment, spec)))
            })
            .collect();
        state.ports = self.published.iter().flat_map(expand).collect();
        state.attachments.clone_from(&self.attachments);
        state.published.clone_from(&self.published);
    }

    /// One event for each connection.
    pub fn events(&self, engine: &Engine, action: &str) -> Vec<Draft> {
        let table = engine.networks_table();
        self.attachments
            .iter()
            .filter_map(|attachment| table.record(&attachment.network).ok())
            .map(|network: Network| super::event(&network, action, Some(self.id.as_str())))
            .collect()
    }

    /// Gives everything back.
    pub async fn release(self, engine: &Arc<Engine>) {
        let engine = engine.clone();
        let given = blocking::spawn(move || {
            self.give_back(&engine);
            Ok(())
        });
        if let Err(error) = given.await {
            tracing::warn!(error = error.text(), "network not given back");
        }
    }

    fn give_back(&self, engine: &Engine) {
        if !self.own {
            return;
        }
        let plane = engine.networks_table().plane();
        if let Err(error) = plane.remove_sandbox(&self.id) {
            let text = crate::error::chain(&error);
            tracing::warn!(container = self.id.short(), text, "network not given back");
        }
    }

    fn write_files(&self, engine: &Engine, record: &Record) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|source| Error::File {
                action: "write",
                path: path.display().to_string(),
                source,
            })
        };
        let name = match namespaces::host_name(record) {
            name if name.is_empty() => record.id.short().to_owned(),
            name => name,
        };
        write("hostname", format!("{name}\n"))?;
        write("resolv.conf", self.resolv_conf(engine, record)?)?;
        write("hosts", self.hosts(engine, record, &name)?)
    }

    fn resolv_conf(&self, engine: &Engine, record: &Record) -> Result<String> {
        let host = Resolver::of_host().map_err(refused("read", "the host's resolv.conf"))?;
        let internal = self.attachments.iter().any(|attachment| {
            let found = engine.networks_table().record(&attachment.network);
            found.is_ok_and(|network| !network.config.is_default_bridge)
        });
        let ipv6 = self.attachments.iter().any(|attachment| attachment.ipv6.is_some());
        let how = match record.spec.host.network_mode {
            NetworkMode::Host => Resolution::Host,
            _ if internal => Resolution::Internal,
            _ => Resolution::Direct { ipv6 },
        };
        Ok(files::resolv_conf(&host, &dns(engine.config(), record), how))
    }

    fn hosts(&self, engine: &Engine, record: &Record, name: &str) -> Result<String> {
        if record.spec.host.network_mode == NetworkMode::Host
            && record.spec.host.extra_hosts.is_empty()
        {
            return Ok(fs::read_to_string("/etc/hosts").unwrap_or_default());
        }
        let mut extra = Vec::new();
        for text in &record.spec.host.extra_hosts {
            let bad = || Error::Invalid(format!("bad format for add-host: {text:?}"));
            let (host, address) = extra_host(text).ok_or_else(bad)?;
            if address == "host-gateway" {
                for gateway in host_gateways(engine, &self.attachments)? {
                    extra.push((host.to_owned(), gateway));
                }
            } else {
                let address = address.parse().map_err(|_| {
                    Error::Invalid(format!("invalid IP address in add-host: {address:?}"))
                })?;
                extra.push((host.to_owned(), address));
            }
        }
        extra.extend(links(engine, record));
        let names = match record.spec.domainname.as_deref() {
            Some(domain) if !domain.is_empty() => vec![format!("{name}.{domain}"), name.to_owned()],
            _ => vec![name.to_owned()],
        };
        let mut own: Vec<(IpAddr, Vec<String>)> = Vec::new();
        for attachment in &self.attachments {
            own.extend(attachment.ipv4.map(|cidr| (cidr.addr(), names.clone())));
            own.extend(attachment.ipv6.map(|cidr| (cidr.addr(), names.clone())));
        }
        Ok(files::hosts(&own, &extra, true))
    }
}

/// Docker's sentence for ports that can't be published.
fn not_published(record: &Record, error: &net::Error) -> Error {
    let reason = match error {
        net::Error::PortBusy { host, .. } => {
            format!("Bind for {host} failed: port is already allocated")
        }
        other => crate::error::chain(other),
    };
    Error::Start {
        message: format!(
            "failed to set up container networking: driver failed programming external connectivity on endpoint {} ({}): {reason}",
            record.name, record.id
        ),
        exit_code: 125,
    }
}

/// `name:address` or `name=address` of `--add-host`, IPv6 in brackets or bare.
fn extra_host(text: &str) -> Option<(&str, &str)> {
    let (name, address) = match text.split_once('=') {
        Some(parts) => parts,
        None => text.split_once(':')?,
    };
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    (!name.is_empty()).then_some((name, address))
}

/// Legacy links: the linked containers' addresses at the start.
fn links(engine: &Engine, record: &Record) -> Vec<(String, IpAddr)> {
    let line = |link: &String| {
        let (container, alias) = link.split_once(':').unwrap_or((link, link));
        let snapshot = engine.registry().find(container.trim_start_matches('/')).ok()?.snapshot();
        let endpoint = snapshot.state.endpoints.values().find_map(|endpoint| endpoint.ipv4)?;
        let name = snapshot.record.name.as_str();
        let names =
            format!("{} {} {name}", alias.trim_start_matches('/'), snapshot.record.id.short());
        Some((names, endpoint.0.into()))
    };
    record.spec.host.links.iter().filter_map(line).collect()
}

fn host_gateways(engine: &Engine, attachments: &[Attachment]) -> Result<Vec<IpAddr>> {
    if !engine.config().host_gateways.is_empty() {
        return Ok(engine.config().host_gateways.clone());
    }
    let table = engine.networks_table();
    let networks = table.find("bridge").into_iter();
    let networks = networks.chain(attachments.iter().map(|attachment| attachment.network.clone()));
    let mut found = networks.filter_map(|id| table.plane().host_gateway(&id));
    found
        .next()
        .map(|address| vec![address])
        .ok_or_else(|| Error::Invalid("unable to derive the IP value for host-gateway".to_owned()))
}

/// Asked for by `-p`, and by `-P` for every port that the image exposes.
fn bindings(record: &Record) -> Vec<PortBinding> {
    let mut bindings = record.spec.host.port_bindings.clone();
    if record.spec.host.publish_all_ports {
        for port in &record.spec.exposed_ports {
            if !bindings.iter().any(|binding| binding.container == *port) {
                bindings.push(PortBinding { container: *port, host_ip: None, host_ports: None });
            }
        }
    }
    bindings
}

fn expand(published: &net::PublishedPort) -> Vec<PublishedPort> {
    (0..published.count.max(1))
        .map(|offset| PublishedPort {
            container: ContainerPort {
                port: published.container.port.saturating_add(offset),
                protocol: published.container.protocol,
            },
            host_ip: published.host.ip(),
            host_port: published.host.port().saturating_add(offset),
        })
        .collect()
}

fn endpoint(attachment: &Attachment, spec: EndpointSpec) -> Endpoint {
    let v4 = |cidr: net::Cidr| match cidr.addr() {
        IpAddr::V4(addr) => Some((addr, cidr.prefix())),
        IpAddr::V6(_) => None,
    };
    let v6 = |cidr: net::Cidr| match cidr.addr() {
        IpAddr::V6(addr) => Some((addr, cidr.prefix())),
        IpAddr::V4(_) => None,
    };
    let key = format!("{}/{}", attachment.container, attachment.network);
    let config = &attachment.config;
    Endpoint {
        network_id: Some(attachment.network.clone()),
        spec,
        endpoint_id: model::Digest::sha256(key.as_bytes()).hex().to_owned(),
        mac_address: attachment.mac.to_string(),
        ipv4: attachment.ipv4.and_then(v4),
        ipv6: attachment.ipv6.and_then(v6),
        gateway: attachment.gateway_v4,
        gateway6: attachment.gateway_v6,
        dns_names: config.names.iter().chain(&config.aliases).cloned().collect(),
    }
}

/// A container that ran on while the engine was away: the plane has it already.
pub fn adopt(engine: &Engine, record: &Record, state: &State) -> Option<Sandbox> {
    let own = matches!(
        record.spec.host.network_mode,
        NetworkMode::None | NetworkMode::Default | NetworkMode::Named(_)
    );
    Some(Sandbox {
        namespace: None,
        attachments: state.attachments.clone(),
        published: state.published.clone(),
        directory: Some(engine.records().container_dir(&record.id)),
        own,
        id: record.id.clone(),
    })
}

/// What the plane must know of a container that ran on.
pub fn restored(record: &Record, state: &State, config: &Config) -> Option<net::RestoredSandbox> {
    if matches!(record.spec.host.network_mode, NetworkMode::Host | NetworkMode::Container(_)) {
        return None;
    }
    let path = format!("/proc/{}/ns/net", state.pid);
    let namespace = fs::File::open(path).ok()?;
    Some(net::RestoredSandbox {
        container: record.id.clone(),
        namespace: namespace.into(),
        dns: dns(config, record),
        attachments: state.attachments.clone(),
        published: state.published.clone(),
    })
}

impl Sandbox {
    /// The container has another name: its names on the networks follow at the next start, its
    /// files now.
    pub fn renamed(&self, engine: &Engine, record: &Record) {
        if let Err(error) = self.write_files(engine, record) {
            tracing::warn!(container = %record.name, error = error.text(), "files after a rename");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_hosts_read_as_typed() {
        assert_eq!(extra_host("db:10.0.0.9"), Some(("db", "10.0.0.9")));
        assert_eq!(extra_host("v6:[::1]"), Some(("v6", "::1")));
        assert_eq!(extra_host("v6=fd00::1"), Some(("v6", "fd00::1")));
        assert_eq!(extra_host("nothing"), None);
        assert_eq!(extra_host(":10.0.0.9"), None);
    }
}

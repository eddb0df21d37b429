//! Who is called what on which network. Pure: a table with questions.
//!
//! A name may mean one container (its own names) or several (aliases, services). Of several, only
//! those that are ready are told, in random order by the caller; when none is ready, all are:
//! a late answer from one that is just starting beats none at all.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use model::{ContainerId, NetworkId, port::Protocol};

use crate::{cidr::Cidr, endpoint::ServicePort};

/// One container on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// IPv4 address.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub ipv6: Option<Ipv6Addr>,
    /// Names that mean this container alone; the first is told in reverse lookups.
    pub names: Vec<String>,
    /// Names that it may share.
    pub aliases: Vec<String>,
    /// Names that only it knows, and what they mean.
    pub links: BTreeMap<String, String>,
    /// Named ports.
    pub services: Vec<ServicePort>,
}

/// Addresses of a name; a known name may have none of a family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub v4: Vec<Ipv4Addr>,
    /// IPv6.
    pub v6: Vec<Ipv6Addr>,
}

/// What is known about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reverse {
    /// A container: its name and the network's.
    Name(String),
    /// An address of a network of ours that nobody has: nobody outside knows it either.
    Nobody,
    /// Somebody else's address.
    Foreign,
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its own name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its addresses.
    pub addresses: Addresses,
}

#[derive(Debug, Default)]
struct Zone {
    name: String,
    subnets: Vec<Cidr>,
    endpoints: HashMap<ContainerId, Endpoint>,
    /// Lower-case name → who bears it.
    bearers: HashMap<String, Vec<ContainerId>>,
    by_addr: HashMap<IpAddr, ContainerId>,
}

/// All names of all networks.
#[derive(Debug, Default)]
pub struct Names {
    zones: HashMap<NetworkId, Zone>,
    not_ready: HashSet<ContainerId>,
}

impl Names {
    /// Adds a network, or renames it.
    pub fn put_network(&mut self, network: NetworkId, name: &str, subnets: Vec<Cidr>) {
        let zone = self.zones.entry(network).or_default();
        zone.name = name.to_lowercase();
        zone.subnets = subnets;
    }

    /// Removes a network and all its names.
    pub fn remove_network(&mut self, network: &NetworkId) {
        self.zones.remove(network);
    }

    /// Adds or replaces a container's names on a network.
    pub fn put(&mut self, network: &NetworkId, container: &ContainerId, endpoint: Endpoint) {
        let Some(zone) = self.zones.get_mut(network) else { return };
        zone.remove(container);
        for name in endpoint.names.iter().chain(&endpoint.aliases) {
            let bearers = zone.bearers.entry(name.to_lowercase()).or_default();
            if !bearers.contains(container) {
                bearers.push(container.clone());
            }
        }
        for addr in endpoint.addrs() {
            zone.by_addr.insert(addr, container.clone());
        }
        zone.endpoints.insert(container.clone(), endpoint);
    }

    /// Changes what a container is called on all its networks.
    pub fn rename(&mut self, container: &ContainerId, old: &str, new: &str) {
        let networks: Vec<NetworkId> = self.zones.keys().cloned().collect();
        for network in networks {
            let found = self.zones.get(&network).and_then(|zone| zone.endpoints.get(container));
            let Some(mut endpoint) = found.cloned() else { continue };
            for name in endpoint.names.iter_mut().filter(|name| *name == old) {
                new.clone_into(name);
            }
            self.put(&network, container, endpoint);
        }
    }

    /// Forgets a container on a network.
    pub fn remove(&mut self, network: &NetworkId, container: &ContainerId) {
        if let Some(zone) = self.zones.get_mut(network) {
            zone.remove(container);
        }
    }

    /// Says whether a container can serve (its health check, if it has one).
    pub fn set_ready(&mut self, container: &ContainerId, ready: bool) {
        if ready {
            self.not_ready.remove(container);
        } else {
            self.not_ready.insert(container.clone());
        }
    }

    /// Addresses of a name as a container sees it; `None`: not a name of ours. `networks`: those
    /// of the container, in order.
    pub fn resolve(
        &self,
        viewer: &ContainerId,
        networks: &[NetworkId],
        name: &str,
    ) -> Option<Addresses> {
        let found = self.find(viewer, networks, name)?;
        let mut addresses = Addresses::default();
        for (_, endpoint) in found {
            addresses.v4.extend(endpoint.ipv4);
            addresses.v6.extend(endpoint.ipv6);
        }
        Some(addresses)
    }

    /// Instances of a service: `label` without underscore, or a port number.
    pub fn service(
        &self,
        viewer: &ContainerId,
        networks: &[NetworkId],
        label: &str,
        protocol: Protocol,
        name: &str,
    ) -> Option<Vec<Instance>> {
        let number = label.parse::<u16>().ok();
        let found = self.find(viewer, networks, name)?;
        let instances = found.into_iter().filter_map(|(id, endpoint)| {
            let service = endpoint.services.iter().find(|service| {
                let labelled =
                    service.label.as_ref().is_some_and(|l| l.eq_ignore_ascii_case(label));
                service.port.protocol == protocol && (labelled || number == Some(service.port.port))
            })?;
            Some(Instance {
                name: endpoint.names.first().cloned().unwrap_or_else(|| id.short().to_owned()),
                port: service.port.port,
                addresses: Addresses {
                    v4: endpoint.ipv4.into_iter().collect(),
                    v6: endpoint.ipv6.into_iter().collect(),
                },
            })
        });
        Some(instances.collect())
    }

    /// Who has an address.
    pub fn reverse(&self, networks: &[NetworkId], addr: IpAddr) -> Reverse {
        for zone in networks.iter().filter_map(|network| self.zones.get(network)) {
            if let Some(id) = zone.by_addr.get(&addr) {
                let names = zone.endpoints.get(id).map(|endpoint| &endpoint.names);
                let name = names.and_then(|names| names.first()).map_or(id.short(), String::as_str);
                return Reverse::Name(format!("{name}.{}", zone.name));
            }
        }
        let own = |zone: &Zone| zone.subnets.iter().any(|subnet| subnet.contains(addr));
        if networks.iter().filter_map(|network| self.zones.get(network)).any(own) {
            return Reverse::Nobody;
        }
        Reverse::Foreign
    }

    /// The bearers of `name` or `name.network` in the first of the networks that knows it.
    fn find(
        &self,
        viewer: &ContainerId,
        networks: &[NetworkId],
        name: &str,
    ) -> Option<Vec<(&ContainerId, &Endpoint)>> {
        let name = name.trim_end_matches('.').to_lowercase();
        for network in networks {
            let Some(zone) = self.zones.get(network) else { continue };
            let linked = zone.endpoints.get(viewer).and_then(|endpoint| endpoint.linked(&name));
            let suffix = name.strip_suffix(&zone.name).and_then(|rest| rest.strip_suffix('.'));
            let meanings = [linked, Some(name.as_str()), suffix];
            let bearers = meanings.into_iter().flatten().find_map(|name| {
                Some((zone.bearers.get(&name.to_lowercase())?, name.to_lowercase()))
            });
            if let Some((bearers, name)) = bearers {
                return Some(self.pick(zone, bearers, &name));
            }
        }
        None
    }

    /// Own names count always; shared ones when ready.
    fn pick<'a>(
        &self,
        zone: &'a Zone,
        bearers: &'a [ContainerId],
        name: &str,
    ) -> Vec<(&'a ContainerId, &'a Endpoint)> {
        let all = || bearers.iter().filter_map(|id| Some((id, zone.endpoints.get(id)?)));
        let ready: Vec<_> = all()
            .filter(|(id, endpoint)| !self.not_ready.contains(id) || endpoint.is_called(name))
            .collect();
        if ready.is_empty() { all().collect() } else { ready }
    }
}

impl Zone {
    fn remove(&mut self, container: &ContainerId) {
        let Some(gone) = self.endpoints.remove(container) else { return };
        for name in gone.names.iter().chain(&gone.aliases).map(|name| name.to_lowercase()) {
            if let Some(bearers) = self.bearers.get_mut(&name) {
                bearers.retain(|bearer| bearer != container);
                if bearers.is_empty() {
                    self.bearers.remove(&name);
                }
            }
        }
        for addr in gone.addrs() {
            self.by_addr.remove(&addr);
        }
    }
}

impl Endpoint {
    fn addrs(&self) -> impl Iterator<Item = IpAddr> {
        self.ipv4.map(IpAddr::from).into_iter().chain(self.ipv6.map(IpAddr::from))
    }

    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn linked(&self, name: &str) -> Option<&str> {
        let mut links = self.links.iter();
        links.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, own)| own.as_str())
    }
}

#[cfg(test)]
mod tests {
    use model::port::ContainerPort;

    use super::*;

    fn container(number: u8) -> ContainerId {
        ContainerId::from_bytes([number; 32])
    }

    fn network(number: u8) -> NetworkId {
        NetworkId::from_bytes([number; 32])
    }

    fn endpoint(last: u8, names: &[&str], aliases: &[&str]) -> Endpoint {
        Endpoint {
            ipv4: Some([10, 0, 0, last].into()),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            aliases: aliases.iter().map(|&name| name.to_owned()).collect(),
            ..Endpoint::default()
        }
    }

    fn table() -> Names {
        let mut names = Names::default();
        names.put_network(network(1), "Front", vec!["10.0.0.0/24".parse().unwrap()]);
        names.put_network(network(2), "back", vec![]);
        names.put(&network(1), &container(1), endpoint(2, &["web-1"], &["web"]));
        names.put(&network(1), &container(2), endpoint(3, &["web-2"], &["web"]));
        names.put(&network(2), &container(3), endpoint(9, &["db"], &[]));
        names
    }

    fn v4(names: &Names, networks: &[NetworkId], name: &str) -> Option<Vec<u8>> {
        let found = names.resolve(&container(1), networks, name)?;
        Some(found.v4.iter().map(|addr| addr.octets()[3]).collect())
    }

    #[test]
    fn names_are_seen_from_their_networks_only() {
        let names = table();
        let front = [network(1)];
        assert_eq!(v4(&names, &front, "WEB-2."), Some(vec![3]));
        assert_eq!(v4(&names, &front, "web"), Some(vec![2, 3]));
        assert_eq!(v4(&names, &front, "web.front"), Some(vec![2, 3]));
        assert_eq!(v4(&names, &front, "db"), None);
        assert_eq!(v4(&names, &[network(1), network(2)], "db.back"), Some(vec![9]));
        assert_eq!(v4(&names, &front, "web.back"), None);
        let found = names.resolve(&container(1), &front, "web").unwrap();
        assert!(found.v6.is_empty(), "known, but without IPv6");
    }

    #[test]
    fn only_ready_replicas_are_told_unless_none_is() {
        let mut names = table();
        let front = [network(1)];
        names.set_ready(&container(1), false);
        assert_eq!(v4(&names, &front, "web"), Some(vec![3]));
        assert_eq!(v4(&names, &front, "web-1"), Some(vec![2]), "its own name always answers");
        names.set_ready(&container(2), false);
        assert_eq!(v4(&names, &front, "web"), Some(vec![2, 3]));
        names.set_ready(&container(1), true);
        assert_eq!(v4(&names, &front, "web"), Some(vec![2]));
    }

    #[test]
    fn removal_and_renaming_leave_no_trace() {
        let mut names = table();
        let front = [network(1)];
        names.rename(&container(1), "web-1", "shop");
        assert_eq!(v4(&names, &front, "web-1"), None);
        assert_eq!(v4(&names, &front, "shop"), Some(vec![2]));
        names.remove(&network(1), &container(1));
        assert_eq!(v4(&names, &front, "web"), Some(vec![3]));
        names.remove(&network(1), &container(2));
        assert_eq!(v4(&names, &front, "web"), None);
        names.remove_network(&network(2));
        assert_eq!(v4(&names, &[network(2)], "db"), None);
    }

    #[test]
    fn links_are_private() {
        let mut names = table();
        let mut with_link = endpoint(4, &["app"], &[]);
        with_link.links.insert("store".into(), "web-2".into());
        names.put(&network(1), &container(4), with_link);
        let see =
            |id: u8| names.resolve(&container(id), &[network(1)], "store").map(|a| a.v4.len());
        assert_eq!(see(4), Some(1));
        assert_eq!(see(1), None);
    }

    #[test]
    fn reverse_and_services() {
        let mut names = table();
        let front = [network(1)];
        let reverse = |addr: &str| names.reverse(&front, addr.parse().unwrap());
        assert_eq!(reverse("10.0.0.3"), Reverse::Name("web-2.front".into()));
        assert_eq!(reverse("10.0.0.77"), Reverse::Nobody);
        assert_eq!(reverse("192.0.2.1"), Reverse::Foreign);
        let mut db = endpoint(9, &["db"], &[]);
        let port = ContainerPort { port: 5432, protocol: Protocol::Tcp };
        db.services = vec![ServicePort { label: Some("postgres".into()), port }];
        names.put(&network(1), &container(3), db);
        for label in ["postgres", "5432", "Postgres"] {
            let found = names.service(&container(1), &front, label, Protocol::Tcp, "db").unwrap();
            assert_eq!((found[0].name.as_str(), found[0].port), ("db", 5432), "{label}");
        }
        let none = names.service(&container(1), &front, "80", Protocol::Tcp, "db").unwrap();
        assert!(none.is_empty());
        assert_eq!(names.service(&container(1), &front, "80", Protocol::Tcp, "no"), None);
    }
}

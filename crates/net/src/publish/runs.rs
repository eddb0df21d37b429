//! Consecutive ports as one.

use std::net::{IpAddr, SocketAddr};

use model::port::{ContainerPort, Protocol};

use crate::endpoint::PublishedPort;

/// Consecutive host ports that lead to consecutive container ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Run {
    /// Address on the host.
    pub host: IpAddr,
    /// Transport.
    pub protocol: Protocol,
    /// First port on the host.
    pub host_port: u16,
    /// First port in the container.
    pub container_port: u16,
    /// How many, at least 1.
    pub count: u16,
}

impl Run {
    /// As the engine stores it.
    pub fn published(&self) -> PublishedPort {
        PublishedPort {
            container: ContainerPort { port: self.container_port, protocol: self.protocol },
            host: SocketAddr::new(self.host, self.host_port),
            count: self.count,
        }
    }

    /// From what the engine stored.
    pub fn from_published(port: &PublishedPort) -> Self {
        Self {
            host: port.host.ip(),
            protocol: port.container.protocol,
            host_port: port.host.port(),
            container_port: port.container.port,
            count: port.count.max(1),
        }
    }

    fn follows(&self, before: &Self) -> bool {
        self.host == before.host
            && self.protocol == before.protocol
            && before.host_port.checked_add(before.count) == Some(self.host_port)
            && before.container_port.checked_add(before.count) == Some(self.container_port)
            && before.count.checked_add(self.count).is_some()
    }
}

/// Joins neighbours; the result is sorted by host address, protocol and port.
pub fn runs(mut parts: Vec<Run>) -> Vec<Run> {
    parts.sort_unstable();
    let mut joined: Vec<Run> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.follows(last) => last.count += part.count,
            _ => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(host_port: u16, container_port: u16) -> Run {
        let host = [0, 0, 0, 0].into();
        Run { host, protocol: Protocol::Udp, host_port, container_port, count: 1 }
    }

    #[test]
    fn neighbours_are_joined() {
        let joined = runs(vec![one(11, 21), one(10, 20), one(12, 22), one(13, 99), one(14, 24)]);
        let short: Vec<_> =
            joined.iter().map(|r| (r.host_port, r.container_port, r.count)).collect();
        assert_eq!(short, [(10, 20, 3), (13, 99, 1), (14, 24, 1)]);
        let all = runs((0..=u16::MAX).map(|port| one(port, port)).collect());
        assert_eq!(all.iter().map(|run| usize::from(run.count)).sum::<usize>(), 65536);
    }
}

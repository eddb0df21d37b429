//! Published ports: reserved on the host before a container starts, then translated by the
//! firewall, or carried by a small proxy where the kernel can't translate.
//!
//! The kernel translates within one address family and not from `::1`. The proxy serves the rest:
//! `[::]` in front of a container without IPv6, `0.0.0.0` in front of one without IPv4, and `::1`.
//! Source addresses are kept by translation and lost by the proxy.

mod proxy;
mod reserve;
mod runs;

pub use proxy::Proxy;
pub use reserve::{PortTable, Reservation};
pub use runs::{Run, runs};

use std::net::IpAddr;

use crate::{
    config::{Family, GatewayMode},
    firewall::Change,
};

/// Where published ports lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Address and mode of the endpoint that gives IPv4.
    pub v4: Option<(std::net::Ipv4Addr, GatewayMode)>,
    /// Address and mode of the endpoint that gives IPv6.
    pub v6: Option<(std::net::Ipv6Addr, GatewayMode)>,
}

impl Target {
    /// The container's address of one family.
    pub fn addr(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(|(addr, _)| addr.into()),
            Family::V6 => self.v6.map(|(addr, _)| addr.into()),
        }
    }

    fn mode(&self, family: Family) -> Option<GatewayMode> {
        match family {
            Family::V4 => self.v4.map(|(_, mode)| mode),
            Family::V6 => self.v6.map(|(_, mode)| mode),
        }
    }

    /// True when a port on this host address needs the proxy: other family, or `::1`.
    pub fn needs_proxy(&self, host: IpAddr) -> bool {
        match self.mode(Family::of(host)) {
            None => true,
            Some(GatewayMode::Routed) => false,
            Some(_) => host.is_ipv6() && (host.is_unspecified() || host.is_loopback()),
        }
    }
}

/// The firewall's part of publishing: translation, or an opened port where nothing is translated.
pub fn firewall_changes(runs: &[Run], target: &Target) -> Vec<Change> {
    let mut changes = Vec::new();
    for run in runs {
        let family = Family::of(run.host);
        let (Some(container), Some(mode)) = (target.addr(family), target.mode(family)) else {
            continue;
        };
        if mode == GatewayMode::Routed {
            let last = run.container_port + (run.count - 1);
            changes.push(Change::RoutedPorts(container, run.protocol, run.container_port, last));
            continue;
        }
        if run.host.is_loopback() && run.host.is_ipv6() {
            continue;
        }
        let same = run.container_port == run.host_port && run.count > 1;
        if same {
            let host_ports = (run.host_port, run.host_port + (run.count - 1));
            changes.push(Change::Published {
                host: run.host,
                protocol: run.protocol,
                host_ports,
                container,
                port: None,
            });
            continue;
        }
        changes.extend((0..run.count).map(|offset| Change::Published {
            host: run.host,
            protocol: run.protocol,
            host_ports: (run.host_port + offset, run.host_port + offset),
            container,
            port: Some(run.container_port + offset),
        }));
    }
    changes
}

#[cfg(test)]
mod tests {
    use model::port::Protocol;

    use super::*;

    fn run(host: &str, host_port: u16, container_port: u16, count: u16) -> Run {
        Run {
            host: host.parse().unwrap(),
            protocol: Protocol::Tcp,
            host_port,
            container_port,
            count,
        }
    }

    #[test]
    fn translation_stays_within_a_family() {
        let target = Target { v4: Some(([172, 17, 0, 2].into(), GatewayMode::Nat)), v6: None };
        let runs = [run("0.0.0.0", 8080, 80, 1), run("::", 8080, 80, 1)];
        assert_eq!(firewall_changes(&runs, &target).len(), 1);
        assert!(target.needs_proxy("::".parse().unwrap()));
        assert!(!target.needs_proxy("0.0.0.0".parse().unwrap()));
        assert!(!target.needs_proxy("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn equal_ports_are_one_range_and_shifted_ones_an_entry_each() {
        let target = Target { v4: Some(([172, 17, 0, 2].into(), GatewayMode::Nat)), v6: None };
        assert_eq!(firewall_changes(&[run("0.0.0.0", 8000, 8000, 1000)], &target).len(), 1);
        assert_eq!(firewall_changes(&[run("0.0.0.0", 8000, 9000, 1000)], &target).len(), 1000);
    }

    #[test]
    fn routed_networks_open_the_containers_own_port() {
        let target =
            Target { v4: None, v6: Some(("fd00::2".parse().unwrap(), GatewayMode::Routed)) };
        let changes = firewall_changes(&[run("::", 8080, 80, 1)], &target);
        assert_eq!(
            changes,
            [Change::RoutedPorts("fd00::2".parse().unwrap(), Protocol::Tcp, 80, 80)]
        );
        assert!(!target.needs_proxy("::".parse().unwrap()));
    }
}

//! What must not be reachable. Each refusal is paired with the reachability that makes it mean
//! something.

use std::net::IpAddr;

use model::port::{ContainerPort, PortBinding, Protocol};

use super::lab::{HOST_V4, Lab, Outside, lab, lab_with, v4, v6};
use crate::{
    Attachment, Cidr, EndpointConfig, Family, GatewayMode, PlaneConfig,
    nft::transaction::Transaction,
    nl::{Batch, Connection, address},
};

/// Publishes the container's port 80 on a host address and port, for both protocols.
pub fn publish(lab: &Lab, container: &model::ContainerId, host: Option<&str>, port: u16) {
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let binding = PortBinding {
            container: ContainerPort { port: 80, protocol },
            host_ip: host.map(|host| host.parse().unwrap()),
            host_ports: Some((port, port)),
        };
        lab.plane().publish(container, &[binding]).unwrap();
    }
}

/// Gives an outside host a route to a container network by the host.
fn route_by_host(out: &mut Outside, subnet: Cidr) {
    let host: IpAddr = match Family::of(subnet.addr()) {
        Family::V4 => HOST_V4.parse().unwrap(),
        Family::V6 => super::lab::HOST_V6.parse().unwrap(),
    };
    let mut batch = Batch::new();
    address::add_route(&mut batch, out.index, subnet, host);
    out.routes.perform(&batch).unwrap();
}

#[test]
fn networks_are_closed_to_each_other() {
    lab(|lab| {
        let (one, two) = (lab.network("one", |_| {}), lab.network("two", |_| {}));
        let inner = lab.network("inner", |net| net.internal = true);
        let (a, _) = lab.container(&one);
        let (b, at_b) = lab.container(&two);
        let (c, at_c) = lab.container(&inner);
        let (ns_a, ns_b, ns_c) = (lab.namespace(&a), lab.namespace(&b), lab.namespace(&c));
        lab.serve(&ns_b, 80);
        lab.serve(&ns_c, 80);
        assert!(lab.tcp(&ns_b, &v4(&at_b, 80)).is_ok());
        assert!(lab.no_tcp(&ns_a, &v4(&at_b, 80)));
        assert!(lab.no_udp(&ns_a, &v4(&at_b, 80)));
        assert!(lab.no_tcp(&ns_a, &v4(&at_c, 80)));
        // Not even with a route.
        let mut state = super::super::lock(&lab.plane().state);
        let sandbox = state.sandbox_mut(&c).unwrap();
        let index = crate::nl::link::by_name(&mut sandbox.routes, "eth0").unwrap().unwrap().index;
        let mut batch = Batch::new();
        address::set_default_route(&mut batch, index, inner.subnets[0].gateway.unwrap());
        sandbox.routes.perform(&batch).unwrap();
        drop(state);
        assert!(lab.no_tcp(&ns_c, &v4(&at_b, 80)));
        // But by a published port, and then with the true source address.
        publish(lab, &b, None, 8080);
        assert_eq!(lab.tcp(&ns_a, &format!("{HOST_V4}:8080")).unwrap(), "172.17.0.2");
        assert_eq!(lab.udp(&ns_a, &format!("{HOST_V4}:8080")).unwrap(), "172.17.0.2");
        assert!(lab.no_tcp(&ns_c, &format!("{HOST_V4}:8080")), "internal stays inside");
    });
}

#[test]
fn icc_false_separates_neighbours() {
    lab(|lab| {
        let net = lab.network("one", |net| net.icc = false);
        let (a, _) = lab.container(&net);
        let (b, at_b) = lab.container(&net);
        let (ns_a, ns_b) = (lab.namespace(&a), lab.namespace(&b));
        lab.serve(&ns_b, 80);
        assert!(lab.tcp(&ns_b, &v4(&at_b, 80)).is_ok());
        assert!(lab.no_tcp(&ns_a, &v4(&at_b, 80)));
        assert!(lab.tcp(&lab.host(), &v4(&at_b, 80)).is_ok());
    });
}

#[test]
fn a_neighbour_of_the_host_cant_route_into_containers_or_loopback() {
    lab(|lab| {
        let mut out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |net| net.ipv6 = true);
        let (a, at_a) = lab.container(&net);
        let ns_a = lab.namespace(&a);
        lab.serve(&ns_a, 80);
        lab.serve(&ns_a, 90);
        lab.serve_at(&lab.host(), "127.0.0.1", 7000);
        for subnet in &net.subnets {
            route_by_host(&mut out, subnet.cidr);
        }
        route_by_host(&mut out, "127.0.0.0/8".parse().unwrap());
        publish(lab, &a, Some("127.0.0.1"), 8090);
        publish(lab, &a, None, 8080);
        assert_eq!(lab.tcp(&out.namespace, "192.0.2.1:8080").unwrap(), "192.0.2.9");
        for port in [80, 90] {
            assert!(lab.no_tcp(&out.namespace, &v4(&at_a, port)));
            assert!(lab.no_udp(&out.namespace, &v4(&at_a, port)));
            assert!(lab.no_tcp(&out.namespace, &v6(&at_a, port)));
        }
        assert_eq!(lab.tcp(&lab.host(), "127.0.0.1:8090").unwrap(), "172.17.0.1");
        assert!(lab.no_tcp(&out.namespace, "192.0.2.1:8090"));
        // A wire may carry anything: let the neighbour send to 127.0.0.1 for real.
        allow_loopback_routing(lab, &out);
        for port in [8090, 7000] {
            assert!(lab.no_tcp(&out.namespace, &format!("127.0.0.1:{port}")));
            // Neither may a container, although its bridge routes loopback addresses.
            allow_loopback_routing_in(lab, &ns_a);
            assert!(lab.no_tcp(&ns_a, &format!("127.0.0.1:{port}")));
        }
    });
}

/// Removes the namespace's own 127.0.0.0/8 and lets it send such packets out.
fn allow_loopback_routing(lab: &Lab, out: &Outside) {
    allow_loopback_routing_in(lab, &out.namespace);
}

fn allow_loopback_routing_in(lab: &Lab, namespace: &std::os::fd::OwnedFd) {
    use std::os::fd::AsFd;
    lab.visitor
        .visit(namespace.as_fd(), || {
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            let mut routes = Connection::open(sys::netlink::Protocol::Route).unwrap();
            let mut batch = Batch::new();
            address::remove(&mut batch, 1, "127.0.0.1/8".parse().unwrap());
            routes.perform(&batch).unwrap();
        })
        .unwrap();
}

#[test]
fn connections_to_other_hosts_are_not_captured() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        lab.serve(&out.namespace, 8080);
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        let (b, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        // The outside host's own server answers, and sees the host, not the container.
        assert_eq!(lab.tcp(&lab.namespace(&b), "192.0.2.9:8080").unwrap(), HOST_V4);
        assert_eq!(lab.tcp(&lab.host(), "192.0.2.9:8080").unwrap(), HOST_V4);
    });
}

#[test]
fn the_host_is_no_router_for_others() {
    lab(|lab| {
        let mut out = lab.outside("192.0.2.9", "2001:db8::9");
        lab.network("one", |_| {});
        assert!(lab.plane().facts().switched_forwarding_v4);
        // A second wire on the same host, with a host behind it.
        let second = lab.plane().create_network(crate::NetworkConfig {
            id: model::NetworkId::from_bytes([99; 32]),
            name: "not-ours".parse().unwrap(),
            ..crate::NetworkConfig::default()
        });
        let second = second.unwrap();
        let (a, at_a) = lab.container(&second);
        lab.serve(&lab.namespace(&a), 80);
        // Make the firewall forget the bridge: it is somebody else's now.
        let bridge = crate::firewall::Change::Bridge(second.bridge_name.clone());
        lab.plane().firewall.apply(&[bridge.reverted()]).unwrap();
        route_by_host(&mut out, second.subnets[0].cidr);
        assert!(lab.no_tcp(&out.namespace, &v4(&at_a, 80)));
    });
}

#[test]
fn gateway_modes_open_what_they_say() {
    lab(|lab| {
        let mut out = lab.outside("192.0.2.9", "2001:db8::9");
        let mode = |mode| {
            move |net: &mut crate::NetworkConfig| {
                net.ipv6 = true;
                net.gateway_mode_v4 = mode;
                net.gateway_mode_v6 = mode;
            }
        };
        let open = lab.network("open", mode(GatewayMode::NatUnprotected));
        let routed = lab.network("routed", mode(GatewayMode::Routed));
        let start = |net: &crate::NetworkConfig| -> (model::ContainerId, Attachment) {
            let (id, attachment) = lab.container(net);
            lab.serve(&lab.namespace(&id), 80);
            lab.serve(&lab.namespace(&id), 90);
            (id, attachment)
        };
        let (_, at_open) = start(&open);
        let (routed_id, at_routed) = start(&routed);
        publish(lab, &routed_id, None, 8080);
        for net in [&open, &routed] {
            for subnet in &net.subnets {
                route_by_host(&mut out, subnet.cidr);
            }
        }
        for port in [80, 90] {
            assert_eq!(lab.tcp(&out.namespace, &v4(&at_open, port)).unwrap(), "192.0.2.9");
            assert_eq!(lab.tcp(&out.namespace, &v6(&at_open, port)).unwrap(), "2001:db8::9");
        }
        assert_eq!(lab.tcp(&out.namespace, &v4(&at_routed, 80)).unwrap(), "192.0.2.9");
        assert_eq!(lab.udp(&out.namespace, &v6(&at_routed, 80)).unwrap(), "2001:db8::9");
        assert!(lab.no_tcp(&out.namespace, &v4(&at_routed, 90)));
        assert!(lab.no_tcp(&out.namespace, "192.0.2.1:8080"), "routed ports aren't translated");
    });
}

#[test]
fn isolated_gateways_keep_the_host_out() {
    lab(|lab| {
        let net = lab.network("alone", |net| {
            net.internal = true;
            net.gateway_mode_v4 = GatewayMode::Isolated;
        });
        let (a, _) = lab.container(&net);
        let (b, at_b) = lab.container(&net);
        lab.serve(&lab.namespace(&b), 80);
        assert!(lab.tcp(&lab.namespace(&a), &v4(&at_b, 80)).is_ok());
        assert!(lab.no_tcp(&lab.host(), &v4(&at_b, 80)));
        let (c, _) = (lab.sandbox(), ());
        lab.plane().attach(&c, &net.id, &EndpointConfig::default()).unwrap();
    });
}

#[test]
fn isolation_survives_a_flush() {
    let shared = PlaneConfig { own_table: false, ..PlaneConfig::default() };
    for config in [PlaneConfig::default(), shared] {
        lab_with(config, |lab| {
            let (one, two) = (lab.network("one", |_| {}), lab.network("two", |_| {}));
            let (a, _) = lab.container(&one);
            let (b, at_b) = lab.container(&two);
            lab.serve(&lab.namespace(&b), 80);
            publish(lab, &b, None, 8080);
            let ns_a = lab.namespace(&a);
            // `nft flush ruleset` is the removal of every table without a name.
            let mut flush = Transaction::on(0, "");
            flush.delete_everything();
            flush
                .commit(&mut Connection::open(sys::netlink::Protocol::Netfilter).unwrap())
                .unwrap();
            let start = std::time::Instant::now();
            while lab.no_tcp(&ns_a, "192.0.2.1:8080") {
                assert!(start.elapsed() < std::time::Duration::from_secs(2));
            }
            println!("published port answers {:?} after the flush", start.elapsed());
            assert!(lab.no_tcp(&ns_a, &v4(&at_b, 80)));
        });
    }
}

#[test]
fn other_firewalls_that_drop_are_passed() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        lab.serve(&out.namespace, 80);
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        // What ufw does: the IPv4 filter table's forward chain drops by policy.
        let rules = "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";
        let status = std::process::Command::new("nft").arg(rules).status().unwrap();
        assert!(status.success());
        let start = std::time::Instant::now();
        while lab.no_tcp(&out.namespace, "192.0.2.1:8080") {
            assert!(start.elapsed() < std::time::Duration::from_secs(2));
        }
        assert_eq!(lab.tcp(&lab.namespace(&a), "192.0.2.9:80").unwrap(), HOST_V4);
        let listing =
            std::process::Command::new("nft").args(["list", "table", "ip", "filter"]).output();
        let listing = String::from_utf8(listing.unwrap().stdout).unwrap();
        assert_eq!(listing.matches("cale: accept").count(), 1, "{listing}");
    });
}

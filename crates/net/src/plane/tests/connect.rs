//! Connecting and disconnecting.

use std::os::fd::AsFd;

use super::lab::{HOST_V4, lab, v4, v6};
use crate::{
    DnsConfig, EndpointConfig, Error,
    nl::{address, link},
};

#[test]
fn neighbours_the_host_and_the_outside_are_reached() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |net| net.ipv6 = true);
        assert_eq!(net.subnets[0].cidr.to_string(), "172.17.0.0/16");
        assert_eq!(net.bridge_name, format!("br-{}", net.id.short()));
        let (a, at_a) = lab.container(&net);
        let (b, at_b) = lab.container(&net);
        assert_eq!(at_a.ipv4.unwrap().to_string(), "172.17.0.2/16");
        assert_eq!(at_a.mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!(at_a.ifname, "eth0");
        let (ns_a, ns_b) = (lab.namespace(&a), lab.namespace(&b));
        lab.serve(&ns_b, 80);
        lab.serve(&out.namespace, 80);
        lab.serve(&lab.host(), 81);
        // Neighbours see each other's addresses, in both families.
        assert_eq!(lab.tcp(&ns_a, &v4(&at_b, 80)).unwrap(), "172.17.0.2");
        assert_eq!(lab.udp(&ns_a, &v4(&at_b, 80)).unwrap(), "172.17.0.2");
        assert_eq!(lab.tcp(&ns_a, &v6(&at_b, 80)).unwrap(), at_a.ipv6.unwrap().addr().to_string());
        // The outside sees the host.
        assert_eq!(lab.tcp(&ns_a, "192.0.2.9:80").unwrap(), HOST_V4);
        assert_eq!(lab.udp(&ns_a, "192.0.2.9:80").unwrap(), HOST_V4);
        assert_eq!(lab.tcp(&ns_a, "[2001:db8::9]:80").unwrap(), "2001:db8::1");
        // The host sees the container.
        assert_eq!(lab.tcp(&ns_a, "172.17.0.1:81").unwrap(), "172.17.0.2");
        let facts = lab.plane().facts();
        assert!(facts.switched_forwarding_v4 && facts.switched_forwarding_v6);
        assert_eq!(facts.firewall_reasserted, 0);
    });
}

#[test]
fn without_ipv6_there_is_no_trace_of_it() {
    lab(|lab| {
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        let namespace = lab.namespace(&a);
        let (addresses, routes) = lab
            .visitor
            .visit(namespace.as_fd(), || {
                let read = |path| std::fs::read_to_string(path).unwrap();
                (read("/proc/thread-self/net/if_inet6"), read("/proc/thread-self/net/ipv6_route"))
            })
            .unwrap();
        let foreign = |text: &str| text.lines().filter(|l| !l.ends_with("lo")).count();
        assert_eq!(foreign(&addresses), 0, "{addresses}");
        assert_eq!(foreign(&routes), 0, "{routes}");
        let bridge = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        assert!(!bridge.contains(&net.bridge_name), "{bridge}");
        assert!(!bridge.contains("veth"), "{bridge}");
    });
}

#[test]
fn router_advertisements_are_ignored_and_settings_applied() {
    lab(|lab| {
        let net = lab.network("one", |net| net.ipv6 = true);
        let id = lab.sandbox();
        let mut endpoint = EndpointConfig::default();
        let key = "com.docker.network.endpoint.sysctls";
        let value = "net.ipv4.conf.IFNAME.log_martians=1";
        crate::options::apply_to_endpoint(&mut endpoint, key, value).unwrap();
        endpoint.ifname = Some("wan".into());
        endpoint.mac = Some("02:00:00:00:00:77".parse().unwrap());
        endpoint.ipv4 = Some([172, 17, 9, 9].into());
        endpoint.link_local = vec!["169.254.7.7".parse().unwrap()];
        let made = lab.plane().attach(&id, &net.id, &endpoint).unwrap();
        assert_eq!(made.ipv4.unwrap().to_string(), "172.17.9.9/16");
        let namespace = lab.namespace(&id);
        let read = |key: &str| {
            let path = format!("/proc/sys/net/{key}");
            lab.visitor.visit(namespace.as_fd(), move || std::fs::read_to_string(path)).unwrap()
        };
        assert_eq!(read("ipv6/conf/wan/accept_ra").unwrap().trim(), "0");
        assert_eq!(read("ipv4/conf/wan/log_martians").unwrap().trim(), "1");
        let bridge = format!("/proc/sys/net/ipv6/conf/{}/accept_ra", net.bridge_name);
        assert_eq!(std::fs::read_to_string(bridge).unwrap().trim(), "0");
        let mut state = super::super::lock(&lab.plane().state);
        let sandbox = state.sandbox_mut(&id).unwrap();
        let wan = link::by_name(&mut sandbox.routes, "wan").unwrap().unwrap();
        assert_eq!(wan.mac, endpoint.mac);
        let addresses = address::addresses(&mut sandbox.routes).unwrap();
        assert!(addresses.contains(&(wan.index, "169.254.7.7/16".parse().unwrap())));
    });
}

#[test]
fn wrong_requests_are_refused_and_leave_nothing() {
    lab(|lab| {
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        let plane = lab.plane();
        let again = plane.attach(&a, &net.id, &EndpointConfig::default());
        assert!(matches!(again, Err(Error::AlreadyAttached { .. })));
        assert!(matches!(
            plane.create_sandbox(&a, DnsConfig::default()),
            Err(Error::SandboxExists(_))
        ));
        let b = lab.sandbox();
        for endpoint in [
            EndpointConfig { ipv4: Some([172, 17, 0, 2].into()), ..EndpointConfig::default() },
            EndpointConfig { ipv4: Some([10, 0, 0, 1].into()), ..EndpointConfig::default() },
            EndpointConfig { ipv6: Some("fd00::7".parse().unwrap()), ..EndpointConfig::default() },
            EndpointConfig { ifname: Some("lo".into()), ..EndpointConfig::default() },
            EndpointConfig {
                mac: Some(crate::Mac([1, 0, 0, 0, 0, 1])),
                ..EndpointConfig::default()
            },
        ] {
            assert!(plane.attach(&b, &net.id, &endpoint).is_err(), "{endpoint:?}");
        }
        assert_eq!(plane.used_addresses(&net.id, net.subnets[0].cidr), 2);
        assert!(matches!(plane.remove_network(&net.id), Err(Error::NetworkInUse { .. })));
        plane.remove_sandbox(&a).unwrap();
        plane.remove_sandbox(&a).unwrap();
        plane.remove_network(&net.id).unwrap();
        assert!(matches!(plane.remove_network(&net.id), Err(Error::NoSuchNetwork(_))));
    });
}

#[test]
fn several_networks_and_their_default_route() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        lab.serve(&out.namespace, 80);
        let (first, second) = (lab.network("aa", |_| {}), lab.network("bb", |_| {}));
        let inner = lab.network("inner", |net| net.internal = true);
        let (a, _) = lab.container(&inner);
        let ns = lab.namespace(&a);
        assert!(lab.no_tcp(&ns, "192.0.2.9:80"), "internal networks lead nowhere");
        let plane = lab.plane();
        let at_first = plane.attach(&a, &first.id, &EndpointConfig::default()).unwrap();
        assert_eq!(at_first.ifname, "eth1");
        assert_eq!(lab.tcp(&ns, "192.0.2.9:80").unwrap(), HOST_V4);
        let preferred = EndpointConfig { gateway_priority: 5, ..EndpointConfig::default() };
        plane.attach(&a, &second.id, &preferred).unwrap();
        assert_eq!(gateway(lab, &a), second.subnets[0].gateway.unwrap().to_string());
        plane.detach(&a, &second.id).unwrap();
        assert_eq!(gateway(lab, &a), first.subnets[0].gateway.unwrap().to_string());
        assert_eq!(lab.tcp(&ns, "192.0.2.9:80").unwrap(), HOST_V4);
        plane.detach(&a, &first.id).unwrap();
        assert!(lab.no_tcp(&ns, "192.0.2.9:80"));
        assert!(plane.detach(&a, &first.id).is_err());
    });
}

fn gateway(lab: &super::lab::Lab, container: &model::ContainerId) -> String {
    let namespace = lab.namespace(container);
    let table = lab
        .visitor
        .visit(namespace.as_fd(), || {
            std::fs::read_to_string("/proc/thread-self/net/route").unwrap()
        })
        .unwrap();
    let line = table.lines().find(|line| line.split('\t').nth(1) == Some("00000000")).unwrap();
    let hex = line.split('\t').nth(2).unwrap();
    std::net::Ipv4Addr::from(u32::from_str_radix(hex, 16).unwrap().to_ne_bytes()).to_string()
}

#[test]
fn macvlan_connects_to_the_wire_and_ipvlan_says_what_is_missing() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        lab.serve(&out.namespace, 80);
        let on_wire = |driver, net: &mut crate::NetworkConfig| {
            net.driver = driver;
            net.parent = Some("wire".into());
            net.subnets = vec![crate::Subnet::new("192.0.2.0/24".parse().unwrap())];
        };
        let net = lab.network("mac", |net| on_wire(crate::DriverKind::Macvlan, net));
        let id = lab.sandbox();
        let endpoint =
            EndpointConfig { ipv4: Some([192, 0, 2, 200].into()), ..EndpointConfig::default() };
        let made = lab.plane().attach(&id, &net.id, &endpoint).unwrap();
        assert_eq!(made.host_ifname, None);
        lab.serve(&lab.namespace(&id), 80);
        assert_eq!(lab.tcp(&out.namespace, "192.0.2.200:80").unwrap(), "192.0.2.9");
        lab.plane().remove_sandbox(&id).unwrap();
        lab.plane().remove_network(&net.id).unwrap();

        let net = lab.network("ip", |net| on_wire(crate::DriverKind::Ipvlan, net));
        let id = lab.sandbox();
        let error = match lab.plane().attach(&id, &net.id, &EndpointConfig::default()) {
            Err(error) => error,
            // A kernel with ipvlan.
            Ok(_) => return,
        };
        assert_eq!(error.to_string(), "networks of driver ipvlan are not supported by this kernel");
        assert_eq!(error.kind(), model::ErrorKind::Unsupported);
    });
}

//! Published ports from everywhere.

use model::port::{ContainerPort, PortBinding, Protocol};

use super::{
    isolation::publish,
    lab::{HOST_V4, lab, v4},
};
use crate::Error;

#[test]
fn a_port_is_reached_from_everywhere_with_the_true_source() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |net| net.ipv6 = true);
        let (a, _) = lab.container(&net);
        let (b, _) = lab.container(&net);
        let (ns_a, ns_b) = (lab.namespace(&a), lab.namespace(&b));
        lab.serve(&ns_a, 80);
        publish(lab, &a, None, 8080);
        for to in ["192.0.2.1:8080", "[2001:db8::1]:8080"] {
            let source = if to.starts_with('[') { "2001:db8::9" } else { "192.0.2.9" };
            assert_eq!(lab.tcp(&out.namespace, to).unwrap(), source);
            assert_eq!(lab.udp(&out.namespace, to).unwrap(), source);
        }
        // From the host: by its own address with that address, by loopback with the gateway's.
        assert_eq!(lab.tcp(&lab.host(), "192.0.2.1:8080").unwrap(), HOST_V4);
        assert_eq!(lab.tcp(&lab.host(), "127.0.0.1:8080").unwrap(), "172.17.0.1");
        assert_eq!(lab.udp(&lab.host(), "127.0.0.1:8080").unwrap(), "172.17.0.1");
        let gateway6 = net.subnets[1].gateway.unwrap().to_string();
        assert_eq!(lab.tcp(&lab.host(), "[::1]:8080").unwrap(), gateway6);
        assert_eq!(lab.udp(&lab.host(), "[::1]:8080").unwrap(), gateway6);
        // From a neighbour and from itself: the host steps in.
        assert_eq!(lab.tcp(&ns_b, "192.0.2.1:8080").unwrap(), "172.17.0.1");
        assert_eq!(lab.tcp(&ns_a, "192.0.2.1:8080").unwrap(), "172.17.0.1");
        assert_eq!(lab.udp(&ns_a, "172.17.0.1:8080").unwrap(), "172.17.0.1");
    });
}

#[test]
fn hairpin_works_when_bridged_frames_pass_netfilter() {
    lab(|lab| {
        let setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        if std::fs::write(setting, "1").is_err() {
            return; // A kernel without br_netfilter has nothing to test.
        }
        for on in ["0", "1"] {
            std::fs::write(setting, on).unwrap();
            super::super::lock(&lab.plane().state).host.hairpin = on == "1";
            let net = lab.network(&format!("net{on}"), |_| {});
            let (a, _) = lab.container(&net);
            let ns_a = lab.namespace(&a);
            lab.serve(&ns_a, 80);
            let (b, _) = lab.container(&net);
            let port = if on == "1" { 8081 } else { 8080 };
            publish(lab, &a, None, port);
            assert!(lab.tcp(&ns_a, &format!("192.0.2.1:{port}")).is_ok(), "self, {on}");
            assert!(
                lab.tcp(&lab.namespace(&b), &format!("192.0.2.1:{port}")).is_ok(),
                "neighbour, {on}"
            );
        }
    });
}

#[test]
fn ipv6_clients_reach_a_container_without_ipv6() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        assert_eq!(lab.tcp(&out.namespace, "[2001:db8::1]:8080").unwrap(), "172.17.0.1");
        assert_eq!(lab.udp(&out.namespace, "[2001:db8::1]:8080").unwrap(), "172.17.0.1");
        assert_eq!(lab.tcp(&lab.host(), "[::1]:8080").unwrap(), "172.17.0.1");
    });
}

#[test]
fn host_addresses_are_kept_apart() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, Some(HOST_V4), 8080);
        publish(lab, &a, Some("127.0.0.1"), 8081);
        assert!(lab.tcp(&out.namespace, "192.0.2.1:8080").is_ok());
        assert!(lab.no_tcp(&lab.host(), "127.0.0.1:8080"));
        assert!(lab.tcp(&lab.host(), "127.0.0.1:8081").is_ok());
        assert!(lab.no_tcp(&out.namespace, "192.0.2.1:8081"));
        let busy = PortBinding {
            container: ContainerPort { port: 80, protocol: Protocol::Tcp },
            host_ip: None,
            host_ports: Some((8081, 8081)),
        };
        let error = lab.plane().publish(&a, &[busy]).unwrap_err();
        assert!(matches!(error, Error::PortBusy { .. }));
    });
}

#[test]
fn an_unpublished_port_is_closed_and_its_flows_forgotten() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        publish(lab, &a, None, 8081);
        assert!(lab.udp(&out.namespace, "192.0.2.1:8080").is_ok());
        let published = lab.plane().published(&a);
        assert_eq!(published.len(), 8, "two ports, two protocols, two families: {published:?}");
        let first: Vec<_> = published.iter().filter(|p| p.host.port() == 8080).cloned().collect();
        lab.plane().unpublish(&a, &first).unwrap();
        assert!(lab.no_udp(&out.namespace, "192.0.2.1:8080"));
        assert!(lab.no_tcp(&out.namespace, "192.0.2.1:8080"));
        assert!(lab.udp(&out.namespace, "192.0.2.1:8081").is_ok());
        assert!(lab.tcp(&out.namespace, "[2001:db8::1]:8081").is_ok());
        // A UDP flow follows the port to the next container, from the same client port.
        lab.plane().remove_sandbox(&a).unwrap();
        let (b, at_b) = lab.container(&net);
        assert_eq!(v4(&at_b, 80), "172.17.0.2:80");
        lab.serve(&lab.namespace(&b), 80);
        publish(lab, &b, None, 8081);
        assert!(lab.udp(&out.namespace, "192.0.2.1:8081").is_ok());
    });
}

#[test]
fn a_udp_flow_older_than_its_port_is_translated_from_then_on() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        // One client socket that keeps sending, as a game or a voice call does.
        let socket = lab
            .visitor
            .visit(std::os::fd::AsFd::as_fd(&out.namespace), || {
                std::net::UdpSocket::bind("192.0.2.9:4000").unwrap()
            })
            .unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        socket.send_to(b"?", "192.0.2.1:8080").unwrap();
        publish(lab, &a, None, 8080);
        socket.send_to(b"?", "192.0.2.1:8080").unwrap();
        let mut buffer = [0; 64];
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..length], from.to_string().as_str()),
            (&b"192.0.2.9"[..], "192.0.2.1:8080")
        );
    });
}

#[test]
fn ports_follow_the_gateway() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let (first, second) = (lab.network("aa", |_| {}), lab.network("bb", |_| {}));
        let (a, _) = lab.container(&first);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        lab.plane().attach(&a, &second.id, &crate::EndpointConfig::default()).unwrap();
        assert!(lab.tcp(&out.namespace, "192.0.2.1:8080").is_ok());
        lab.plane().detach(&a, &first.id).unwrap();
        assert_eq!(lab.tcp(&out.namespace, "192.0.2.1:8080").unwrap(), "192.0.2.9");
        assert!(lab.tcp(&out.namespace, "[2001:db8::1]:8080").is_ok());
    });
}

#[test]
fn sctp_and_long_runs_are_accepted() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        let ns = lab.namespace(&a);
        let bindings: Vec<PortBinding> = (20_000..30_000)
            .map(|port| PortBinding {
                container: ContainerPort { port, protocol: Protocol::Udp },
                host_ip: None,
                host_ports: Some((port, port)),
            })
            .collect();
        let sctp = PortBinding {
            container: ContainerPort { port: 132, protocol: Protocol::Sctp },
            host_ip: None,
            host_ports: Some((132, 132)),
        };
        let start = std::time::Instant::now();
        let published = lab.plane().publish(&a, &bindings).unwrap();
        println!("10,000 UDP ports published in {:?}", start.elapsed());
        // One second on a quiet machine; tests run unoptimized and beside others.
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
        assert_eq!(published.len(), 2, "one run per family");
        lab.plane().publish(&a, &[sctp]).unwrap();
        lab.serve(&ns, 25_555);
        assert_eq!(lab.udp(&out.namespace, "192.0.2.1:25555").unwrap(), "192.0.2.9");
        assert!(lab.plane().publish(&a, &bindings[..1]).is_err());
        lab.plane().remove_sandbox(&a).unwrap();
    });
}

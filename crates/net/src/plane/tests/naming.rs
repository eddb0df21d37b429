//! Names, asked by `dig` from inside containers, with upstream servers as threads.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use model::{
    ContainerId,
    port::{ContainerPort, Protocol},
};

use super::lab::{Lab, lab};
use crate::{Attachment, DnsConfig, EndpointConfig, NetworkConfig, ServicePort};

/// A container with names.
fn named(lab: &Lab, net: &NetworkConfig, name: &str, alias: &str) -> (ContainerId, Attachment) {
    let id = lab.sandbox();
    let port = ContainerPort { port: 5432, protocol: Protocol::Tcp };
    let endpoint = EndpointConfig {
        names: vec![name.to_owned()],
        aliases: vec![alias.to_owned()],
        services: vec![ServicePort { label: Some("postgres".into()), port }],
        ..EndpointConfig::default()
    };
    let made = lab.plane().attach(&id, &net.id, &endpoint).unwrap();
    (id, made)
}

/// `dig +short`, one line per answer.
fn dig(lab: &Lab, from: &OwnedFd, arguments: &str) -> String {
    let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
    lab.visitor
        .visit(from.as_fd(), move || {
            let mut dig = std::process::Command::new("dig");
            dig.args(["@127.0.0.11", "+tries=1", "+time=4"]).args(arguments);
            String::from_utf8(dig.output().unwrap().stdout).unwrap()
        })
        .unwrap()
}

fn short(lab: &Lab, from: &OwnedFd, arguments: &str) -> String {
    dig(lab, from, &format!("+short {arguments}")).trim().to_owned()
}

/// An upstream server that gives every name the same address, and counts queries.
fn upstream(lab: &Lab, namespace: &OwnedFd, at: &str, answer: [u8; 4]) -> Arc<AtomicUsize> {
    let at: SocketAddr = SocketAddr::new(at.parse().unwrap(), 53);
    let (udp, tcp) = lab
        .visitor
        .visit(namespace.as_fd(), move || {
            (UdpSocket::bind(at).unwrap(), std::net::TcpListener::bind(at).unwrap())
        })
        .unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let reply = move |packet: &[u8]| {
        let mut message = Message::from_vec(packet).unwrap().into_response();
        let name = message.queries[0].name().clone();
        let records = if name.to_ascii().starts_with("big") { 100 } else { 1 };
        for _ in 0..records {
            let data = RData::A(A(answer.into()));
            message.add_answer(Record::from_rdata(name.clone(), 60, data));
        }
        message
    };
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
            seen.fetch_add(1, Ordering::Relaxed);
            let mut message = reply(&buffer[..length]);
            if message.answers.len() > 10 {
                message = message.truncate();
            }
            udp.send_to(&message.to_vec().unwrap(), peer).unwrap();
        }
    });
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut packet = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut packet).unwrap();
            let bytes = reply(&packet).to_vec().unwrap();
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length[..], &bytes].concat()).unwrap();
        }
    });
    count
}

#[test]
fn containers_find_each_other() {
    lab(|lab| {
        let net = lab.network("shop", |net| net.ipv6 = true);
        let (a, _) = named(lab, &net, "web-1", "web");
        let (b, at_b) = named(lab, &net, "web-2", "web");
        let ns = lab.namespace(&a);
        assert_eq!(short(lab, &ns, "web-2"), "172.17.0.3");
        assert_eq!(short(lab, &ns, "+tcp WEB-2.shop"), "172.17.0.3");
        assert_eq!(short(lab, &ns, b.short()), "172.17.0.3");
        assert_eq!(short(lab, &ns, "web-2 AAAA"), at_b.ipv6.unwrap().addr().to_string());
        assert_eq!(short(lab, &ns, "web").lines().count(), 2);
        assert_eq!(short(lab, &ns, "-x 172.17.0.3"), "web-2.shop.");
        assert_eq!(short(lab, &ns, "_postgres._tcp.web-2 SRV"), "0 1 5432 web-2.");
        lab.plane().set_ready(&b, false);
        assert_eq!(short(lab, &ns, "web"), "172.17.0.2");
        lab.plane().rename(&b, "web-2", "other");
        assert_eq!(short(lab, &ns, "other"), "172.17.0.3");
        lab.plane().remove_sandbox(&b).unwrap();
        assert_eq!(short(lab, &ns, "web"), "172.17.0.2");
        let text = lab.plane().resolv_conf(&a, &crate::files::Resolver::default());
        assert!(text.contains("nameserver 127.0.0.11\noptions ndots:0\n"), "{text}");
    });
}

#[test]
fn networks_and_the_default_bridge_keep_their_names_apart() {
    lab(|lab| {
        let (one, two) = (lab.network("one", |_| {}), lab.network("two", |_| {}));
        let (a, _) = named(lab, &one, "a", "x");
        let (b, _) = named(lab, &two, "b", "x");
        let ns = lab.namespace(&a);
        lab.plane().names.set_host_servers(vec![]);
        assert_eq!(short(lab, &ns, "b"), "");
        lab.plane()
            .attach(&b, &one.id, &EndpointConfig { names: vec!["b".into()], ..Default::default() })
            .unwrap();
        assert_eq!(short(lab, &ns, "b"), "172.17.0.3");
        lab.plane().detach(&b, &one.id).unwrap();
        assert_eq!(short(lab, &ns, "b"), "");
        let bridge = lab.network("bridge", |net| net.is_default_bridge = true);
        let (c, _) = lab.container(&bridge);
        let text =
            lab.plane().resolv_conf(&c, &crate::files::Resolver::parse("nameserver 192.0.2.53"));
        assert!(text.contains("nameserver 192.0.2.53\n"), "{text}");
    });
}

#[test]
fn other_names_are_asked_outside_and_kept() {
    lab(|lab| {
        let out = lab.outside("192.0.2.53", "2001:db8::53");
        let host_count = upstream(lab, &lab.host(), "127.0.0.53", [198, 51, 100, 1]);
        let own_count = upstream(lab, &out.namespace, "192.0.2.53", [198, 51, 100, 2]);
        lab.plane().names.set_host_servers(vec![[127, 0, 0, 53].into()]);
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        let ns = lab.namespace(&a);
        // The host's own server is on its loopback: asked from there.
        assert_eq!(short(lab, &ns, "www.example.org"), "198.51.100.1");
        assert_eq!(short(lab, &ns, "www.example.org"), "198.51.100.1");
        assert_eq!(host_count.load(Ordering::Relaxed), 1, "the second answer is a kept one");
        assert_eq!(
            short(lab, &ns, "big.example.org").lines().count(),
            100,
            "by TCP when it is long"
        );
        // A container's own servers are asked from its namespace.
        let dns =
            DnsConfig { servers: vec!["192.0.2.53".parse().unwrap()], ..DnsConfig::default() };
        let b = ContainerId::from_bytes([77; 32]);
        lab.plane().create_sandbox(&b, dns).unwrap();
        lab.plane().attach(&b, &net.id, &EndpointConfig::default()).unwrap();
        assert_eq!(short(lab, &lab.namespace(&b), "www.example.org"), "198.51.100.2");
        assert_eq!(own_count.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn internal_networks_ask_nobody() {
    lab(|lab| {
        let count = upstream(lab, &lab.host(), "127.0.0.53", [198, 51, 100, 1]);
        lab.plane().names.set_host_servers(vec![[127, 0, 0, 53].into()]);
        let net = lab.network("inner", |net| net.internal = true);
        let (a, _) = named(lab, &net, "inside", "x");
        let ns = lab.namespace(&a);
        let answer = dig(lab, &ns, "secret.attacker.example");
        assert!(answer.contains("status: NXDOMAIN"), "{answer}");
        assert_eq!(short(lab, &ns, "inside"), "172.17.0.2");
        assert_eq!(count.load(Ordering::Relaxed), 0);
    });
}

#[test]
fn dead_servers_end_in_a_failure_within_two_seconds() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let count = upstream(lab, &lab.host(), "127.0.0.53", [198, 51, 100, 1]);
        // The outside host swallows queries: a bound socket that never answers.
        let silent = lab
            .visitor
            .visit(out.namespace.as_fd(), || UdpSocket::bind("0.0.0.0:53").unwrap())
            .unwrap();
        let dead: IpAddr = Ipv4Addr::new(192, 0, 2, 9).into();
        lab.plane().names.set_host_servers(vec![dead]);
        let net = lab.network("one", |_| {});
        let (a, _) = lab.container(&net);
        let ns = lab.namespace(&a);
        let start = Instant::now();
        let answer = dig(lab, &ns, "www.example.org");
        assert!(answer.contains("status: SERVFAIL"), "{answer}");
        assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
        // One dead server is no matter when there is another.
        lab.plane().names.set_host_servers(vec![dead, [127, 0, 0, 53].into()]);
        assert_eq!(short(lab, &ns, "www.example.org"), "198.51.100.1");
        assert_eq!(count.load(Ordering::Relaxed), 1);
        drop(silent);
    });
}

#[test]
fn a_container_may_serve_port_53_itself() {
    lab(|lab| {
        let net = lab.network("one", |_| {});
        let dns = DnsConfig { port_53_is_taken: true, ..DnsConfig::default() };
        let a = ContainerId::from_bytes([78; 32]);
        lab.plane().create_sandbox(&a, dns).unwrap();
        let endpoint = EndpointConfig { names: vec!["dns".into()], ..EndpointConfig::default() };
        lab.plane().attach(&a, &net.id, &endpoint).unwrap();
        let ns = lab.namespace(&a);
        let own = lab
            .visitor
            .visit(ns.as_fd(), || {
                (
                    UdpSocket::bind("0.0.0.0:53").unwrap(),
                    std::net::TcpListener::bind("0.0.0.0:53").unwrap(),
                )
            })
            .unwrap();
        assert_eq!(short(lab, &ns, "dns"), "172.17.0.2");
        assert_eq!(short(lab, &ns, "+tcp dns"), "172.17.0.2");
        drop(own);
    });
}

#[test]
fn ten_thousand_local_queries_per_second_are_answered_quickly() {
    lab(|lab| {
        let net = lab.network("one", |_| {});
        let (a, _) = named(lab, &net, "web-1", "web");
        for number in 2..=20 {
            named(lab, &net, &format!("web-{number}"), "many");
        }
        let ns = lab.namespace(&a);
        let mut query = Message::query();
        query.add_query(Query::query(Name::from_ascii("web-7.").unwrap(), RecordType::A));
        let packet = query.to_vec().unwrap();
        let mut times = lab
            .visitor
            .visit(ns.as_fd(), move || {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect("127.0.0.11:53").unwrap();
                socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut buffer = [0; 512];
                let mut times = Vec::new();
                for _ in 0..5000 {
                    let start = Instant::now();
                    socket.send(&packet).unwrap();
                    socket.recv(&mut buffer).unwrap();
                    times.push(start.elapsed());
                }
                times
            })
            .unwrap();
        let total: Duration = times.iter().sum();
        times.sort();
        println!(
            "local names: {:.0} queries/s one after the other, median {:?}, p99 {:?}",
            5000.0 / total.as_secs_f64(),
            times[2500],
            times[4950]
        );
        assert!(times[2500] < Duration::from_millis(5));
    });
}

#[test]
fn names_are_answered_after_a_restart() {
    lab(|lab| {
        let net = lab.network("one", |_| {});
        let (a, made) = named(lab, &net, "web-1", "web");
        let ns = lab.namespace(&a);
        drop(lab.plane.take());
        let restored = crate::Restored {
            networks: vec![net],
            sandboxes: vec![crate::RestoredSandbox {
                container: a,
                namespace: ns.try_clone().unwrap(),
                dns: DnsConfig::default(),
                attachments: vec![made],
                published: vec![],
            }],
        };
        let handle = lab.runtime.handle().clone();
        let config = crate::PlaneConfig::default();
        let (plane, problems) = crate::NetworkPlane::start(config, handle, restored).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        lab.plane = Some(plane);
        assert_eq!(short(lab, &ns, "web"), "172.17.0.2");
    });
}

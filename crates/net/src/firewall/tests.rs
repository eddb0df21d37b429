//! The table in a real kernel, in a namespace of the test's own.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use model::port::Protocol;
use sys::netlink::Protocol as NetlinkProtocol;

use super::*;

/// Runs a test on a thread in a new namespace.
fn isolated(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            sys::netns::unshare().unwrap();
            test();
        });
        run.join().unwrap();
    });
}

fn published(port: u16, host: &str, container: &str) -> Change {
    Change::Published {
        host: host.parse::<IpAddr>().unwrap(),
        protocol: Protocol::Tcp,
        host_ports: (port, port),
        container: container.parse().unwrap(),
        port: Some(80),
    }
}

fn some_changes() -> Vec<Change> {
    let subnet = "172.17.0.0/16".parse().unwrap();
    let subnet6 = "fd00::/64".parse().unwrap();
    vec![
        Change::Bridge("br0".into()),
        Change::Within("br0".into()),
        Change::Internal("br9".into()),
        Change::Home(subnet, "br0".into()),
        Change::Home(subnet6, "br0".into()),
        Change::Masquerade(subnet),
        Change::Masquerade("172.18.0.0/16".parse().unwrap()),
        Change::Masquerade(subnet6),
        Change::Source("172.19.0.0/16".parse().unwrap(), "192.0.2.1".parse().unwrap()),
        Change::Open("255.255.0.0/16".parse().unwrap()),
        Change::Routed(subnet6),
        Change::RoutedPorts("fd00::2".parse().unwrap(), Protocol::Tcp, 80, 90),
        published(8080, "0.0.0.0", "172.17.0.2"),
        published(8080, "::", "fd00::2"),
        published(8081, "127.0.0.1", "172.17.0.2"),
        Change::Published {
            host: "0.0.0.0".parse().unwrap(),
            protocol: Protocol::Udp,
            host_ports: (10_000, 19_999),
            container: "172.17.0.2".parse().unwrap(),
            port: None,
        },
    ]
}

fn exists(table: &str) -> bool {
    let mut conn = Connection::open(NetlinkProtocol::Netfilter).unwrap();
    events::table_exists(&mut conn, INET, table).unwrap()
}

#[test]
fn the_kernel_takes_every_kind_of_element_and_gives_it_back() {
    isolated(|| {
        for owned in [true, false] {
            let firewall = Firewall::open("cale-test", owned).unwrap();
            firewall.assert().unwrap();
            let changes = some_changes();
            firewall.apply(&changes).unwrap();
            firewall.apply(&changes).unwrap();
            firewall.assert().unwrap();
            // Moves a port to another container: replaced within one transaction.
            firewall.apply(&[published(8080, "0.0.0.0", "172.17.0.3")]).unwrap();
            let removals: Vec<Change> = changes.into_iter().map(Change::reverted).collect();
            firewall.apply(&removals).unwrap();
            firewall.apply(&removals).unwrap();
            firewall.drop_foreign().unwrap();
            assert!(firewall.inherits_drop_foreign().unwrap());
            firewall.remove().unwrap();
            firewall.remove().unwrap();
            assert!(!exists("cale-test"));
        }
    });
}

#[test]
fn an_owned_table_resists_and_outlives_its_owner() {
    isolated(|| {
        let firewall = Firewall::open("cale-test", true).unwrap();
        firewall.assert().unwrap();
        let mut intruder = Connection::open(NetlinkProtocol::Netfilter).unwrap();
        let mut attack = Transaction::new("cale-test");
        attack.delete_table();
        let refused = attack.commit(&mut intruder).unwrap_err();
        assert_eq!(refused.source.raw_os_error(), Some(libc::EPERM));
        drop(firewall);
        assert!(exists("cale-test"));
        // The next engine takes it over.
        let next = Firewall::open("cale-test", true).unwrap();
        next.assert().unwrap();
        next.apply(&some_changes()).unwrap();
    });
}

#[test]
fn a_removed_table_is_back_within_two_seconds_with_its_elements() {
    isolated(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let firewall = Firewall::open("cale-test", false).unwrap();
        firewall.assert().unwrap();
        firewall.apply(&some_changes()).unwrap();
        let _guard = Guard::start(&firewall, runtime.handle(), true).unwrap();
        runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(firewall.reasserted(), 0, "own changes must not look like an attack");
            let mut intruder = Connection::open(NetlinkProtocol::Netfilter).unwrap();
            let mut attack = Transaction::new("cale-test");
            attack.delete_table();
            attack.commit(&mut intruder).unwrap();
            let start = Instant::now();
            while !exists("cale-test") {
                assert!(start.elapsed() < Duration::from_secs(2));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            println!("table back after {:?}", start.elapsed());
        });
        assert_eq!(firewall.reasserted(), 1);
        firewall
            .apply(&some_changes().into_iter().map(Change::reverted).collect::<Vec<_>>())
            .unwrap();
    });
}

#[test]
fn a_change_right_after_the_table_was_removed_puts_it_back() {
    isolated(|| {
        let firewall = Firewall::open("cale-test", false).unwrap();
        firewall.assert().unwrap();
        firewall.apply(&some_changes()).unwrap();
        let mut attack = Transaction::new("cale-test");
        attack.delete_table();
        attack.commit(&mut Connection::open(NetlinkProtocol::Netfilter).unwrap()).unwrap();
        firewall.apply(&[published(9090, "0.0.0.0", "172.17.0.9")]).unwrap();
        firewall.apply(&[published(8080, "0.0.0.0", "172.17.0.2").reverted()]).unwrap();
    });
}

#[test]
fn ten_thousand_ports_take_less_than_a_second() {
    isolated(|| {
        let firewall = Firewall::open("cale-test", true).unwrap();
        firewall.assert().unwrap();
        let ports: Vec<Change> =
            (10_000..20_000).map(|port| published(port, "0.0.0.0", "172.17.0.2")).collect();
        let start = Instant::now();
        firewall.apply(&ports).unwrap();
        let batch = start.elapsed();
        let mut single = Vec::new();
        for port in 30_000..30_200 {
            let start = Instant::now();
            firewall.apply(&[published(port, "0.0.0.0", "172.17.0.3")]).unwrap();
            single.push(start.elapsed());
        }
        single.sort();
        println!("10,000 ports in one batch: {batch:?}; one more port, median: {:?}", single[100]);
        assert!(batch < Duration::from_secs(1), "{batch:?}");
    });
}

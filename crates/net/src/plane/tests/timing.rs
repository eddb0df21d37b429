//! What it costs, and that nothing stays behind. Times are printed; limits are generous because
//! test machines are busy.

use std::time::{Duration, Instant};

use super::lab::{Lab, lab, lab_with};
use crate::{
    DnsConfig, EndpointConfig, PlaneConfig,
    nl::{address, link},
};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn summary(times: Vec<Duration>) -> String {
    format!("{:?} / {:?}", times.iter().min().unwrap(), median(times.clone()))
}

/// Interfaces, addresses and routes of the host.
fn footprint(lab: &Lab) -> (usize, usize, usize) {
    let mut state = super::super::lock(&lab.plane().state);
    let routes = &mut state.host.routes;
    (
        link::all(routes).unwrap().len(),
        address::addresses(routes).unwrap().len(),
        address::routes(routes).unwrap().len(),
    )
}

#[test]
fn attaching_to_a_bridge_with_many_ports_stays_fast() {
    let ready = PlaneConfig { ready_namespaces: 8, ..PlaneConfig::default() };
    lab_with(ready, |lab| {
        let before = footprint(lab);
        let net = lab.network("one", |_| {});
        let plane = lab.plane();
        let ids: Vec<_> = (0..560u32)
            .map(|number| {
                let mut bytes = [7; 32];
                bytes[..3].copy_from_slice(&number.to_be_bytes()[1..]);
                model::ContainerId::from_bytes(bytes)
            })
            .collect();
        let mut create = Vec::new();
        let mut attach = Vec::new();
        for id in &ids {
            let start = Instant::now();
            plane.create_sandbox(id, DnsConfig::default()).unwrap();
            create.push(start.elapsed());
            let start = Instant::now();
            plane.attach(id, &net.id, &EndpointConfig::default()).unwrap();
            attach.push(start.elapsed());
        }
        let last = attach.split_off(500);
        println!(
            "namespace {}; attach with 0–500 ports {}, with 500–560 ports {} (min / median)",
            summary(create),
            summary(attach),
            summary(last.clone())
        );
        assert!(median(last) < Duration::from_millis(20));
        let mut removal = Vec::new();
        for id in &ids {
            let start = Instant::now();
            plane.remove_sandbox(id).unwrap();
            removal.push(start.elapsed());
        }
        println!("remove {:?} (median)", median(removal));
        plane.remove_network(&net.id).unwrap();
        let start = Instant::now();
        while footprint(lab) != before {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?} {before:?}", footprint(lab));
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}

#[test]
fn the_plane_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<crate::NetworkPlane>();
}

#[test]
fn a_full_round_leaves_nothing() {
    lab(|lab| {
        let before = footprint(lab);
        let net = lab.network("one", |net| net.ipv6 = true);
        let (a, _) = lab.container(&net);
        super::isolation::publish(lab, &a, None, 8080);
        lab.plane().remove_sandbox(&a).unwrap();
        lab.plane().remove_network(&net.id).unwrap();
        let start = Instant::now();
        while footprint(lab) != before {
            assert!(start.elapsed() < Duration::from_secs(5), "{:?} {before:?}", footprint(lab));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(std::net::TcpListener::bind("0.0.0.0:8080").is_ok());
    });
}

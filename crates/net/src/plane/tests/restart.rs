//! The engine goes and comes back; containers stay.

use std::os::fd::OwnedFd;

use super::{
    isolation::publish,
    lab::{HOST_V4, Lab, lab, v4},
};
use crate::{
    Attachment, DnsConfig, NetworkConfig, NetworkPlane, PlaneConfig, PublishedPort, Restored,
    RestoredSandbox,
    nl::{Batch, Connection, link},
};

/// What an engine stores of one container.
struct Stored {
    container: model::ContainerId,
    attachments: Vec<Attachment>,
    published: Vec<PublishedPort>,
    namespace: OwnedFd,
}

fn store(lab: &Lab, container: &model::ContainerId) -> Stored {
    Stored {
        container: container.clone(),
        attachments: lab.plane().attachments(container),
        published: lab.plane().published(container),
        namespace: lab.namespace(container),
    }
}

fn restart(lab: &mut Lab, networks: Vec<NetworkConfig>, stored: &[Stored]) {
    drop(lab.plane.take());
    let sandboxes = stored.iter().map(|stored| RestoredSandbox {
        container: stored.container.clone(),
        namespace: stored.namespace.try_clone().unwrap(),
        dns: DnsConfig::default(),
        attachments: stored.attachments.clone(),
        published: stored.published.clone(),
    });
    let restored = Restored { networks, sandboxes: sandboxes.collect() };
    let handle = lab.runtime.handle().clone();
    let (plane, problems) = NetworkPlane::start(PlaneConfig::default(), handle, restored).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    lab.plane = Some(plane);
}

#[test]
fn a_restart_changes_nothing_and_cleans_up() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        lab.serve(&out.namespace, 80);
        let net = lab.network("one", |_| {});
        let (a, at_a) = lab.container(&net);
        let (gone, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        let stored = [store(lab, &a)];
        let pinned = lab.namespace(&gone);
        // While the engine is away, everything goes on.
        drop(lab.plane.take());
        assert_eq!(lab.tcp(&out.namespace, "192.0.2.1:8080").unwrap(), "192.0.2.9");
        restart(lab, vec![net.clone()], &stored);
        assert_eq!(lab.tcp(&out.namespace, "192.0.2.1:8080").unwrap(), "192.0.2.9");
        assert!(lab.tcp(&lab.host(), "[::1]:8080").is_ok());
        assert_eq!(lab.tcp(&stored[0].namespace, "192.0.2.9:80").unwrap(), HOST_V4);
        // The container that the store doesn't know has lost its interface.
        assert!(lab.no_tcp(&pinned, "192.0.2.9:80"));
        // Addresses and ports of the known one are taken.
        let (_, at_next) = lab.container(&net);
        assert_ne!(at_next.ipv4, at_a.ipv4);
        let port = stored[0].published.iter().find(|p| p.host.is_ipv4()).unwrap();
        let again = model::port::PortBinding {
            container: port.container,
            host_ip: None,
            host_ports: Some((8080, 8080)),
        };
        assert!(lab.plane().publish(&a, &[again]).is_err());
        // A port published before the restart can be closed after it.
        lab.plane().unpublish(&a, &stored[0].published).unwrap();
        assert!(lab.no_tcp(&out.namespace, "192.0.2.1:8080"));
    });
}

#[test]
fn what_was_destroyed_meanwhile_is_made_again() {
    lab(|lab| {
        let out = lab.outside("192.0.2.9", "2001:db8::9");
        let net = lab.network("one", |net| net.ipv6 = true);
        let (a, _) = lab.container(&net);
        lab.serve(&lab.namespace(&a), 80);
        publish(lab, &a, None, 8080);
        let stored = [store(lab, &a)];
        drop(lab.plane.take());
        // Somebody removes the bridge, the veth and the firewall.
        let mut routes = Connection::open(sys::netlink::Protocol::Route).unwrap();
        let mut batch = Batch::new();
        link::delete_by_name(&mut batch, &net.bridge_name);
        link::delete_by_name(&mut batch, stored[0].attachments[0].host_ifname.as_ref().unwrap());
        routes.perform(&batch).unwrap();
        restart(lab, vec![net.clone()], &stored);
        assert_eq!(lab.tcp(&out.namespace, "192.0.2.1:8080").unwrap(), "192.0.2.9");
        assert!(lab.tcp(&lab.host(), &v4(&stored[0].attachments[0], 80)).is_ok());
    });
}

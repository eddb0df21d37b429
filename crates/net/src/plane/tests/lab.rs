//! A host with a wire to the outside, servers and clients anywhere on it.

use std::{
    cell::Cell,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use super::super::*;
use crate::{
    config::{Family, Subnet},
    driver::{Driver, Interface},
    endpoint::EndpointConfig,
    nl::{Batch, address, link},
};

/// The address of the host on the wire.
pub const HOST_V4: &str = "192.0.2.1";
pub const HOST_V6: &str = "2001:db8::1";

pub struct Lab {
    pub plane: Option<NetworkPlane>,
    pub runtime: tokio::runtime::Runtime,
    pub visitor: Visitor,
    wire: (Host, NetworkConfig, Made),
    serial: Cell<u8>,
}

pub struct Outside {
    pub namespace: OwnedFd,
    pub routes: Connection,
    pub index: u32,
}

/// Runs a test on a host of its own.
pub fn lab(test: impl FnOnce(&mut Lab) + Send) {
    lab_with(PlaneConfig::default(), test);
}

pub fn lab_with(config: PlaneConfig, test: impl FnOnce(&mut Lab) + Send) {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| {
            sys::netns::unshare().unwrap();
            let mut lab = Lab::new(config);
            test(&mut lab);
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Lab {
    fn new(config: PlaneConfig) -> Self {
        let mut host = Host { routes: Connection::open(Protocol::Route).unwrap(), hairpin: false };
        let mut batch = Batch::new();
        link::set_up(&mut batch, 1, "lo");
        host.routes.perform(&batch).unwrap();
        // A new namespace inherits what somebody may have switched on in the machine's own.
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            crate::netns::write_setting(key, "0", crate::netns::Absent::Failure).unwrap();
        }
        // A bridge that the plane doesn't know is the wire.
        let subnet = |cidr: &str, gateway: &str| Subnet {
            gateway: Some(gateway.parse().unwrap()),
            ..Subnet::new(cidr.parse().unwrap())
        };
        let wire = NetworkConfig {
            bridge_name: "wire".into(),
            ipv6: true,
            internal: true,
            subnets: vec![subnet("192.0.2.0/24", HOST_V4), subnet("2001:db8::/64", HOST_V6)],
            ..NetworkConfig::default()
        };
        let made = crate::driver::Bridge.create(&mut host, &wire).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (plane, problems) =
            NetworkPlane::start(config, runtime.handle().clone(), Restored::default()).unwrap();
        assert!(problems.is_empty(), "{problems:?}");
        Self {
            plane: Some(plane),
            runtime,
            visitor: Visitor::default(),
            wire: (host, wire, made),
            serial: Cell::new(0),
        }
    }

    pub fn plane(&self) -> &NetworkPlane {
        self.plane.as_ref().unwrap()
    }

    fn next(&self) -> u8 {
        self.serial.set(self.serial.get() + 1);
        self.serial.get()
    }

    /// Another host on the wire. It knows no route to containers.
    pub fn outside(&mut self, v4: &str, v6: &str) -> Outside {
        let number = self.next();
        let mut fresh = self.plane().namespaces.take().unwrap();
        let (host, wire, made) = &mut self.wire;
        let name = format!("out{number}");
        let interface = Interface {
            name: "eth0",
            host_name: &name,
            mac: crate::Mac([2, 0, 0, 0, 0, number]),
            namespace: fresh.fd.as_fd(),
        };
        crate::driver::Bridge.connect(host, wire, made, &interface).unwrap();
        self.visitor
            .visit(fresh.fd.as_fd(), || {
                std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "0").unwrap();
            })
            .unwrap();
        let index = link::by_name(&mut fresh.routes, "eth0").unwrap().unwrap().index;
        let mut batch = Batch::new();
        address::add(&mut batch, index, format!("{v4}/24").parse().unwrap());
        address::add(&mut batch, index, format!("{v6}/64").parse().unwrap());
        link::set_up(&mut batch, index, "eth0");
        fresh.routes.perform(&batch).unwrap();
        Outside { namespace: fresh.fd, routes: fresh.routes, index }
    }

    /// A network with defaults, changed by `change`.
    pub fn network(&self, name: &str, change: impl FnOnce(&mut NetworkConfig)) -> NetworkConfig {
        let mut config = NetworkConfig {
            id: NetworkId::from_bytes([self.next(); 32]),
            name: name.parse().unwrap(),
            ..NetworkConfig::default()
        };
        change(&mut config);
        self.plane().create_network(config).unwrap()
    }

    pub fn sandbox(&self) -> ContainerId {
        let id = ContainerId::from_bytes([self.next(); 32]);
        self.plane().create_sandbox(&id, DnsConfig::default()).unwrap();
        id
    }

    /// A container on one network.
    pub fn container(&self, network: &NetworkConfig) -> (ContainerId, Attachment) {
        let id = self.sandbox();
        let attachment = self.plane().attach(&id, &network.id, &EndpointConfig::default()).unwrap();
        (id, attachment)
    }

    /// A TCP and UDP server in a namespace that tells each client the client's address.
    pub fn serve(&self, namespace: &OwnedFd, port: u16) {
        self.serve_at(namespace, "0.0.0.0", port);
        self.serve_at(namespace, "::", port);
    }

    pub fn serve_at(&self, namespace: &OwnedFd, addr: &str, port: u16) {
        let addr: IpAddr = addr.parse().unwrap();
        let at = SocketAddr::new(addr, port);
        let bind = move |transport| {
            sys::socket::bound(transport, at, sys::socket::Reuse::TimeWait).unwrap()
        };
        let (tcp, udp) = self
            .visitor
            .visit(namespace.as_fd(), move || {
                (bind(sys::socket::Transport::Tcp), bind(sys::socket::Transport::Udp))
            })
            .unwrap();
        sys::socket::listen(&tcp, 16).unwrap();
        let (tcp, udp) = (TcpListener::from(tcp), UdpSocket::from(udp));
        tcp.set_nonblocking(false).unwrap();
        udp.set_nonblocking(false).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut client, peer)) = tcp.accept() {
                if client.write_all(peer.ip().to_string().as_bytes()).is_err() {
                    continue;
                }
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                if udp.send_to(peer.ip().to_string().as_bytes(), peer).is_err() {
                    return;
                }
            }
        });
    }

    /// Connects from a namespace; the answer is the address that the server saw.
    pub fn tcp(&self, from: &OwnedFd, to: &str) -> io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.visitor.visit(from.as_fd(), move || tcp_here(to, PATIENCE)).unwrap()
    }

    pub fn udp(&self, from: &OwnedFd, to: &str) -> io::Result<String> {
        let to: SocketAddr = to.parse().unwrap();
        self.visitor.visit(from.as_fd(), move || udp_here(to, PATIENCE)).unwrap()
    }

    /// True when a connection fails or gets no answer.
    pub fn no_tcp(&self, from: &OwnedFd, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.visitor.visit(from.as_fd(), move || tcp_here(to, SILENCE)).unwrap().is_err()
    }

    pub fn no_udp(&self, from: &OwnedFd, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        self.visitor.visit(from.as_fd(), move || udp_here(to, SILENCE)).unwrap().is_err()
    }

    pub fn namespace(&self, container: &ContainerId) -> OwnedFd {
        self.plane().namespace(container).unwrap()
    }

    /// The host's own namespace.
    pub fn host(&self) -> OwnedFd {
        sys::netns::current().unwrap()
    }
}

/// How long an answer may take: a machine under load, a first packet lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long silence must last to count as one.
const SILENCE: Duration = Duration::from_millis(300);

fn tcp_here(to: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    if text.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(text) }
}

fn udp_here(to: SocketAddr, timeout: Duration) -> io::Result<String> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any.parse::<SocketAddr>().unwrap())?;
    socket.set_read_timeout(Some(timeout))?;
    socket.connect(to)?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The address of an attachment without its prefix.
pub fn addr(attachment: &Attachment, family: Family) -> IpAddr {
    let cidr = match family {
        Family::V4 => attachment.ipv4,
        Family::V6 => attachment.ipv6,
    };
    cidr.unwrap().addr()
}

pub fn v4(attachment: &Attachment, port: u16) -> String {
    SocketAddr::new(addr(attachment, Family::V4), port).to_string()
}

pub fn v6(attachment: &Attachment, port: u16) -> String {
    SocketAddr::new(addr(attachment, Family::V6), port).to_string()
}

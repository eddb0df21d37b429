//! Host ports that are ours: a bound socket each, so that nobody else gets them and a busy port is
//! refused before the container starts.
//!
//! Long runs hold no sockets: each costs about 2.5 KiB of kernel memory. Their ports are tried
//! once and then only kept in the table.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::OnceLock,
};

use model::port::{PortBinding, Protocol};
use sys::socket::{Reuse, Transport};

use super::runs::Run;
use crate::error::{Error, Result};

/// Most ports of one container that hold a socket.
const SOCKETS_MAX: usize = 512;

/// One reserved host port.
#[derive(Debug)]
pub struct Reservation {
    /// Which port, leading where.
    pub run: Run,
    /// The bound socket; `None`: a long run, or a transport without sockets here.
    pub socket: Option<OwnedFd>,
}

/// All host ports of this engine.
#[derive(Debug, Default)]
pub struct PortTable {
    taken: HashMap<(Protocol, u16), Vec<IpAddr>>,
    /// Where the search for a random port goes on.
    next: u16,
}

/// Addresses of one binding: host addresses that must all have the same port.
struct Wish<'a> {
    binding: &'a PortBinding,
    hosts: Vec<IpAddr>,
}

impl PortTable {
    /// Reserves a host port for every binding, or none. `default_host`: for bindings that name no
    /// address; `None`: all addresses of both families.
    pub fn reserve(
        &mut self,
        bindings: &[PortBinding],
        default_host: Option<IpAddr>,
    ) -> Result<Vec<Reservation>> {
        let holds = bindings.len() <= SOCKETS_MAX;
        let mut reservations: Vec<Reservation> = Vec::new();
        for binding in bindings {
            let hosts = match binding.host_ip.or(default_host) {
                Some(host) => vec![host],
                None => vec![[0, 0, 0, 0].into(), IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)],
            };
            match self.reserve_one(&Wish { binding, hosts }, holds) {
                Ok(made) => reservations.extend(made),
                Err(error) => {
                    self.release(&reservations);
                    return Err(error);
                }
            }
        }
        Ok(reservations)
    }

    /// Takes exactly these ports (after a restart).
    pub fn reserve_again(&mut self, run: Run) -> Result<Vec<Reservation>> {
        let holds = usize::from(run.count) <= SOCKETS_MAX;
        let mut reservations = Vec::new();
        for offset in 0..run.count {
            let single = Run {
                host_port: run.host_port + offset,
                container_port: run.container_port + offset,
                count: 1,
                ..run
            };
            match self.take(single, holds) {
                Ok(made) => reservations.extend(made),
                Err(error) => {
                    self.release(&reservations);
                    return Err(error);
                }
            }
        }
        Ok(reservations)
    }

    /// Gives ports back. Their sockets close when the reservations are dropped.
    pub fn release(&mut self, reservations: &[Reservation]) {
        for Reservation { run, .. } in reservations {
            for offset in 0..run.count {
                let key = (run.protocol, run.host_port + offset);
                if let Some(hosts) = self.taken.get_mut(&key) {
                    hosts.retain(|host| *host != run.host);
                    if hosts.is_empty() {
                        self.taken.remove(&key);
                    }
                }
            }
        }
    }

    fn reserve_one(&mut self, wish: &Wish<'_>, holds: bool) -> Result<Vec<Reservation>> {
        match wish.binding.host_ports {
            Some((first, last)) if first == last && first != 0 => self.try_port(wish, first, holds),
            Some((first, last)) if first != 0 => self.search(wish, first, last, first, holds),
            _ => {
                let (first, last) = ephemeral_range();
                let start = if (first..=last).contains(&self.next) { self.next } else { first };
                let made = self.search(wish, first, last, start, holds)?;
                let used = made.first().map_or(first, |reservation| reservation.run.host_port);
                self.next = used.wrapping_add(1);
                Ok(made)
            }
        }
    }

    /// The first free port from `start` on, going round.
    fn search(
        &mut self,
        wish: &Wish<'_>,
        first: u16,
        last: u16,
        start: u16,
        holds: bool,
    ) -> Result<Vec<Reservation>> {
        for port in (start..=last).chain(first..start) {
            match self.try_port(wish, port, holds) {
                Err(Error::PortBusy { .. }) => {}
                other => return other,
            }
        }
        Err(Error::NoFreePort { protocol: wish.binding.container.protocol, first, last })
    }

    fn try_port(&mut self, wish: &Wish<'_>, port: u16, holds: bool) -> Result<Vec<Reservation>> {
        let mut made = Vec::new();
        for &host in &wish.hosts {
            let container = wish.binding.container;
            let run = Run {
                host,
                protocol: container.protocol,
                host_port: port,
                container_port: container.port,
                count: 1,
            };
            match self.take(run, holds) {
                Ok(reservation) => made.extend(reservation),
                // Nobody asked for IPv6 by name: a host without it publishes on IPv4 alone.
                Err(Error::PortBind { source, .. })
                    if wish.hosts.len() > 1 && host.is_ipv6() && is_family_absent(&source) => {}
                Err(error) => {
                    self.release(&made);
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    fn take(&mut self, run: Run, holds: bool) -> Result<Option<Reservation>> {
        let host = SocketAddr::new(run.host, run.host_port);
        let busy = Error::PortBusy { host, protocol: run.protocol };
        let same = self.taken.get(&(run.protocol, run.host_port));
        let overlaps = |other: &IpAddr| {
            other.is_ipv4() == run.host.is_ipv4()
                && (*other == run.host || other.is_unspecified() || run.host.is_unspecified())
        };
        if same.is_some_and(|hosts| hosts.iter().any(overlaps)) {
            return Err(busy);
        }
        let socket = match bind(run.protocol, host) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(busy),
            Err(source) => return Err(Error::PortBind { host, protocol: run.protocol, source }),
        };
        self.taken.entry((run.protocol, run.host_port)).or_default().push(run.host);
        Ok(Some(Reservation { run, socket: socket.filter(|_| holds) }))
    }
}

/// Binds without listening: strangers get a reset, as from a closed port. Only where dying
/// connections of an earlier listener are in the way, takes over from them, which is exclusive
/// only while it listens.
fn bind(protocol: Protocol, host: SocketAddr) -> io::Result<Option<OwnedFd>> {
    let transport = match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp,
    };
    match sys::socket::bound(transport, host, Reuse::Exclusive) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if protocol == Protocol::Tcp && error.kind() == io::ErrorKind::AddrInUse => {
            let socket = sys::socket::bound(transport, host, Reuse::TimeWait)?;
            sys::socket::listen(&socket, 128)?;
            Ok(Some(socket))
        }
        // Translation works without the host speaking the protocol itself.
        Err(error)
            if protocol == Protocol::Sctp
                && matches!(
                    error.raw_os_error(),
                    Some(libc::EPROTONOSUPPORT | libc::ESOCKTNOSUPPORT)
                ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_family_absent(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// First and last port for those who don't care (ip(7), `ip_local_port_range`).
fn ephemeral_range() -> (u16, u16) {
    static RANGE: OnceLock<(u16, u16)> = OnceLock::new();
    *RANGE.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let text = text.unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map(str::parse::<u16>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(last))) if first > 0 && first <= last => (first, last),
            _ => (32768, 60999),
        }
    })
}

#[cfg(test)]
mod tests {
    use model::port::ContainerPort;

    use super::*;

    fn binding(host: Option<&str>, ports: Option<(u16, u16)>) -> PortBinding {
        PortBinding {
            container: ContainerPort { port: 80, protocol: Protocol::Tcp },
            host_ip: host.map(|host| host.parse().unwrap()),
            host_ports: ports,
        }
    }

    fn isolated(test: impl FnOnce() + Send) {
        std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                sys::netns::unshare().unwrap();
                let mut conn = crate::nl::Connection::open(sys::netlink::Protocol::Route).unwrap();
                let mut batch = crate::nl::Batch::new();
                crate::nl::link::set_up(&mut batch, 1, "lo");
                conn.perform(&batch).unwrap();
                test();
            });
            run.join().unwrap();
        });
    }

    #[test]
    fn a_busy_port_is_refused_in_dockers_words() {
        isolated(|| {
            let squatter = std::net::TcpListener::bind("0.0.0.0:8080").unwrap();
            let mut table = PortTable::default();
            let wish = [binding(None, Some((8081, 8081))), binding(None, Some((8080, 8080)))];
            let error = table.reserve(&wish, None).unwrap_err();
            assert_eq!(
                error.to_string(),
                "failed to bind host port 0.0.0.0:8080/tcp: address already in use"
            );
            drop(squatter);
            // The failure left nothing behind, not even the first binding.
            let held = table.reserve(&wish, None).unwrap();
            assert_eq!(held.len(), 4);
            assert!(std::net::TcpListener::bind("127.0.0.1:8080").is_err());
            assert!(
                table.reserve(&[binding(Some("127.0.0.1"), Some((8080, 8080)))], None).is_err()
            );
            table.release(&held);
            drop(held);
            table.reserve(&[binding(Some("127.0.0.1"), Some((8080, 8080)))], None).unwrap();
        });
    }

    #[test]
    fn random_ports_are_ephemeral_and_ranges_give_their_first_free() {
        isolated(|| {
            let mut table = PortTable::default();
            let random = table.reserve(&[binding(None, None), binding(None, None)], None).unwrap();
            let ports: Vec<u16> = random.iter().map(|r| r.run.host_port).collect();
            assert!(ports.iter().all(|port| (32768..=60999).contains(port)), "{ports:?}");
            assert_eq!(ports[0], ports[1], "both families have the same port");
            assert_ne!(ports[1], ports[2]);
            let range = binding(Some("127.0.0.1"), Some((9000, 9001)));
            let held = table.reserve(&[range.clone(), range.clone()], None).unwrap();
            assert_eq!([held[0].run.host_port, held[1].run.host_port], [9000, 9001]);
            assert!(matches!(table.reserve(&[range], None), Err(Error::NoFreePort { .. })));
        });
    }

    #[test]
    fn dying_connections_are_no_obstacle() {
        isolated(|| {
            let listener = std::net::TcpListener::bind("127.0.0.1:7070").unwrap();
            let client = std::net::TcpStream::connect_timeout(
                &"127.0.0.1:7070".parse().unwrap(),
                std::time::Duration::from_secs(1),
            );
            let (server, _) = listener.accept().unwrap();
            drop(server); // The side that closes first keeps TIME_WAIT.
            drop(client);
            drop(listener);
            let mut table = PortTable::default();
            table.reserve(&[binding(None, Some((7070, 7070)))], None).unwrap();
        });
    }
}

//! Internet sockets bound just so (socket(7), ip(7), ipv6(7)), where the standard library decides
//! options by itself.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, ipproto, sockopt};

/// Transport of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP; `EPROTONOSUPPORT` where the kernel has none.
    Sctp,
}

/// Whether an address may be taken over from connections that are just dying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// No `SO_REUSEADDR`: nobody else can bind the address while this socket lives.
    Exclusive,
    /// `SO_REUSEADDR`: connections in TIME_WAIT don't matter; exclusive once it listens.
    TimeWait,
}

/// A bound socket, close-on-exec and non-blocking; IPv6 sockets never take IPv4.
///
/// # Errors
/// As socket(2) and bind(2); `EADDRINUSE`, `EADDRNOTAVAIL`.
pub fn bound(transport: Transport, addr: SocketAddr, reuse: Reuse) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, protocol): (SocketType, Option<Protocol>) = match transport {
        Transport::Tcp => (SocketType::STREAM, Some(ipproto::TCP)),
        Transport::Udp => (SocketType::DGRAM, Some(ipproto::UDP)),
        Transport::Sctp => (SocketType::STREAM, Some(ipproto::SCTP)),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, kind, flags, protocol)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    if reuse == Reuse::TimeWait {
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    rustix::net::bind(&fd, &addr)?;
    Ok(fd)
}

/// A non-blocking TCP socket that has begun to connect: writable when it is done.
///
/// # Errors
/// As socket(2) and connect(2), but for `EINPROGRESS`.
pub fn connecting(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match rustix::net::connect(&fd, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}

/// Starts listening on a bound TCP socket. Its connections, dying, won't keep the next
/// `Reuse::TimeWait` socket from the address; while it listens, it is exclusive.
///
/// # Errors
/// As listen(2); `EADDRINUSE`: another socket listens on the same port.
pub fn listen(fd: &OwnedFd, backlog: i32) -> io::Result<()> {
    sockopt::set_socket_reuseaddr(fd, true)?;
    Ok(rustix::net::listen(fd, backlog)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused() {
        let first =
            bound(Transport::Tcp, "127.0.0.1:0".parse().unwrap(), Reuse::Exclusive).unwrap();
        let addr: SocketAddr =
            rustix::net::getsockname(&first).unwrap().try_into().expect("an internet address");
        for reuse in [Reuse::Exclusive, Reuse::TimeWait] {
            let error = bound(Transport::Tcp, addr, reuse).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
        drop(first);
        listen(&bound(Transport::Tcp, addr, Reuse::TimeWait).unwrap(), 1).unwrap();
    }
}

//! Netlink sockets (netlink(7)): open, send whole buffers, receive datagrams.
//!
//! Owns no message format: callers encode and decode.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// Which part of the kernel the socket talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Links, addresses, routes: rtnetlink(7).
    Route,
    /// nftables and connection tracking (`linux/netfilter/nfnetlink.h`).
    Netfilter,
}

/// A netlink socket of the network namespace that its maker was in. It keeps that namespace alive.
#[derive(Debug)]
pub struct Netlink {
    fd: OwnedFd,
}

impl Netlink {
    /// Opens a socket, close-on-exec, subscribed to the multicast `groups` (bit n-1 is group n),
    /// with extended acknowledgements and large buffers.
    ///
    /// # Errors
    /// As socket(2), bind(2) and setsockopt(2).
    pub fn open(protocol: Protocol, groups: u32) -> io::Result<Self> {
        let protocol = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )?;
        set_flag(fd.as_fd(), libc::NETLINK_EXT_ACK)?;
        set_flag(fd.as_fd(), libc::NETLINK_CAP_ACK)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { fd })
    }

    /// Makes room for `bytes` of outgoing and incoming messages, beyond the system's limit when
    /// the process may (`CAP_NET_ADMIN`).
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn reserve(&self, bytes: usize) -> io::Result<()> {
        if sockopt::set_socket_send_buffer_size_force(&self.fd, bytes).is_err() {
            sockopt::set_socket_send_buffer_size(&self.fd, bytes)?;
        }
        if sockopt::set_socket_recv_buffer_size_force(&self.fd, bytes).is_err() {
            sockopt::set_socket_recv_buffer_size(&self.fd, bytes)?;
        }
        Ok(())
    }

    /// Receives give up with `EAGAIN` after this long; `None`: never.
    ///
    /// # Errors
    /// As setsockopt(2).
    pub fn set_receive_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(&self.fd, sockopt::Timeout::Recv, timeout)?)
    }

    /// Sends one buffer of messages to the kernel; the kernel handles all of them before this returns.
    ///
    /// # Errors
    /// As send(2); `EMSGSIZE` and `ENOBUFS`: the buffer is larger than the socket's.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        let sent = rustix::net::send(&self.fd, messages, SendFlags::empty())?;
        if sent == messages.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Receives one datagram of messages. Retries when interrupted.
    ///
    /// # Errors
    /// As recv(2); `ENOBUFS`: events were lost; `EMSGSIZE`: `buffer` is too small.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive_with(buffer, RecvFlags::empty())
    }

    /// Receives one datagram if one is there; `None`: there is none.
    ///
    /// # Errors
    /// As `receive`.
    pub fn try_receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.receive_with(buffer, RecvFlags::DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            other => other.map(Some),
        }
    }

    /// The socket's address: events that it caused itself bear it.
    ///
    /// # Errors
    /// As getsockname(2).
    pub fn port_id(&self) -> io::Result<u32> {
        let addr = rustix::net::getsockname(&self.fd)?;
        Ok(SocketAddrNetlink::try_from(addr)?.pid())
    }

    fn receive_with(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        loop {
            match rustix::net::recv(&self.fd, &mut *buffer, flags | RecvFlags::TRUNC) {
                // With MSG_TRUNC the second number is the datagram's true length.
                Ok((kept, length)) if kept == length => return Ok(kept),
                Ok(_) => return Err(rustix::io::Errno::MSGSIZE.into()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn set_flag(fd: BorrowedFd<'_>, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `fd` is open for the call, the value is a valid int and its length is given.
    let rc = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let socket = Netlink::open(Protocol::Route, 0).unwrap();
        // nlmsghdr { len 32, RTM_GETLINK, REQUEST | ACK, seq 7 } and an ifinfomsg for index 1 (lo).
        let mut message = Vec::new();
        message.extend_from_slice(&32u32.to_ne_bytes());
        message.extend_from_slice(&18u16.to_ne_bytes());
        message.extend_from_slice(&5u16.to_ne_bytes());
        message.extend_from_slice(&7u32.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&1i32.to_ne_bytes());
        message.extend_from_slice(&[0; 8]);
        socket.send(&message).unwrap();
        let mut buffer = vec![0; 65536];
        let length = socket.receive(&mut buffer).unwrap();
        assert_ne!(socket.port_id().unwrap(), 0);
        assert!(length > 32);
        assert_eq!(u32::from_ne_bytes(buffer[8..12].try_into().unwrap()), 7);
    }

    #[test]
    fn a_datagram_too_long_is_an_error_and_silence_times_out() {
        let socket = Netlink::open(Protocol::Netfilter, 1 << 6).unwrap();
        socket.reserve(1 << 20).unwrap();
        socket.set_receive_timeout(Some(Duration::from_millis(10))).unwrap();
        assert_eq!(socket.try_receive(&mut [0; 64]).unwrap(), None);
        let error = socket.receive(&mut [0; 64]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}

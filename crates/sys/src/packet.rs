//! Unix `SOCK_SEQPACKET` sockets that carry messages with file descriptors: unix(7).
//!
//! Owns addressing, credentials and the ancillary data. Doesn't know what is in a message.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

/// Most fds in one message (`SCM_MAX_FD`, unix(7)).
pub const FD_LIMIT: usize = 253;

/// A received message.
#[derive(Debug, Default)]
pub struct Packet {
    /// Length of the message in the caller's buffer.
    pub len: usize,
    /// The fds that came along, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

fn seqpacket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Listens at `path`, readable and writable by the owner only, without blocking in [`accept`].
///
/// The socket appears under its name only when it already listens: a client either finds nothing or is served.
///
/// # Errors
/// socket(2), bind(2), chmod(2), listen(2), rename(2).
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    let fd = seqpacket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let staging = path.with_extension("new");
    match rustix::fs::unlink(&staging) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    rustix::net::bind(&fd, &SocketAddrUnix::new(&staging)?)?;
    rustix::fs::chmod(&staging, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    rustix::net::listen(&fd, 64)?;
    rustix::fs::rename(&staging, path)?;
    Ok(fd)
}

/// Takes the next client; `None` when nobody waits. The new socket doesn't block.
///
/// # Errors
/// accept4(2).
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Connects to the listener at `path`; the socket doesn't block afterwards.
///
/// # Errors
/// socket(2), connect(2): `ENOENT` or `ECONNREFUSED` when nobody listens.
pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let fd = seqpacket(SocketFlags::CLOEXEC)?;
    rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    Ok(fd)
}

/// Two connected sockets that don't block.
///
/// # Errors
/// socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Two connected byte-stream sockets that don't block, for terminals and attaches.
///
/// # Errors
/// socketpair(2).
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Effective user id of the process that connected (`SO_PEERCRED`, taken at connect time).
///
/// # Errors
/// getsockopt(2).
pub fn peer_uid(socket: impl AsFd) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

/// Whether the process that connected has the caller's effective user id.
///
/// # Errors
/// getsockopt(2).
pub fn is_same_user(socket: impl AsFd) -> io::Result<bool> {
    Ok(peer_uid(socket)? == rustix::process::geteuid().as_raw())
}

/// Sends one message; `false` when the socket is full.
///
/// # Errors
/// sendmsg(2): `EPIPE` or `ECONNRESET` when the peer is gone, `EMSGSIZE`, `EINVAL` for more than [`FD_LIMIT`] fds.
pub fn send(socket: impl AsFd, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let mut space;
    let mut small = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = if fds.len() <= 8 {
        SendAncillaryBuffer::new(&mut small)
    } else {
        space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(fds).size()];
        SendAncillaryBuffer::new(&mut space)
    };
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL.into());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(&socket, &[io::IoSlice::new(message)], &mut control, flags) {
            Ok(_) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Receives one message into `buffer`; `None` when there is none yet. A length of 0 without fds is the end.
///
/// # Errors
/// recvmsg(2). `EMSGSIZE` when the message or its fds were cut short: what arrived is dropped.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<Packet>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FD_LIMIT))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = loop {
        match rustix::net::recvmsg(&socket, &mut [io::IoSliceMut::new(buffer)], &mut control, flags)
        {
            Ok(received) => break received,
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Errno::MSGSIZE.into());
    }
    Ok(Some(Packet { len: received.bytes, fds }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_bounds_and_its_fds() {
        let (a, b) = pair().unwrap();
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert!(send(&a, b"one", &[read.as_fd(), a.as_fd()]).unwrap());
        assert!(send(&a, b"two", &[]).unwrap());
        let mut buffer = [0; 16];
        let first = receive(&b, &mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..first.len], first.fds.len()), (&b"one"[..], 2));
        let second = receive(&b, &mut buffer).unwrap().unwrap();
        assert_eq!((&buffer[..second.len], second.fds.len()), (&b"two"[..], 0));
        assert!(receive(&b, &mut buffer).unwrap().is_none());
        drop((a, first));
        assert_eq!(receive(&b, &mut buffer).unwrap().unwrap().len, 0);
    }

    #[test]
    fn as_many_fds_as_the_kernel_takes() {
        let (a, b) = pair().unwrap();
        assert!(send(&a, b"x", &[a.as_fd(); FD_LIMIT]).unwrap());
        assert_eq!(receive(&b, &mut [0; 4]).unwrap().unwrap().fds.len(), FD_LIMIT);
        assert!(send(&a, b"x", &[a.as_fd(); FD_LIMIT + 1]).is_err());
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused() {
        let (a, b) = pair().unwrap();
        assert!(send(&a, b"long", &[]).unwrap());
        assert!(receive(&b, &mut [0; 2]).is_err());
    }

    #[test]
    fn the_socket_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listener = listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let client = connect(&path).unwrap();
        let server = accept(&listener).unwrap().unwrap();
        assert!(is_same_user(&server).unwrap());
        assert!(accept(&listener).unwrap().is_none());
        drop(client);
    }
}

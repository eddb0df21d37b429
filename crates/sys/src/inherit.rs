//! Sockets that a service manager opened for us (sd_listen_fds(3)).

use std::io;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd};

use rustix::io::FdFlags;
use rustix::net::AddressFamily;

/// The first descriptor of socket activation, `SD_LISTEN_FDS_START`.
const FIRST: u32 = 3;

/// Takes the `count` descriptors from 3 on over, close-on-exec. Call it at most once, early: a
/// later open may have got one of the numbers.
///
/// # Errors
/// `EBADF` when one of them isn't open.
pub fn sockets(count: u32) -> io::Result<Vec<OwnedFd>> {
    let mut out = Vec::new();
    for number in FIRST..FIRST.saturating_add(count) {
        let number = i32::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the service manager opened these numbers for this process, and nothing else of
        // the process owns them; fcntl below refuses one that isn't open.
        let fd = unsafe { OwnedFd::from_raw_fd(number) };
        if let Err(error) = rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC) {
            // It isn't ours to close.
            std::mem::forget(fd);
            return Err(error.into());
        }
        out.push(fd);
    }
    Ok(out)
}

/// Whether a socket is of the unix family.
///
/// # Errors
/// As getsockname(2): `ENOTSOCK`.
pub fn is_unix(fd: impl AsFd) -> io::Result<bool> {
    Ok(rustix::net::getsockname(fd)?.address_family() == AddressFamily::UNIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_told_apart() {
        let (pair, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(is_unix(&pair).unwrap());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!is_unix(&tcp).unwrap());
    }
}

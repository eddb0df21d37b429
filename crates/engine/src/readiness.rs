//! Waiting for file descriptors to become readable.

use std::{io, os::fd::AsRawFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers an owned descriptor with the runtime.
///
/// tokio's safe constructor is deprecated because a type could give another number each time it
/// is asked for its descriptor; the types that come here own one, and the new constructor needs
/// `unsafe`.
#[allow(deprecated)]
pub fn readable<T: AsRawFd>(owner: T) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(owner, Interest::READABLE)
}

//! The name server of containers: at 127.0.0.11, ports 53 UDP and TCP, inside each namespace.
//!
//! A query is answered from the table of names (`names`, `answer`: pure), from the cache, or by an
//! upstream server (`upstream`). The sockets are made inside the namespace and served from the
//! engine's runtime, so they survive nothing: after a restart of the engine they are made again.
//! Owns no resolv.conf (`files`).
//!
//! Upstream servers of the host are asked from the host's namespace, where its loopback servers
//! can be reached; those of `--dns` from the container's, where its routes and policies apply.

mod answer;
mod cache;
mod names;
mod redirect;
mod server;
mod upstream;

use std::{
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, RwLock},
};

use model::{ContainerId, NetworkId};
use tokio::runtime::Handle;

pub use names::{Endpoint, Names};
pub use redirect::divert;
pub use server::{Server, open_sockets};

use self::upstream::Upstream;

/// Names, cache and upstream servers of one engine.
#[derive(Debug)]
pub struct NameService {
    names: RwLock<Names>,
    upstream: Upstream,
    runtime: Handle,
}

/// What one container may see, changed while its server runs.
#[derive(Debug)]
pub struct View {
    /// Whose.
    pub container: ContainerId,
    /// Its namespace.
    pub namespace: OwnedFd,
    /// `--dns`; empty: the host's.
    pub servers: Vec<IpAddr>,
    /// Changes with its connections.
    pub reach: Mutex<Reach>,
}

/// How far a container's queries go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Its networks with a name service, in order of connection.
    pub networks: Vec<NetworkId>,
    /// A query for a name outside may leave: false when all its networks are internal.
    pub outside: bool,
}

impl NameService {
    /// A service without names. Queries to the host's servers are sent from the namespace of the
    /// runtime's threads.
    pub fn new(runtime: Handle) -> Arc<Self> {
        Arc::new(Self { names: RwLock::default(), upstream: Upstream::new(), runtime })
    }

    /// Reads the table.
    pub fn read<T>(&self, read: impl FnOnce(&Names) -> T) -> T {
        read(&self.names.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    #[cfg(test)]
    pub fn set_host_servers(&self, servers: Vec<IpAddr>) {
        self.upstream.set_host_servers(servers);
    }

    /// Changes the table.
    pub fn write<T>(&self, write: impl FnOnce(&mut Names) -> T) -> T {
        write(&mut self.names.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

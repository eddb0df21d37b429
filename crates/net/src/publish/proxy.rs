//! Carries connections to a published port where the kernel can't translate.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use model::port::Protocol;
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::Handle,
};

use crate::{netns::lock, serving::Serving};

/// A silent UDP peer is forgotten after this long (as the kernel's translation of UDP streams).
const UDP_IDLE: Duration = Duration::from_secs(120);
/// Most UDP peers per port.
const UDP_PEERS_MAX: usize = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running proxy; dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Proxy {
    _serving: Serving,
}

impl Proxy {
    /// Serves a bound socket. SCTP is not carried: `None`.
    pub fn start(
        socket: OwnedFd,
        protocol: Protocol,
        target: SocketAddr,
        runtime: &Handle,
    ) -> io::Result<Option<Self>> {
        let _entered = runtime.enter();
        let serving = match protocol {
            Protocol::Tcp => {
                sys::socket::listen(&socket, 1024)?;
                Serving::spawn(runtime, serve_tcp(TcpListener::from_std(socket.into())?, target))
            }
            Protocol::Udp => {
                let socket = Arc::new(UdpSocket::from_std(socket.into())?);
                Serving::spawn(runtime, serve_udp(socket, target))
            }
            Protocol::Sctp => return Ok(None),
        };
        Ok(Some(Self { _serving: serving }))
    }
}

async fn serve_tcp(listener: TcpListener, target: SocketAddr) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(carry(client, target));
                }
                // Out of descriptors: wait for some to come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Copies both ways; a closed half is passed on.
async fn carry(mut client: TcpStream, target: SocketAddr) {
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
    if let Ok(Ok(mut server)) = connected {
        // What ends a connection is between its two ends.
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

type Peers = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

async fn serve_udp(socket: Arc<UdpSocket>, target: SocketAddr) {
    let peers: Peers = Arc::default();
    let mut answers = tokio::task::JoinSet::new();
    let mut buffer = vec![0; 65536];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let Ok((length, peer)) = received else { continue };
                let known = lock(&peers).get(&peer).cloned();
                let upstream = match known {
                    Some(upstream) => upstream,
                    None => {
                        let Some(upstream) = open_peer(&peers, peer, target).await else { continue };
                        answers.spawn(answer(Arc::clone(&socket), Arc::clone(&upstream), peer, Arc::clone(&peers)));
                        upstream
                    }
                };
                // A lost datagram is UDP's ordinary fate.
                let _ = upstream.send(&buffer[..length]).await;
            }
            Some(_) = answers.join_next() => {}
        }
    }
}

async fn open_peer(peers: &Peers, peer: SocketAddr, target: SocketAddr) -> Option<Arc<UdpSocket>> {
    if lock(peers).len() >= UDP_PEERS_MAX {
        return None;
    }
    let any: IpAddr = match target {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let upstream = UdpSocket::bind(SocketAddr::new(any, 0)).await.ok()?;
    upstream.connect(target).await.ok()?;
    let upstream = Arc::new(upstream);
    lock(peers).insert(peer, Arc::clone(&upstream));
    Some(upstream)
}

async fn answer(socket: Arc<UdpSocket>, upstream: Arc<UdpSocket>, peer: SocketAddr, peers: Peers) {
    let mut buffer = vec![0; 65536];
    while let Ok(received) = tokio::time::timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        // A refusal by the container's port is an error here; the peer may try again.
        if let Ok(length) = received {
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    }
    lock(&peers).remove(&peer);
}

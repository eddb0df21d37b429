//! The sockets of one container's name server and the tasks that serve them.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    sync::Arc,
    time::Duration,
};

use hickory_proto::op::Message;
use sys::socket::{Reuse, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    NameService, View,
    answer::{self, Outcome},
    upstream::Way,
};
use crate::{netns::lock, serving::Serving};

/// Most TCP connections of one container at a time.
const CONNECTIONS_MAX: usize = 64;
/// Most queries of one container that wait for an upstream server.
const WAITING_MAX: usize = 256;
/// A connection without queries is closed after this long.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Largest query over UDP: nobody asks longer.
const QUERY_MAX: usize = 4096;

/// The sockets, bound inside a container's namespace.
#[derive(Debug)]
pub struct Sockets {
    udp: OwnedFd,
    tcp: OwnedFd,
    /// Where they are bound.
    pub addr: SocketAddr,
    /// Where the TCP one is bound.
    pub tcp_addr: SocketAddr,
}

/// Binds the sockets in the namespace of the calling thread. `port` 53, or 0 for any.
pub fn open_sockets(port: u16) -> io::Result<Sockets> {
    let addr = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 11).into(), port);
    let udp = sys::socket::bound(Transport::Udp, addr, Reuse::Exclusive)?;
    let tcp = sys::socket::bound(Transport::Tcp, addr, Reuse::TimeWait)?;
    sys::socket::listen(&tcp, 64)?;
    let addr = std::net::UdpSocket::from(udp.try_clone()?).local_addr()?;
    let tcp_addr = std::net::TcpListener::from(tcp.try_clone()?).local_addr()?;
    Ok(Sockets { udp, tcp, addr, tcp_addr })
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// What the container may see; may be changed at any time.
    pub view: Arc<View>,
    service: Arc<NameService>,
    _serving: [Serving; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        self.service.upstream.forget(&self.view);
    }
}

impl Server {
    /// Serves a container.
    pub fn start(service: &Arc<NameService>, sockets: Sockets, view: View) -> io::Result<Self> {
        let _entered = service.runtime.enter();
        let udp = Arc::new(UdpSocket::from_std(sockets.udp.into())?);
        let tcp = TcpListener::from_std(sockets.tcp.into())?;
        let view = Arc::new(view);
        let runtime = &service.runtime;
        let serving = [
            Serving::spawn(runtime, serve_udp(udp, Arc::clone(service), Arc::clone(&view))),
            Serving::spawn(runtime, serve_tcp(tcp, Arc::clone(service), Arc::clone(&view))),
        ];
        Ok(Self { view, service: Arc::clone(service), _serving: serving })
    }
}

fn consult(packet: &[u8], service: &NameService, view: &View) -> Outcome {
    let reach = lock(&view.reach).clone();
    service.read(|names| answer::answer(packet, &view.container, &reach, names))
}

async fn serve_udp(socket: Arc<UdpSocket>, service: Arc<NameService>, view: Arc<View>) {
    let mut buffer = vec![0; QUERY_MAX];
    let mut waiting = JoinSet::new();
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = waiting.join_next() => continue,
        };
        let Ok((length, client)) = received else { continue };
        match consult(&buffer[..length], &service, &view) {
            Outcome::Ignore => {}
            Outcome::Answer(message) => {
                let max = Message::from_vec(&buffer[..length]).map_or(512, |q| answer::udp_max(&q));
                if let Some(bytes) = answer::encode(&message, Some(max)) {
                    // A client that is gone needs no answer.
                    let _ = socket.send_to(&bytes, client).await;
                }
            }
            // Beyond the limit queries are dropped: clients ask again.
            Outcome::Forward(_) if waiting.len() >= WAITING_MAX => {}
            Outcome::Forward(query) => {
                let (socket, service, view) = (socket.clone(), service.clone(), view.clone());
                waiting.spawn(async move {
                    let message = service.upstream.ask(&query, &view, Way::Udp).await;
                    if let Some(bytes) = answer::encode(&message, Some(answer::udp_max(&query))) {
                        // As above.
                        let _ = socket.send_to(&bytes, client).await;
                    }
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, service: Arc<NameService>, view: Arc<View>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // No slot: the connection is closed at once.
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
                    let (service, view) = (service.clone(), view.clone());
                    connections.spawn(async move {
                        // How a connection ends is its client's business.
                        let _ = serve_connection(stream, &service, &view).await;
                        drop(slot);
                    });
                }
                // Out of descriptors: wait for some to come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(
    mut stream: TcpStream,
    service: &NameService,
    view: &View,
) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut packet = vec![0; usize::from(length)];
        tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut packet)).await??;
        let message = match consult(&packet, service, view) {
            Outcome::Ignore => return Ok(()),
            Outcome::Answer(message) => message,
            Outcome::Forward(query) => service.upstream.ask(&query, view, Way::Tcp).await,
        };
        let Some(bytes) = answer::encode(&message, None) else { return Ok(()) };
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat()).await?;
    }
}

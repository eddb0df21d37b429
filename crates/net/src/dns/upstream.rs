//! Asking other servers: the first answer of several, within a time limit that clients can bear.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use hickory_proto::op::{Message, ResponseCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
};

use super::{
    View,
    answer::{is_own, own_edns, reply},
    cache::{Cache, Key, Scope},
};
use crate::{
    files::Resolver,
    netns::{Visitor, lock},
};

/// All is over by then, and the client is told that it failed.
const DEADLINE: Duration = Duration::from_millis(1900);
/// A server that is silent this long gets company by the next one.
const NEXT_SERVER_AFTER: Duration = Duration::from_millis(400);
/// Most queries on their way.
const IN_FLIGHT_MAX: usize = 1024;
/// Largest datagram accepted from a server.
const UDP_RECEIVE_MAX: usize = 65535;
/// How often the host's resolv.conf is looked at.
const RECHECK: Duration = Duration::from_secs(1);
const DNS_PORT: u16 = 53;

/// How the client came, and so how the servers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
}

/// Asks upstream servers and keeps their answers.
#[derive(Debug)]
pub struct Upstream {
    cache: Mutex<Cache>,
    host: Mutex<HostServers>,
    in_flight: Semaphore,
    visitor: Arc<Visitor>,
    ids: (RandomState, AtomicU64),
}

#[derive(Debug, Default)]
struct HostServers {
    servers: Vec<IpAddr>,
    modified: Option<SystemTime>,
    checked: Option<Instant>,
}

impl Upstream {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            cache: Mutex::default(),
            host: Mutex::default(),
            in_flight: Semaphore::new(IN_FLIGHT_MAX),
            visitor: Arc::default(),
            ids: (RandomState::new(), AtomicU64::new(0)),
        }
    }

    /// An answer to a query of a container, at the latest after two seconds.
    pub async fn ask(&self, query: &Message, view: &View, way: Way) -> Message {
        let is_own_choice = !view.servers.is_empty();
        let scope =
            if is_own_choice { Scope::Container(view.container.clone()) } else { Scope::Host };
        let Some(key) = Key::of(scope, query) else { return reply(query, ResponseCode::FormErr) };
        if let Some(kept) = lock(&self.cache).get(&key, Instant::now()) {
            return addressed(kept, query);
        }
        let servers = if is_own_choice { view.servers.clone() } else { self.host_servers() };
        let namespace = is_own_choice.then_some(&view.namespace);
        match tokio::time::timeout(DEADLINE, self.race(query, &servers, namespace, way)).await {
            Ok(Some(answer)) => {
                lock(&self.cache).put(key, &answer, Instant::now());
                addressed(answer, query)
            }
            _ => reply(query, ResponseCode::ServFail),
        }
    }

    /// Forgets what a container's own servers said.
    pub fn forget(&self, view: &View) {
        lock(&self.cache).forget(&view.container);
    }

    /// The first usable answer; later servers start when earlier ones are silent or failed.
    async fn race(
        &self,
        query: &Message,
        servers: &[IpAddr],
        namespace: Option<&OwnedFd>,
        way: Way,
    ) -> Option<Message> {
        let _permit = self.in_flight.acquire().await.ok()?;
        let mut waiting = servers.iter().filter(|addr| !is_own(**addr));
        let mut running = JoinSet::new();
        let mut fallback = None;
        loop {
            let next = waiting.next();
            if let Some(&server) = next {
                let packet = self.packet(query)?;
                let namespace = match namespace.map(OwnedFd::try_clone).transpose() {
                    Ok(namespace) => namespace,
                    Err(_) => return fallback,
                };
                let visitor = Arc::clone(&self.visitor);
                running.spawn(exchange(packet, server, namespace, visitor, way));
            } else if running.is_empty() {
                return fallback;
            }
            let pause = if next.is_some() { NEXT_SERVER_AFTER } else { DEADLINE };
            match tokio::time::timeout(pause, running.join_next()).await {
                Ok(Some(Ok(Ok(answer)))) if is_final(&answer) => return Some(answer),
                Ok(Some(Ok(Ok(answer)))) => fallback = Some(answer),
                // A server that failed, or silence: on to the next one.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// The query with a number that outsiders can't guess; the kernel picks a random port.
    fn packet(&self, query: &Message) -> Option<Vec<u8>> {
        let (keys, count) = &self.ids;
        let id = keys.hash_one(count.fetch_add(1, Ordering::Relaxed)).to_le_bytes();
        let mut query = query.clone();
        query.edns = own_edns(&query, ResponseCode::NoError);
        query.metadata.id = u16::from_le_bytes([id[0], id[1]]);
        query.to_vec().ok()
    }

    /// The host's servers, loopback ones included: they are asked from its namespace.
    fn host_servers(&self) -> Vec<IpAddr> {
        let mut host = lock(&self.host);
        if host.checked.is_some_and(|checked| checked.elapsed() < RECHECK) {
            return host.servers.clone();
        }
        host.checked = Some(Instant::now());
        let path = "/etc/resolv.conf";
        let modified = std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if modified.is_none() || modified != host.modified {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            host.servers = Resolver::parse(&text).servers;
            host.modified = modified;
        }
        host.servers.clone()
    }

    #[cfg(test)]
    pub fn set_host_servers(&self, servers: Vec<IpAddr>) {
        let far = Instant::now() + Duration::from_secs(3600);
        *lock(&self.host) = HostServers { servers, modified: None, checked: Some(far) };
    }
}

/// With the number and the spelling of the client's own question.
fn addressed(mut answer: Message, query: &Message) -> Message {
    answer.metadata.id = query.metadata.id;
    answer.edns = own_edns(query, answer.metadata.response_code);
    answer.queries.clone_from(&query.queries);
    answer
}

/// A refusal or failure of one server may be another's answer.
fn is_final(answer: &Message) -> bool {
    !matches!(
        answer.metadata.response_code,
        ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp
    )
}

async fn exchange(
    packet: Vec<u8>,
    server: IpAddr,
    namespace: Option<OwnedFd>,
    visitor: Arc<Visitor>,
    way: Way,
) -> io::Result<Message> {
    let to = SocketAddr::new(server, DNS_PORT);
    let bytes = match way {
        Way::Udp => {
            let socket =
                UdpSocket::from_std(made(namespace, visitor, move || udp_socket(to)).await?)?;
            socket.send(&packet).await?;
            let mut buffer = vec![0; UDP_RECEIVE_MAX];
            loop {
                let length = socket.recv(&mut buffer).await?;
                // A connected socket hears its server only; a wrong number is an old answer.
                if buffer.get(..2) == packet.get(..2) {
                    buffer.truncate(length);
                    break buffer;
                }
            }
        }
        Way::Tcp => {
            let stream = made(namespace, visitor, move || tcp_stream(to)).await?;
            let mut stream = TcpStream::from_std(stream)?;
            let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
            stream.write_all(&[&length.to_be_bytes()[..], &packet].concat()).await?;
            let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut buffer).await?;
            buffer
        }
    };
    let answer = Message::from_vec(&bytes).map_err(io::Error::other)?;
    let asked = Message::from_vec(&packet).map_err(io::Error::other)?;
    let same = |a: &Message, b: &Message| match (a.queries.first(), b.queries.first()) {
        (Some(a), Some(b)) => a.query_type() == b.query_type() && a.name() == b.name(),
        (None, _) => true,
        (Some(_), None) => false,
    };
    if answer.metadata.id != asked.metadata.id || !same(&answer, &asked) {
        return Err(io::Error::other("an answer to another question"));
    }
    Ok(answer)
}

/// Makes a socket in a namespace, or where this thread is.
async fn made<T: Send + 'static>(
    namespace: Option<OwnedFd>,
    visitor: Arc<Visitor>,
    make: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let work = move || match namespace {
        Some(namespace) => visitor.visit(namespace.as_fd(), make).map_err(io::Error::other)?,
        None => make(),
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn udp_socket(to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects without blocking its thread: a visit must be short.
fn tcp_stream(to: SocketAddr) -> io::Result<std::net::TcpStream> {
    Ok(sys::socket::connecting(to)?.into())
}

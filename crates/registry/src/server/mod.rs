//! The registry: an HTTP server of the distribution specification 1.1 over a directory.
//!
//! One process serves one directory (a lock sees to it). A request goes `handler` → rights in `access`
//! → `storage`, which alone touches the disk. Beside the requests run the garbage collector and one
//! sender per receiver of notifications. Nothing is kept in memory that can't be made again: a killed
//! registry goes on where it was, uploads included.

pub mod access;
mod answer;
pub mod config;
mod handler;
pub mod metrics;
mod notify;
pub mod pattern;
pub mod refusal;
pub mod retention;
pub mod route;
pub mod storage;
mod tls;
mod token;
mod upstream;

use std::{convert::Infallible, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use self::{
    access::{AccessControl, Caller},
    config::Config,
    metrics::Metrics,
    notify::{Happening, Notifier},
    storage::Storage,
    upstream::Upstreams,
};
use crate::client::{Client, Hosts};

const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests that go on get so long when the registry is told to stop.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why a registry can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The directory.
    #[error("cannot open the registry's directory {path}")]
    Open {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The address.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Which.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file that the configuration names.
    #[error("cannot use the {what} that the configuration names")]
    File {
        /// Which.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// What all requests share.
#[derive(Debug)]
struct State {
    storage: Arc<Storage>,
    config: Config,
    access: Option<Arc<AccessControl>>,
    metrics: Arc<Metrics>,
    notifier: Notifier,
    upstreams: Upstreams,
}

impl State {
    fn is_tls(&self) -> bool {
        self.config.tls.is_some()
    }

    fn tell(&self, caller: &Caller, happening: Happening) {
        self.notifier.tell(caller.user(), &happening);
    }
}

/// A registry that listens, and serves when [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    state: Arc<State>,
    listener: TcpListener,
    metrics: Option<TcpListener>,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls(tokio_rustls::TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Server {
    /// Opens the directory and the address. `hosts` says how upstreams are reached.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(
        addr: SocketAddr,
        root: &Path,
        config: Config,
        hosts: &Hosts,
    ) -> Result<Self, ServeError> {
        let open = |source| ServeError::Open { path: root.display().to_string(), source };
        let storage = Arc::new(Storage::open(root).map_err(open)?);
        let file = |what| move |source| ServeError::File { what, source };
        let access =
            config.auth.clone().map(AccessControl::new).transpose().map_err(file("htpasswd"))?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose();
        let tls = tls.map_err(file("certificate"))?.map(Tls);
        let upstreams =
            Upstreams::new(&config.upstream, hosts).map_err(file("upstream credentials"))?;
        let metrics = Arc::new(Metrics::default());
        let listen = async |addr| {
            TcpListener::bind(addr).await.map_err(|source| ServeError::Listen { addr, source })
        };
        let listener = listen(addr).await?;
        let metrics_listener = match &config.metrics {
            Some(metrics) => Some(listen(metrics.addr).await?),
            None => None,
        };
        let client = Client::new(hosts.clone());
        let notifier = Notifier::start(&config.notify, &client, metrics.clone());
        let access = access.map(Arc::new);
        let state = State { storage, config, access, metrics, notifier, upstreams };
        Ok(Self { state: Arc::new(state), listener, metrics: metrics_listener, tls })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where `/metrics` is, if configured.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `stop` ends; requests that go on then get ten seconds.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let collector = tokio::spawn(collect(self.state.clone()));
        let metrics = self
            .metrics
            .map(|listener| tokio::spawn(serve_metrics(listener, self.state.metrics.clone())));
        let (farewell, stopping) = watch::channel(());
        let permits = Arc::new(Semaphore::new(self.state.config.connections_max));
        tokio::pin!(stop);
        loop {
            let accepted = async {
                // Never closed, so a permit always comes.
                let permit = permits.clone().acquire_owned().await;
                (self.listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut stop => break,
            };
            let Ok((tcp, _)) = accepted else {
                // Out of descriptors, most likely: let some connections end first.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (state, tls, stopping) = (self.state.clone(), self.tls.clone(), stopping.clone());
            tokio::spawn(async move {
                let _permit = permit;
                state.metrics.connected();
                connection(tcp, tls, &state, stopping).await;
                state.metrics.disconnected();
            });
        }
        drop(farewell);
        let all = u32::try_from(self.state.config.connections_max).unwrap_or(u32::MAX);
        // Those that don't end in time are cut off; clients resume.
        let _ = tokio::time::timeout(FAREWELL, permits.acquire_many(all)).await;
        collector.abort();
        metrics.inspect(|metrics| metrics.abort());
    }
}

async fn connection(
    tcp: TcpStream,
    tls: Option<Tls>,
    state: &Arc<State>,
    stopping: watch::Receiver<()>,
) {
    // Only latency suffers when the option can't be set.
    let _ = tcp.set_nodelay(true);
    match tls {
        None => serve(tcp, state, stopping).await,
        Some(Tls(acceptor)) => {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => serve(stream, state, stopping).await,
                Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                Err(_) => tracing::debug!("TLS took too long"),
            }
        }
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: &Arc<State>,
    mut stopping: watch::Receiver<()>,
) {
    let state = state.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(handler::answer(state, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEAD_TIMEOUT));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        // The sender never speaks: it goes when the registry is told to stop.
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Collects garbage at the configured interval.
async fn collect(state: Arc<State>) {
    if state.config.gc.interval_s == 0 {
        return;
    }
    let mut tick = tokio::time::interval(Duration::from_secs(state.config.gc.interval_s));
    // The first tick comes at once; a registry that was just started has more urgent things to do.
    tick.tick().await;
    loop {
        tick.tick().await;
        let (storage, options) = (state.storage.clone(), state.config.gc_options());
        match answer::blocking(move || storage.collect(&options)).await {
            Ok(report) => {
                state.metrics.collected(&report);
                tracing::info!(?report, "collected garbage");
            }
            Err(refusal) => refusal.log(),
        }
    }
}

async fn serve_metrics(listener: TcpListener, metrics: Arc<Metrics>) {
    loop {
        let Ok((tcp, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let metrics = metrics.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let known = request.uri().path() == "/metrics";
                let (status, text) =
                    if known { (200, metrics.text()) } else { (404, String::new()) };
                async move {
                    Response::builder()
                        .status(status)
                        .header(
                            http::header::CONTENT_TYPE,
                            "application/openmetrics-text; version=1.0.0; charset=utf-8",
                        )
                        .body(http_body_util::Full::new(bytes::Bytes::from(text)))
                }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            if let Err(error) = builder.serve_connection(TokioIo::new(tcp), service).await {
                tracing::debug!(%error, "a connection for metrics broke off");
            }
        });
    }
}

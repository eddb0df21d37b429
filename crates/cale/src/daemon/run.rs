//! From settings to a serving daemon, and its end.

use std::{
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixDatagram},
    sync::Arc,
    time::Duration,
};

use engine::Engine;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tracing_subscriber::{
    EnvFilter, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use super::{
    DaemonError,
    http::{App, Facts, Server, Trust, Wire},
    listen::{self, Listen, Listener},
    pid_file::PidFile,
    settings::Settings,
    tls,
};

/// Requests that are being answered get so long after the signal.
const DRAIN: Duration = Duration::from_secs(5);

/// A TLS handshake that takes longer is given up.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Changes the level of the log while it runs.
type LogLevel = reload::Handle<EnvFilter, Registry>;

/// Serves until SIGTERM or SIGINT. `reload` reads the configuration again.
pub async fn run(
    settings: Settings,
    reload: impl Fn() -> Result<Settings, DaemonError>,
) -> Result<(), DaemonError> {
    let log_level = start_log(&settings);
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    check_tcp(&settings)?;
    let acceptor =
        settings.tls.as_ref().map(tls::acceptor).transpose().map_err(DaemonError::Tls)?;
    let _pid_file = settings
        .pid_file
        .as_deref()
        .map(PidFile::write)
        .transpose()
        .map_err(DaemonError::PidFile)?;
    let mut signals = Signals::new().map_err(DaemonError::Signals)?;
    let engine = Engine::open(settings.engine.clone()).await.map_err(DaemonError::Engine)?;
    let listeners =
        listen::open(&settings.listen, settings.group.as_deref()).map_err(DaemonError::Listen)?;
    let app = Arc::new(App {
        engine: Arc::clone(&engine),
        facts: Facts { experimental: settings.experimental, cpus: cpus() },
    });
    let (stop, stopped) = watch::channel(false);
    let server = Server::new(app, stopped.clone());
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, server.clone(), acceptor.clone(), stopped.clone()));
    }
    for at in &settings.listen {
        tracing::info!("API listen on {at}");
    }
    tracing::info!("Daemon has completed initialization");
    tell_service_manager("READY=1");
    let mut settings = settings;
    loop {
        match signals.next().await {
            Asked::End => break,
            Asked::Reload => match reload() {
                Ok(new) => settings = apply(settings, new, &log_level),
                Err(error) => {
                    let error = engine::error::chain(&error);
                    tracing::error!(error, "configuration is left as it was");
                }
            },
            Asked::Dump => dump(&engine),
        }
    }
    tracing::info!("Processing signal: ending");
    tell_service_manager("STOPPING=1");
    // A client that hangs on must not hold up the end. No receiver: nobody is served.
    let _nobody = stop.send(true);
    let drained = async { while accepting.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::info!("some requests were cut off");
    }
    engine.shutdown().await.map_err(DaemonError::Shutdown)?;
    tracing::info!("Daemon shutdown complete");
    Ok(())
}

fn start_log(settings: &Settings) -> LogLevel {
    let (filter, handle) = reload::Layer::new(filter(settings.log_level));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // A second daemon in one process (tests) keeps the first one's log.
    let _first_stays = if settings.log_json {
        registry.with(layer.json()).try_init()
    } else {
        registry.with(layer).try_init()
    };
    handle
}

/// Our own crates at `level`, others only when something is wrong.
fn filter(level: tracing::Level) -> EnvFilter {
    let quiet = if level <= tracing::Level::WARN { level } else { tracing::Level::WARN };
    let mut text = quiet.to_string();
    for name in ["cale", "engine", "keeper", "net", "registry", "runtime", "store", "build"] {
        text.push_str(&format!(",{name}={level}"));
    }
    EnvFilter::new(text)
}

/// Whoever reaches an open TCP port is root here: only by explicit wish, or on loopback.
fn check_tcp(settings: &Settings) -> Result<(), DaemonError> {
    let verified = settings.tls.as_ref().is_some_and(|tls| tls.client_authority.is_some());
    for at in &settings.listen {
        let Listen::Tcp(address) = at else { continue };
        if verified {
            continue;
        }
        if !address.ip().is_loopback() && !settings.insecure_tcp {
            return Err(DaemonError::OpenTcp(*address));
        }
        tracing::warn!(
            "Binding to {address} without --tlsverify is insecure and gives root access to \
             whoever can connect"
        );
    }
    Ok(())
}

fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Accepts until told to stop, then waits for its connections.
async fn accept(
    listener: Listener,
    server: Server,
    acceptor: Option<TlsAcceptor>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept_one(&listener) => accepted,
            () = told(&mut stopped) => break,
            // Reaps those that ended.
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((wire, trust)) => {
                connections.spawn(serve(server.clone(), wire, trust, acceptor.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(listen::pause_after(&error)).await;
            }
        }
    }
    // New clients are refused from now on, and find no socket.
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until told to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good.
    let _either = stop.wait_for(|stop| *stop).await.map(drop);
}

async fn accept_one(listener: &Listener) -> std::io::Result<(Wire, Trust)> {
    match listener {
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            Ok((Wire::Unix(stream), Trust::Local))
        }
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Wire::Tcp(stream), Trust::Network))
        }
    }
}

async fn serve(server: Server, wire: Wire, trust: Trust, acceptor: Option<TlsAcceptor>) {
    let wire = match (wire, acceptor) {
        (Wire::Tcp(stream), Some(acceptor)) => {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => Wire::Tls(Box::new(stream)),
                Ok(Err(error)) => return tracing::info!(%error, "TLS handshake failed"),
                Err(_) => return tracing::info!("TLS handshake took too long"),
            }
        }
        (wire, _) => wire,
    };
    server.serve(wire, trust).await;
}

/// What a signal asks for.
enum Asked {
    End,
    Reload,
    Dump,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.hang_up.recv() => Asked::Reload,
            _ = self.user.recv() => Asked::Dump,
        }
    }
}

/// Takes over what can change while running, and says what can't.
fn apply(old: Settings, new: Settings, log_level: &LogLevel) -> Settings {
    if log_level.reload(filter(new.log_level)).is_err() {
        tracing::error!("the log level cannot be changed");
    }
    let needs_restart = format!("{:?}", old.engine) != format!("{:?}", new.engine)
        || old.listen != new.listen
        || old.tls != new.tls;
    if needs_restart {
        tracing::warn!("configuration reloaded: the log level is new, the rest needs a restart");
    } else {
        tracing::info!("configuration reloaded");
    }
    Settings { log_level: new.log_level, ..old }
}

/// Writes what goes on inside to a file below the exec root.
fn dump(engine: &Engine) {
    let metrics = tokio::runtime::Handle::current().metrics();
    let open_files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let document = serde_json::json!({
        "time": jiff::Timestamp::now().to_string(),
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "tasks": metrics.num_alive_tasks(),
        "queued": metrics.global_queue_depth(),
        "workers": metrics.num_workers(),
        "open_files": open_files,
        "configuration": format!("{:?}", engine.config()),
    });
    let path = engine.config().exec_root.join("dump.json");
    match std::fs::write(&path, format!("{document:#}\n")) {
        Ok(()) => tracing::info!(path = %path.display(), "state written"),
        Err(error) => tracing::error!(%error, path = %path.display(), "cannot write state"),
    }
}

/// sd_notify(3), without the library. Nobody listening is the usual case.
fn tell_service_manager(text: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let bytes = name.as_encoded_bytes();
    let address = match bytes.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}

//! Serving connections: HTTP/1.1 with upgrades, HTTP/2 with prior knowledge.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use http::{HeaderValue, Request, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::sync::watch;

use super::{App, Wire, door::Door, error::ApiError, reply::Reply, routes};

/// A connection that sends no complete head for so long is closed; as dockerd.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How a listener's peers are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A unix socket: whoever may open it.
    Local,
    /// TCP: a browser on the same machine may be tricked into asking (DNS rebinding), so the
    /// `Host` header must be an address or a name of this machine.
    Network,
}

/// Serves connections until told to stop.
#[derive(Clone, Debug)]
pub struct Server {
    app: Arc<App>,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// A server that ends its connections when `stop` becomes true.
    pub fn new(app: Arc<App>, stop: watch::Receiver<bool>) -> Self {
        Self { app, stop }
    }

    /// Serves one connection to its end.
    pub async fn serve(mut self, wire: Wire, trust: Trust) {
        let app = Arc::clone(&self.app);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(answer(app, request, trust).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // Go writes them so, and scripts look for them so.
        builder.http1().title_case_headers(true);
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
        builder.http2().timer(TokioTimer::new());
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(Door::new(wire)), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told(&mut self.stop) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            // The client went away or spoke nonsense; its own business.
            tracing::debug!(error = %chain(error.as_ref()), "connection ended");
        }
    }
}

/// Waits until told to stop, or until nobody is left to tell.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, which is as good.
    let _either = stop.wait_for(|stop| *stop).await.map(drop);
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    engine::error::chain(error)
}

async fn answer(app: Arc<App>, request: Request<Incoming>, trust: Trust) -> Reply {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let experimental = app.facts.experimental;
    let reply = match check_host(&request, trust) {
        Ok(()) => routes::dispatch(app, request).await,
        Err(error) => Err(error),
    };
    let mut reply = reply.unwrap_or_else(|error| {
        if error.status() == http::StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(%method, path, error = error.message(), "request failed");
        } else {
            tracing::debug!(%method, path, error = error.message(), "request refused");
        }
        error.into_reply()
    });
    let headers = reply.headers_mut();
    let newest = api::Version::NEWEST.to_string();
    if let Ok(value) = HeaderValue::from_str(&newest) {
        headers.insert("Api-Version", value);
    }
    let experimental = if experimental { "true" } else { "false" };
    headers.insert("Docker-Experimental", HeaderValue::from_static(experimental));
    headers.insert("Ostype", HeaderValue::from_static("linux"));
    headers.insert(header::SERVER, HeaderValue::from_static(super::system::SERVER));
    reply
}

fn check_host(request: &Request<Incoming>, trust: Trust) -> Result<(), ApiError> {
    if trust == Trust::Local {
        return Ok(());
    }
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let host = header.or_else(|| request.uri().host()).unwrap_or("");
    if is_own_name(host) {
        return Ok(());
    }
    Err(ApiError::new(
        http::StatusCode::FORBIDDEN,
        format!("host {host:?} is neither an address nor this machine's name"),
    ))
}

/// An address, `localhost`, or the machine's own name, with or without a port.
fn is_own_name(host: &str) -> bool {
    let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    if bare.is_empty() || bare.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    // What the docker client sends over proxies of unix sockets and ssh.
    if matches!(bare, "localhost" | "docker" | "api.moby.localhost") {
        return true;
    }
    machine_name().is_ok_and(|name| {
        let short = bare.split('.').next().unwrap_or(bare);
        bare.eq_ignore_ascii_case(&name) || short.eq_ignore_ascii_case(&name)
    })
}

fn machine_name() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_not_ours() {
        for own in ["", "127.0.0.1", "10.0.0.5:2375", "[::1]:2375", "localhost:2375", "docker"] {
            assert!(is_own_name(own), "{own}");
        }
        assert!(is_own_name(&machine_name().unwrap()));
        assert!(!is_own_name("evil.example.com:2375"));
    }
}

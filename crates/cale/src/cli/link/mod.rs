//! The conversation with an engine: requests and replies of its HTTP API, as the commands need
//! them. Connections are reused; the version is negotiated only with engines that may be older.
//!
//! It doesn't know what a container is; that is the commands' business.

pub mod hijack;
pub mod query;
pub mod reply;
pub mod start;
pub mod transport;

use std::cell::{OnceCell, RefCell};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;

use super::error::CliError;
use super::host::{self, Endpoint, Transport};
pub use hijack::Hijacked;
pub use query::Query;
pub use reply::Reply;

/// The newest API version that this client speaks.
pub const API_VERSION: &str = "1.50";

/// Body of a request.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A link to one engine.
pub struct Link {
    endpoint: Endpoint,
    version: OnceCell<String>,
    idle: RefCell<Vec<SendRequest<Body>>>,
}

/// What to send besides method, path and query.
#[derive(Default)]
pub struct Extra {
    /// More headers.
    pub headers: Vec<(&'static str, String)>,
    /// Content type and body.
    pub body: Option<(&'static str, Body)>,
}

impl Extra {
    /// A JSON body.
    pub fn json(value: &Json) -> Self {
        Extra { body: Some(("application/json", full(value.to_string()))), ..Extra::default() }
    }

    /// Adds a header unless the value is empty.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.headers.push((name, value));
        }
        self
    }
}

/// A body that is known at once.
pub fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

impl Link {
    /// A link that connects when first used.
    pub fn new(endpoint: Endpoint) -> Self {
        Link { endpoint, version: OnceCell::new(), idle: RefCell::new(Vec::new()) }
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The API version in use, after the first request.
    pub fn version(&self) -> &str {
        self.version.get().map_or(API_VERSION, String::as_str)
    }

    async fn negotiate(&self) -> Result<(), CliError> {
        if self.version.get().is_some() {
            return Ok(());
        }
        if let Some(typed) = super::env_vars::value(super::env_vars::DOCKER_API_VERSION) {
            drop(self.version.set(typed.trim_start_matches('v').to_owned()));
            return Ok(());
        }
        // Our own engine is never older than its client's protocol: same binary.
        let own = matches!(&self.endpoint.transport, Transport::Unix(path) if path.as_os_str() == host::OWN_SOCKET);
        if !own {
            self.ping().await?;
        }
        drop(self.version.set(API_VERSION.to_owned()));
        Ok(())
    }

    /// Asks who is there and settles the version.
    ///
    /// # Errors
    /// [`CliError::Unreachable`] or the engine's refusal.
    pub async fn ping(&self) -> Result<HeaderMap, CliError> {
        let (sender, response) = self.send(Method::HEAD, "/_ping", Extra::default(), false).await?;
        let headers = response.headers().clone();
        let theirs = headers.get("api-version").and_then(|v| v.to_str().ok()).unwrap_or("1.24");
        let version = if is_older(theirs, API_VERSION) { theirs } else { API_VERSION };
        drop(self.version.set(version.to_owned()));
        drop(response.into_body().collect().await);
        self.idle.borrow_mut().push(sender);
        Ok(headers)
    }

    async fn connection(&self) -> Result<SendRequest<Body>, CliError> {
        loop {
            // The borrow must end before waiting.
            let idle = self.idle.borrow_mut().pop();
            match idle {
                Some(mut sender) => {
                    if sender.ready().await.is_ok() {
                        return Ok(sender);
                    }
                }
                None => return self.connect().await,
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, CliError> {
        let mut stream = transport::connect(&self.endpoint).await;
        if let (Err(e), true) = (&stream, self.endpoint.is_default) {
            let away = matches!(
                e.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            );
            if away && start::engine(&self.endpoint).await? {
                stream = transport::connect(&self.endpoint).await;
            }
        }
        let stream = stream.map_err(|source| self.unreachable(source))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|e| CliError::talk("start a conversation with the engine", e))?;
        tokio::spawn(async move {
            // A broken connection shows up in the request that uses it.
            drop(connection.with_upgrades().await);
        });
        Ok(sender)
    }

    fn unreachable(&self, source: std::io::Error) -> CliError {
        let host = self.endpoint.host.clone();
        match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                CliError::Unreachable { host, source: Some(source) }
            }
            std::io::ErrorKind::PermissionDenied => CliError::Advised {
                message: format!(
                    "permission denied while trying to connect to the Docker daemon socket at {host}"
                ),
                hint: "run the command as root, or join the group that owns the socket".to_owned(),
                exit: super::exit::Exit::FAILURE,
            },
            _ => CliError::talk(format!("connect to the engine at {host}"), source),
        }
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        extra: Extra,
        versioned: bool,
    ) -> Result<(SendRequest<Body>, http::Response<hyper::body::Incoming>), CliError> {
        let mut sender = self.connection().await?;
        let base = match &self.endpoint.transport {
            Transport::Tcp { base, .. } => base.as_str(),
            Transport::Unix(_) | Transport::Ssh { .. } => "",
        };
        let uri = if versioned {
            format!("{base}/v{}{target}", self.version())
        } else {
            format!("{base}{target}")
        };
        let host = match &self.endpoint.transport {
            Transport::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Transport::Tcp { host, port, .. } => format!("{host}:{port}"),
            Transport::Unix(_) | Transport::Ssh { .. } => "api.moby.localhost".to_owned(),
        };
        let mut request = Request::builder().method(&method).uri(uri).header("Host", host);
        request = request.header("User-Agent", super::USER_AGENT);
        for (name, value) in extra.headers {
            request = request.header(name, value);
        }
        let body = match extra.body {
            Some((content_type, body)) => {
                request = request.header("Content-Type", content_type);
                body
            }
            None => full(Bytes::new()),
        };
        let request = request
            .body(body)
            .map_err(|e| CliError::talk(format!("form the request {target}"), e))?;
        let failed = |e| CliError::talk(format!("ask the engine for {method} {target}"), e);
        let response = sender.send_request(request).await.map_err(failed)?;
        Ok((sender, response))
    }

    /// Sends a request and returns once the reply's headers are here.
    ///
    /// # Errors
    /// [`CliError::Daemon`] for statuses from 400 on, and whatever breaks the conversation.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        extra: Extra,
    ) -> Result<Reply<'_>, CliError> {
        self.negotiate().await?;
        let target = query.on(path);
        let (sender, response) = self.send(method, &target, extra, true).await?;
        Reply::new(self, sender, response).checked().await
    }

    /// `GET` of a JSON document.
    ///
    /// # Errors
    /// As [`Link::open`], or the reply is no JSON.
    pub async fn get(&self, path: &str, query: &Query) -> Result<Json, CliError> {
        self.open(Method::GET, path, query, Extra::default()).await?.json().await
    }

    /// `GET` of a document as the text that was sent.
    ///
    /// # Errors
    /// As [`Link::open`].
    pub async fn get_text(&self, path: &str, query: &Query) -> Result<String, CliError> {
        self.open(Method::GET, path, query, Extra::default()).await?.text().await
    }

    /// `POST` with an optional JSON document; `null` if the reply is empty.
    ///
    /// # Errors
    /// As [`Link::open`], or the reply is no JSON.
    pub async fn post(
        &self,
        path: &str,
        query: &Query,
        body: Option<&Json>,
    ) -> Result<Json, CliError> {
        let extra = body.map(Extra::json).unwrap_or_default();
        self.open(Method::POST, path, query, extra).await?.json().await
    }

    /// `DELETE`; `null` if the reply is empty.
    ///
    /// # Errors
    /// As [`Link::open`].
    pub async fn delete(&self, path: &str, query: &Query) -> Result<Json, CliError> {
        self.open(Method::DELETE, path, query, Extra::default()).await?.json().await
    }

    /// `POST` that turns the connection into a stream of bytes in both directions.
    ///
    /// # Errors
    /// As [`Link::open`], or the engine doesn't switch protocols.
    pub async fn hijack(
        &self,
        path: &str,
        query: &Query,
        body: Option<&Json>,
    ) -> Result<Hijacked, CliError> {
        self.negotiate().await?;
        let extra = body.map(Extra::json).unwrap_or_default();
        let extra = extra.header("Connection", "Upgrade").header("Upgrade", "tcp");
        let target = query.on(path);
        let (sender, response) = self.send(Method::POST, &target, extra, true).await?;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            let reply = Reply::new(self, sender, response).checked().await?;
            return Err(CliError::talk(
                format!("take over the connection of {target}"),
                format!("the engine answered {}", reply.status()),
            ));
        }
        Hijacked::new(response).await
    }

    fn give_back(&self, sender: SendRequest<Body>) {
        self.idle.borrow_mut().push(sender);
    }
}

/// Whether API version `a` is older than `b`.
pub fn is_older(a: &str, b: &str) -> bool {
    let parts = |v: &str| -> Vec<u32> { v.split('.').map(|p| p.parse().unwrap_or(0)).collect() };
    parts(a) < parts(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_older("1.9", "1.24"));
        assert!(!is_older("1.50", "1.50"));
    }
}

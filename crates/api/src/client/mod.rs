//! A client of the Engine API: one connection after the other over a [`Dial`], HTTP/1.1.
//!
//! Owns connecting, version negotiation, error envelopes, hijacked and message streams. It
//! deliberately has no method per endpoint: `get`, `post`, … with a path and the types of
//! [`crate::wire`] say as much and stay true to the specification.
//!
//! ```no_run
//! # async fn f() -> Result<(), api::client::ClientError> {
//! use api::{Client, wire::ContainerSummary};
//! let client = Client::from_host("unix:///run/cale/cale.sock")?;
//! client.negotiate().await?;
//! let all: Vec<ContainerSummary> =
//!     client.get("/containers/json").query("all", "1").fetch().await?;
//! # Ok(()) }
//! ```

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::client::conn::http1::SendRequest;
use serde::{Serialize, de::DeserializeOwned};

mod answer;
mod dial;
mod error;
mod hijack;
mod host;

pub use answer::{Answer, JsonStream};
pub use dial::{Dial, Io, Resolve, SshDial, TcpDial, UnixDial};
pub use error::ClientError;
pub use hijack::{HijackReader, HijackWriter, Hijacked};
pub use host::{Host, HostError};

use crate::Version;

/// Body of a request, whole or streamed.
pub type RequestBody = BoxBody<Bytes, std::io::Error>;

/// A client of one engine. Cheap to clone; clones share idle connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    dial: Arc<dyn Dial>,
    /// What `Host:` says; engines only look at it on TCP.
    authority: String,
    idle: Mutex<Vec<SendRequest<RequestBody>>>,
    /// Minor version, 0 until known.
    version: AtomicU16,
    headers: HeaderMap,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.shared.dial.endpoint())
    }
}

impl Client {
    /// A client for `DOCKER_HOST`-like texts: `unix://PATH`, `tcp://HOST:PORT`,
    /// `ssh://USER@HOST:PORT`.
    pub fn from_host(text: &str) -> Result<Self, ClientError> {
        let host: Host = text.parse().map_err(ClientError::Host)?;
        Ok(match host {
            Host::Unix(path) => Self::new(Arc::new(UnixDial { path }), "api.moby.localhost"),
            Host::Tcp { host, port } => {
                let authority = format!("{host}:{port}");
                Self::new(Arc::new(TcpDial::new(host, port)), &authority)
            }
            Host::Ssh(target) => {
                Self::new(Arc::new(SshDial { target, remote: None }), "api.moby.localhost")
            }
        })
    }

    /// A client over any way to connect (TLS, tests).
    pub fn new(dial: Arc<dyn Dial>, authority: &str) -> Self {
        Self::with_headers(dial, authority, HeaderMap::new())
    }

    /// As [`Client::new`], with headers for every request (`HttpHeaders` of config.json).
    pub fn with_headers(dial: Arc<dyn Dial>, authority: &str, headers: HeaderMap) -> Self {
        Self {
            shared: Arc::new(Shared {
                dial,
                authority: authority.to_owned(),
                idle: Mutex::default(),
                version: AtomicU16::new(0),
                headers,
            }),
        }
    }

    /// The engine's address as shown to people.
    pub fn endpoint(&self) -> String {
        self.shared.dial.endpoint()
    }

    /// The version spoken: the negotiated one, else the newest.
    pub fn version(&self) -> Version {
        match self.shared.version.load(Ordering::Relaxed) {
            0 => Version::NEWEST,
            minor => Version::new(minor),
        }
    }

    /// Speaks `version` from now on (`DOCKER_API_VERSION`).
    pub fn set_version(&self, version: Version) {
        self.shared.version.store(version.minor(), Ordering::Relaxed);
    }

    /// Asks the engine for its newest version and speaks the lower one from now on.
    pub async fn negotiate(&self) -> Result<Version, ClientError> {
        let answer = self.unversioned(Method::HEAD, "/_ping").send().await?;
        let theirs = answer
            .headers()
            .get("api-version")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| match text.parse::<Version>() {
                Ok(version) => Some(version),
                Err(crate::version::VersionError::TooNew(_)) => Some(Version::NEWEST),
                Err(_) => None,
            })
            // Engines that old don't say.
            .unwrap_or(Version::OLDEST);
        let version = Version::NEWEST.negotiate(theirs);
        self.set_version(version);
        Ok(version)
    }

    /// A request under the spoken version; `path` begins with `/` and is already escaped (see
    /// [`escape`]).
    pub fn request(&self, method: Method, path: &str) -> Request {
        let path = format!("/v{}{path}", self.version());
        self.unversioned(method, &path)
    }

    /// `GET`
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// `POST`
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// `PUT`
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// `DELETE`
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    fn unversioned(&self, method: Method, path: &str) -> Request {
        Request {
            client: self.clone(),
            method,
            target: path.to_owned(),
            has_query: false,
            headers: self.shared.headers.clone(),
            body: Ok(full(Bytes::new())),
        }
    }

    /// An idle connection, if one is ready.
    fn take_idle(&self) -> Option<SendRequest<RequestBody>> {
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let position = idle.iter().position(SendRequest::is_ready)?;
        Some(idle.swap_remove(position))
    }

    fn keep(&self, sender: SendRequest<RequestBody>) {
        if !sender.is_closed() {
            let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(sender);
        }
    }

    async fn connect(&self) -> Result<SendRequest<RequestBody>, ClientError> {
        let endpoint = || self.endpoint();
        let io = self
            .shared
            .dial
            .dial()
            .await
            .map_err(|source| ClientError::Connect { endpoint: endpoint(), source })?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(io))
                .await
                .map_err(|source| ClientError::Exchange { endpoint: endpoint(), source })?;
        // Ends with the connection; a failure reaches the request that waits for an answer.
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}

/// A request being put together.
pub struct Request {
    client: Client,
    method: Method,
    target: String,
    has_query: bool,
    headers: HeaderMap,
    body: Result<RequestBody, ClientError>,
}

impl Request {
    /// Adds a query parameter.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.target.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.target.push_str(&escape(key));
        self.target.push('=');
        self.target.push_str(&escape(value));
        self
    }

    /// Adds `key=1` if `on`.
    pub fn flag(self, key: &str, on: bool) -> Self {
        if on { self.query(key, "1") } else { self }
    }

    /// Adds filters in the API's form, `{"key":["value"]}`; nothing if there are none.
    pub fn filters(self, filters: &model::filter::Filters) -> Self {
        if filters.is_empty() {
            return self;
        }
        let map: indexmap::IndexMap<&str, Vec<&String>> =
            filters.iter().map(|(key, values)| (key, values.iter().collect())).collect();
        match serde_json::to_string(&map) {
            Ok(text) => self.query("filters", &text),
            Err(source) => self.failed(ClientError::Encode { source }),
        }
    }

    /// Adds a header; `value` must be visible ASCII.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(name, value);
                self
            }
            Err(_) => {
                let error = ClientError::Header { name: name.to_string() };
                self.failed(error)
            }
        }
    }

    /// Sends `value` as JSON.
    pub fn json<T: Serialize>(mut self, value: &T) -> Self {
        self.body = serde_json::to_vec(value)
            .map(|text| full(Bytes::from(text)))
            .map_err(|source| ClientError::Encode { source });
        let json = HeaderValue::from_static("application/json");
        self.headers.insert(http::header::CONTENT_TYPE, json);
        self
    }

    /// Sends a body as it comes.
    pub fn body(mut self, body: RequestBody) -> Self {
        self.body = Ok(body);
        self
    }

    fn failed(mut self, error: ClientError) -> Self {
        self.body = Err(error);
        self
    }

    /// Sends it; an answer of 400 and above is an error with the engine's message.
    pub async fn send(self) -> Result<Answer, ClientError> {
        let client = self.client.clone();
        let request = self.build()?;
        let endpoint = || client.endpoint();
        let (mut sender, request) = match client.take_idle() {
            Some(mut sender) => match sender.try_send_request(request).await {
                Ok(response) => {
                    client.keep(sender);
                    return Answer::from_response(response, endpoint()).await;
                }
                // The engine closed the idle connection: the request comes back unsent.
                Err(mut error) => match error.take_message() {
                    Some(request) => (client.connect().await?, request),
                    None => {
                        let source = error.into_error();
                        return Err(ClientError::Exchange { endpoint: endpoint(), source });
                    }
                },
            },
            None => (client.connect().await?, request),
        };
        let response = sender
            .send_request(request)
            .await
            .map_err(|source| ClientError::Exchange { endpoint: endpoint(), source })?;
        client.keep(sender);
        Answer::from_response(response, endpoint()).await
    }

    /// Sends it and reads the answer's JSON.
    pub async fn fetch<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.json().await
    }

    /// Sends it and waits for the end of an answer without interest.
    pub async fn done(self) -> Result<(), ClientError> {
        self.send().await?.bytes().await.map(drop)
    }

    /// Sends it and takes the connection over (attach, exec start).
    pub async fn hijack(self) -> Result<Hijacked, ClientError> {
        self.upgrade("tcp").await
    }

    /// Sends it with `Upgrade: protocol` and takes the connection over.
    pub async fn upgrade(mut self, protocol: &'static str) -> Result<Hijacked, ClientError> {
        use http::header::{CONNECTION, UPGRADE};
        self.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        self.headers.insert(UPGRADE, HeaderValue::from_static(protocol));
        self.send().await?.into_hijacked().await
    }

    fn build(self) -> Result<http::Request<RequestBody>, ClientError> {
        let body = self.body?;
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() =
            self.target.parse().map_err(|_| ClientError::Target { target: self.target.clone() })?;
        *request.headers_mut() = self.headers;
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.client.shared.authority) {
            headers.insert(http::header::HOST, host);
        }
        if !headers.contains_key(http::header::USER_AGENT) {
            let agent = HeaderValue::from_static(concat!("cale/", env!("CARGO_PKG_VERSION")));
            headers.insert(http::header::USER_AGENT, agent);
        }
        Ok(request)
    }
}

/// A body that is there at once.
pub fn full(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// Percent-escapes what may not stand in a query value or path segment.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            let digit = |nibble: u8| char::from(b"0123456789ABCDEF"[usize::from(nibble)]);
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
    out
}

/// Escapes a name for a path in which slashes stay (`/images/NAME/json`).
pub fn escape_path(text: &str) -> String {
    text.split('/').map(escape).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests;

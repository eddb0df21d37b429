//! The conversation with an engine, as the commands need it: `api::client` with Docker's error
//! texts, and a version that is negotiated only with engines that may be older.
//!
//! It doesn't know what a container is; that is the commands' business.

pub mod query;
pub mod reply;
pub mod start;
pub mod transport;

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::sync::Arc;

use api::client::{Client, ClientError, Hijacked, Host, Request};
use http::Method;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use serde_json::Value as Json;

use super::error::CliError;
use super::exit::Exit;
use super::host::{self, Endpoint};
pub use api::client::RequestBody as Body;
pub use query::Query;
pub use reply::Reply;

/// The newest API version that this client speaks.
pub const API_VERSION: &str = "1.51";

/// A link to one engine.
pub struct Link {
    endpoint: Endpoint,
    client: Client,
    negotiated: Cell<bool>,
}

/// What to send besides method, path and query.
#[derive(Default)]
pub struct Extra {
    /// More headers.
    pub headers: Vec<(HeaderName, String)>,
    /// Content type and body.
    pub body: Option<(&'static str, Body)>,
    /// A JSON document as the body.
    pub json: Option<Json>,
}

impl Extra {
    /// A JSON body.
    pub fn json(value: &Json) -> Self {
        Extra { json: Some(value.clone()), ..Extra::default() }
    }

    /// Adds a header unless the value is empty. The name is in lower case.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}

impl Link {
    /// A link that connects when first used. `headers` go with every request.
    pub fn new(endpoint: Endpoint, mut headers: HeaderMap) -> Self {
        let authority = match &endpoint.address {
            Host::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Host::Tcp { host, port } => format!("{host}:{port}"),
            Host::Unix(_) | Host::Ssh(_) => "api.moby.localhost".to_owned(),
        };
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(super::USER_AGENT));
        let dial = Arc::new(transport::EngineDial::new(endpoint.clone()));
        let client = Client::with_headers(dial, &authority, headers);
        client.set_version(newest());
        Link { endpoint, client, negotiated: Cell::new(false) }
    }

    /// Where it leads.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The API version in use.
    pub fn version(&self) -> String {
        self.client.version().to_string()
    }

    /// Whether the version in use is older than 1.`minor`.
    pub fn is_before(&self, minor: u16) -> bool {
        self.client.version().before(minor)
    }

    async fn negotiate(&self) -> Result<(), CliError> {
        if self.negotiated.replace(true) {
            return Ok(());
        }
        if let Some(typed) = super::env_vars::value(super::env_vars::DOCKER_API_VERSION) {
            let version = typed
                .trim_start_matches('v')
                .parse()
                .map_err(|e| CliError::invalid(format!("DOCKER_API_VERSION={typed}: {e}")))?;
            self.client.set_version(version);
            return Ok(());
        }
        // Our own engine is never older than its client's protocol: same binary.
        let own = matches!(&self.endpoint.address, Host::Unix(path) if path.as_os_str() == host::OWN_SOCKET);
        if !own {
            let theirs = self.client.negotiate().await.map_err(|e| self.error(e))?;
            self.client.set_version(newest().negotiate(theirs));
        }
        Ok(())
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        extra: Extra,
    ) -> Result<Request, CliError> {
        self.negotiate().await?;
        let mut request = self.client.request(method, &query.on(path));
        for (name, value) in extra.headers {
            request = request.header(name, &value);
        }
        if let Some((content_type, body)) = extra.body {
            request = request.header(http::header::CONTENT_TYPE, content_type).body(body);
        }
        if let Some(document) = extra.json {
            request = request.json(&document);
        }
        Ok(request)
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
        let request = self.request(method, path, query, extra).await?;
        let answer = request.send().await.map_err(|e| self.error(e))?;
        Ok(Reply::new(self, answer))
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
        let extra = body.map(Extra::json).unwrap_or_default();
        let request = self.request(Method::POST, path, query, extra).await?;
        request.hijack().await.map_err(|e| self.error(e))
    }

    /// A client's error in the words of the command line.
    pub fn error(&self, error: ClientError) -> CliError {
        let host = self.endpoint.host.clone();
        match error {
            ClientError::Refused { status, message } => {
                CliError::Daemon { status: status.as_u16(), message }
            }
            ClientError::Connect { source, .. } => unreachable(host, source),
            other => {
                let action = other.to_string();
                let action = action.strip_prefix("cannot ").unwrap_or(&action).to_owned();
                match other.source() {
                    Some(source) => CliError::talk(action, source.to_string()),
                    None => CliError::talk(action, "the engine broke the protocol"),
                }
            }
        }
    }
}

fn newest() -> api::Version {
    API_VERSION.parse().expect("a constant that is a version")
}

fn unreachable(host: String, source: io::Error) -> CliError {
    // Starting an engine on demand fails inside of dialling.
    if source.get_ref().is_some_and(|inner| inner.is::<CliError>()) {
        let inner = source.into_inner().and_then(|inner| inner.downcast::<CliError>().ok());
        return inner.map_or_else(|| CliError::Unreachable { host, source: None }, |e| *e);
    }
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            CliError::Unreachable { host, source: Some(source) }
        }
        io::ErrorKind::PermissionDenied => CliError::Advised {
            message: format!(
                "permission denied while trying to connect to the Docker daemon socket at {host}"
            ),
            hint: "run the command as root, or join the group that owns the socket".to_owned(),
            exit: Exit::FAILURE,
        },
        _ => CliError::talk(format!("connect to the engine at {host}"), source),
    }
}

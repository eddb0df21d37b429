//! One request: credentials, redirects, what an error answer means.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;

use super::{
    auth::{self, Challenge, Credentials, Kept},
    hosts::{Endpoint, Hosts},
    transport::{RequestBody, Transport},
};
use crate::error::{Error, Result};

/// Until the head of an answer is there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 5;
/// Error documents and tokens are small.
const SMALL_ANSWER_MAX: usize = 1 << 20;

/// Speaks to registries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<Transport>,
    pub(super) kept: Arc<Kept>,
}

/// What is asked.
pub(crate) struct Ask<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) method: Method,
    /// Absolute URL, or a path after the endpoint's prefix, `/v2/…`.
    pub(crate) target: &'a str,
    /// `repository:NAME:pull[,push]`, or empty.
    pub(crate) scope: &'a str,
    pub(crate) headers: &'a [(header::HeaderName, HeaderValue)],
    pub(crate) credentials: &'a Credentials,
}

impl Client {
    /// A client for these hosts.
    pub fn new(hosts: Hosts) -> Self {
        Self { transport: Arc::new(Transport::new(hosts)), kept: Arc::default() }
    }

    /// How hosts are reached.
    pub fn hosts(&self) -> &Hosts {
        self.transport.hosts()
    }

    /// Sends a request without a body, answering a challenge once; success and 3xx come back as
    /// they are, everything else is an error.
    pub(crate) async fn ask(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        self.send(ask, &mut || empty()).await
    }

    /// [`Client::ask`] with a body, made anew for each try.
    pub(crate) async fn send(
        &self,
        ask: &Ask<'_>,
        body: &mut (dyn FnMut() -> RequestBody + Send),
    ) -> Result<Response<Incoming>> {
        let key = endpoint_key(ask.endpoint);
        let kept = self.kept.header(&key, ask.scope);
        let answer = self.once(ask, kept.as_deref(), body()).await?;
        let answer = if answer.status() == StatusCode::UNAUTHORIZED {
            self.kept.forget(&key, ask.scope);
            let challenge = challenge(&answer);
            let header = self.authorize(ask, challenge).await?;
            match header {
                Some(header) => self.once(ask, Some(&header), body()).await?,
                None => answer,
            }
        } else {
            answer
        };
        let status = answer.status();
        if status.is_success()
            || status.is_redirection()
            || status == StatusCode::RANGE_NOT_SATISFIABLE
        {
            return Ok(answer);
        }
        Err(refusal(ask, answer).await)
    }

    /// Follows redirects of an answer to a GET or HEAD. Other hosts get no credentials.
    pub(crate) async fn follow(
        &self,
        ask: &Ask<'_>,
        answer: Response<Incoming>,
    ) -> Result<Response<Incoming>> {
        let mut answer = answer;
        let mut at = url_of(ask.endpoint, ask.target)?;
        for _ in 0..REDIRECTS_MAX {
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location =
                location(&answer).ok_or_else(|| malformed(ask, "redirect without location"))?;
            let next = at.join(&location).map_err(|e| malformed_by(ask, "redirect", e))?;
            if at.scheme() == "https" && next.scheme() != "https" && !ask.endpoint.insecure {
                return Err(malformed(ask, "redirect from HTTPS to HTTP"));
            }
            let same_host = next.host_str() == at.host_str() && next.port() == at.port();
            let header = if same_host {
                self.kept.header(&endpoint_key(ask.endpoint), ask.scope)
            } else {
                None
            };
            let request =
                build(&ask.method, next.as_str(), ask.headers, header.as_deref(), empty())?;
            answer = self.exchange(ask.endpoint, request).await?;
            at = next;
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(refusal(ask, answer).await)
    }

    async fn once(
        &self,
        ask: &Ask<'_>,
        authorization: Option<&str>,
        body: RequestBody,
    ) -> Result<Response<Incoming>> {
        let url = url_of(ask.endpoint, ask.target)?;
        let request = build(&ask.method, url.as_str(), ask.headers, authorization, body)?;
        self.exchange(ask.endpoint, request).await
    }

    pub(crate) async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>> {
        let host = endpoint.authority.clone();
        let client = self.transport.client(endpoint)?;
        match tokio::time::timeout(ANSWER_TIMEOUT, client.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(connection_error(host, error)),
            Err(_) => Err(Error::Timeout { host, seconds: ANSWER_TIMEOUT.as_secs() }),
        }
    }

    /// Turns a challenge into an `Authorization` header; `None` where we have nothing to show.
    async fn authorize(
        &self,
        ask: &Ask<'_>,
        challenge: Option<Challenge>,
    ) -> Result<Option<String>> {
        let key = endpoint_key(ask.endpoint);
        match (challenge, ask.credentials) {
            (_, Credentials::RegistryToken(token)) => Ok(Some(format!("Bearer {token}"))),
            (Some(Challenge::Basic), Credentials::Basic { username, password }) => {
                let header = auth::basic_header(username, password);
                self.kept.keep(&key, ask.scope, header.clone(), Duration::from_secs(3600));
                Ok(Some(header))
            }
            (Some(Challenge::Bearer { realm, service, scope }), credentials) => {
                let scope = if ask.scope.is_empty() {
                    scope.unwrap_or_default()
                } else {
                    ask.scope.to_owned()
                };
                let (token, term) = self.token(ask, &realm, service, &scope, credentials).await?;
                let header = format!("Bearer {token}");
                self.kept.keep(&key, ask.scope, header.clone(), term);
                Ok(Some(header))
            }
            (Some(Challenge::Basic) | None, _) => Ok(None),
        }
    }

    async fn token(
        &self,
        ask: &Ask<'_>,
        realm: &str,
        service: Option<String>,
        scope: &str,
        credentials: &Credentials,
    ) -> Result<(String, Duration)> {
        let mut url = url::Url::parse(realm).map_err(|e| malformed_by(ask, "token realm", e))?;
        if ask.endpoint.tls && url.scheme() != "https" && !ask.endpoint.insecure {
            return Err(malformed(ask, "token realm without TLS"));
        }
        let service = service.unwrap_or_default();
        let endpoint = Endpoint {
            authority: authority_of(&url),
            prefix: String::new(),
            tls: url.scheme() == "https",
            insecure: self.hosts().registry(&authority_of(&url)).insecure,
            mirror: ask.endpoint.mirror,
        };
        let request = match credentials {
            Credentials::IdentityToken(token) => {
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs([
                        ("grant_type", "refresh_token"),
                        ("refresh_token", token),
                        ("service", &service),
                        ("scope", scope),
                        ("client_id", "cale"),
                    ])
                    .finish();
                let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
                build(
                    &Method::POST,
                    url.as_str(),
                    &[(header::CONTENT_TYPE, form_type)],
                    None,
                    full(form.into()),
                )?
            }
            _ => {
                url.query_pairs_mut().append_pair("service", &service);
                for scope in scope.split(' ').filter(|scope| !scope.is_empty()) {
                    url.query_pairs_mut().append_pair("scope", scope);
                }
                let header = match credentials {
                    Credentials::Basic { username, password } => {
                        Some(auth::basic_header(username, password))
                    }
                    _ => None,
                };
                build(&Method::GET, url.as_str(), &[], header.as_deref(), empty())?
            }
        };
        let answer = self.exchange(&endpoint, request).await?;
        if !answer.status().is_success() {
            return Err(refusal(ask, answer).await);
        }
        let bytes = read_small(&endpoint.authority, "token", answer, SMALL_ANSWER_MAX).await?;
        let answer: auth::TokenAnswer =
            serde_json::from_slice(&bytes).map_err(|e| malformed_by(ask, "token", e))?;
        Ok(answer.usable())
    }
}

/// Reads a body that may not be larger than `limit` bytes.
pub(crate) async fn read_small(
    host: &str,
    what: &'static str,
    answer: Response<Incoming>,
    limit: usize,
) -> Result<Bytes> {
    let collected = Limited::new(answer.into_body(), limit).collect();
    match tokio::time::timeout(ANSWER_TIMEOUT, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Error::TooLarge { host: host.to_owned(), what, limit: limit as u64 })
        }
        Ok(Err(source)) => Err(Error::Request { host: host.to_owned(), source }),
        Err(_) => Err(Error::Timeout { host: host.to_owned(), seconds: ANSWER_TIMEOUT.as_secs() }),
    }
}

/// An empty request body.
pub(crate) fn empty() -> RequestBody {
    full(Bytes::new())
}

/// A request body of these bytes.
pub(crate) fn full(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The `Location` of an answer.
pub(crate) fn location(answer: &Response<Incoming>) -> Option<String> {
    answer.headers().get(header::LOCATION)?.to_str().ok().map(str::to_owned)
}

/// The absolute URL of a target at an endpoint.
pub(crate) fn url_of(endpoint: &Endpoint, target: &str) -> Result<url::Url> {
    let scheme = if endpoint.tls { "https" } else { "http" };
    let base = format!("{scheme}://{}{}", endpoint.authority, endpoint.prefix);
    let text = if target.starts_with('/') { format!("{base}{target}") } else { target.to_owned() };
    url::Url::parse(&text).map_err(|_| Error::Host(endpoint.authority.clone()))
}

pub(crate) fn build(
    method: &Method,
    url: &str,
    headers: &[(header::HeaderName, HeaderValue)],
    authorization: Option<&str>,
    body: RequestBody,
) -> Result<Request<RequestBody>> {
    let fault = || Error::Host(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| fault())?;
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::USER_AGENT, concat!("cale/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some(text) = authorization {
        let mut value = HeaderValue::from_str(text).map_err(|_| fault())?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    request.body(body).map_err(|_| fault())
}

pub(super) fn endpoint_key(endpoint: &Endpoint) -> String {
    format!("{}{}", endpoint.authority, endpoint.prefix)
}

pub(crate) fn authority_of(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn challenge(answer: &Response<Incoming>) -> Option<Challenge> {
    let headers = answer.headers().get_all(header::WWW_AUTHENTICATE);
    Challenge::parse(headers.iter().filter_map(|value| value.to_str().ok()))
}

/// The connector's own error where there is one, hyper's otherwise.
fn connection_error(host: String, error: hyper_util::client::legacy::Error) -> Error {
    use std::error::Error as _;
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(Error::Connect { source, .. }) = cause.downcast_ref() {
            return Error::Connect { host, source: source.kind().into() };
        }
        if let Some(Error::Timeout { seconds, .. }) = cause.downcast_ref() {
            return Error::Timeout { host, seconds: *seconds };
        }
        source = cause.source();
    }
    Error::Request { host, source: Box::new(error) }
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    errors: Vec<RefusalEntry>,
}

#[derive(Deserialize)]
struct RefusalEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Words an error answer (distribution specification, "Error Codes").
async fn refusal(ask: &Ask<'_>, answer: Response<Incoming>) -> Error {
    let host = ask.endpoint.authority.clone();
    let status = answer.status();
    let bytes = read_small(&host, "error", answer, SMALL_ANSWER_MAX).await.unwrap_or_default();
    let entry = serde_json::from_slice::<Refusal>(&bytes)
        .ok()
        .and_then(|refusal| refusal.errors.into_iter().next());
    let (code, message) = entry.map_or_else(Default::default, |entry| (entry.code, entry.message));
    let text = if message.is_empty() {
        format!("unexpected status {status} for {} {}", ask.method, ask.target)
    } else {
        format!("{}: {message}", code.to_lowercase().replace('_', " "))
    };
    match status {
        StatusCode::UNAUTHORIZED => Error::Unauthorized { host, text: message_or(message, text) },
        StatusCode::TOO_MANY_REQUESTS => Error::RateLimit { host, text: message_or(message, text) },
        _ => Error::Answer { host, status: status.as_u16(), code, text },
    }
}

fn message_or(message: String, text: String) -> String {
    if message.is_empty() { text } else { message }
}

fn malformed(ask: &Ask<'_>, what: &'static str) -> Error {
    malformed_by(ask, what, "not acceptable")
}

fn malformed_by(
    ask: &Ask<'_>,
    what: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::Malformed { host: ask.endpoint.authority.clone(), what, source: source.into() }
}

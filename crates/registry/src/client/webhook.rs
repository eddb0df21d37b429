//! Posting an event to a URL.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};

use super::{
    hosts::Endpoint,
    request::{Client, authority_of, build, full, read_small},
};
use crate::error::{Error, Result};

const TYPE: &str = "application/vnd.docker.distribution.events.v2+json";
const ANSWER_MAX: usize = 64 * 1024;

/// Posts; any answer of success counts.
///
/// # Errors
/// The connection's; another answer.
pub async fn post(
    client: &Client,
    url: &str,
    headers: &[(HeaderName, HeaderValue)],
    body: &Bytes,
) -> Result<()> {
    let url = url::Url::parse(url).map_err(|_| Error::Host(url.to_owned()))?;
    let authority = authority_of(&url);
    let endpoint = Endpoint {
        prefix: String::new(),
        tls: url.scheme() == "https",
        insecure: client.hosts().registry(&authority).insecure,
        mirror: false,
        authority,
    };
    let mut all = vec![(header::CONTENT_TYPE, HeaderValue::from_static(TYPE))];
    all.extend_from_slice(headers);
    let request = build(&Method::POST, url.as_str(), &all, None, full(body.clone()))?;
    let answer = client.exchange(&endpoint, request).await?;
    let status = answer.status();
    let host = endpoint.authority;
    // The body is read so that the connection can be used again.
    read_small(&host, "answer", answer, ANSWER_MAX).await?;
    if status.is_success() {
        return Ok(());
    }
    let text = format!("unexpected status {status}");
    Err(Error::Answer { host, status: status.as_u16(), code: String::new(), text })
}

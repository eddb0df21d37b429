//! Plain downloads by URL (`ADD https://…`), with the registries' TLS, proxies and redirects.

use std::io::Write;

use http::{HeaderValue, Method, header};
use http_body_util::BodyExt;
use url::Url;

use super::{Client, Credentials, Endpoint, request::Ask};
use crate::error::{Error, Result};

/// What a server said of a download.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Downloaded {
    /// `Last-Modified`, as sent.
    pub last_modified: Option<String>,
    /// Bytes.
    pub size: u64,
}

impl Client {
    /// Fetches `url` into `sink`. No credentials are sent but those in the URL.
    ///
    /// # Errors
    /// An answer other than success, more than `limit` bytes, a broken connection.
    pub async fn download(
        &self,
        url: &str,
        limit: u64,
        sink: &mut (dyn Write + Send),
    ) -> Result<Downloaded> {
        let parsed = Url::parse(url).map_err(|_| Error::Host(url.to_owned()))?;
        let host = parsed.host_str().ok_or_else(|| Error::Host(url.to_owned()))?;
        let authority = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let endpoint = Endpoint {
            authority,
            prefix: String::new(),
            tls: parsed.scheme() == "https",
            insecure: false,
            mirror: true,
        };
        let ask = Ask {
            endpoint: &endpoint,
            method: Method::GET,
            target: parsed.as_str(),
            scope: "",
            headers: &[(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))],
            credentials: &Credentials::default(),
        };
        let answer = self.ask(&ask).await?;
        let answer = self.follow(&ask, answer).await?;
        let fault = |source: Box<dyn std::error::Error + Send + Sync>| Error::Request {
            host: endpoint.authority.clone(),
            source,
        };
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let mut done =
            Downloaded { last_modified: header(header::LAST_MODIFIED).map(str::to_owned), size: 0 };
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|e| fault(e.into()))?.into_data() else { continue };
            done.size += data.len() as u64;
            if done.size > limit {
                return Err(Error::TooLarge {
                    host: endpoint.authority.clone(),
                    what: "a file",
                    limit,
                });
            }
            sink.write_all(&data).map_err(|e| fault(e.into()))?;
        }
        Ok(done)
    }
}

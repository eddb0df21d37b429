//! One repository at one endpoint: manifests, blobs, uploads, tags, referrers.
//!
//! Source: OCI distribution specification 1.1, sections Pull, Push, Content Discovery.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use model::{Digest, image::media_type};
use serde::Deserialize;

use super::{
    auth::Credentials,
    hosts::Endpoint,
    request::{Ask, Client, full, location, read_small, url_of},
    transport::RequestBody,
};
use crate::error::{Error, Result};

/// The specification wants registries to take at least 4 MiB.
const MANIFEST_MAX: usize = 8 << 20;

/// Manifests and indexes that we can read.
const ACCEPT: [&str; 4] = [
    media_type::OCI_MANIFEST,
    media_type::OCI_INDEX,
    media_type::DOCKER_MANIFEST,
    media_type::DOCKER_INDEX,
];

/// A repository as seen through one endpoint.
#[derive(Clone, Debug)]
pub struct Repository {
    client: Client,
    endpoint: Endpoint,
    path: String,
    credentials: Credentials,
    push: bool,
}

/// A manifest or index as it came.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its media type, from the document or else the header.
    pub media_type: String,
    /// Digest of `bytes`, verified.
    pub digest: Digest,
    /// The document.
    pub bytes: Bytes,
}

/// What became of an offer to mount a blob from another repository.
#[derive(Debug)]
pub enum UploadStart {
    /// The registry had it: nothing to send.
    Mounted,
    /// Send to this URL.
    Session(url::Url),
}

impl Repository {
    /// `path` within the registry behind `endpoint`; `push` asks for write access.
    pub fn new(
        client: &Client,
        endpoint: Endpoint,
        path: &str,
        credentials: &Credentials,
        push: bool,
    ) -> Self {
        // A mirror is another host: the registry's secret is none of its business.
        let credentials =
            if endpoint.mirror { Credentials::Anonymous } else { credentials.clone() };
        Self { client: client.clone(), endpoint, path: path.to_owned(), credentials, push }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn scope(&self) -> String {
        let actions = if self.push { "pull,push" } else { "pull" };
        format!("repository:{}:{actions}", self.path)
    }

    fn target(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.path)
    }

    fn accept() -> Vec<(header::HeaderName, HeaderValue)> {
        ACCEPT.iter().map(|name| (header::ACCEPT, HeaderValue::from_static(name))).collect()
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: &[(header::HeaderName, HeaderValue)],
    ) -> Result<Response<Incoming>> {
        let scope = self.scope();
        let ask = Ask {
            endpoint: &self.endpoint,
            method,
            target,
            scope: &scope,
            headers,
            credentials: &self.credentials,
        };
        let answer = self.client.ask(&ask).await?;
        if answer.status().is_redirection() && matches!(ask.method, Method::GET | Method::HEAD) {
            return self.client.follow(&ask, answer).await;
        }
        Ok(answer)
    }

    /// The digest that a tag stands for, without fetching the manifest; `None` when there is none or
    /// the registry doesn't say.
    pub async fn resolve(&self, tag: &str) -> Result<Option<Digest>> {
        let answer = match self
            .ask(Method::HEAD, &self.target(&format!("manifests/{tag}")), &Self::accept())
            .await
        {
            Err(Error::Answer { status: 404, .. }) => return Ok(None),
            answer => answer?,
        };
        Ok(content_digest(&answer))
    }

    /// Fetches a manifest or index by tag or digest and verifies its digest.
    pub async fn manifest(&self, tag_or_digest: &str) -> Result<Fetched> {
        let wanted: Option<Digest> = tag_or_digest.parse().ok();
        let target = self.target(&format!("manifests/{tag_or_digest}"));
        let answer = self.ask(Method::GET, &target, &Self::accept()).await?;
        let said = content_type(&answer);
        let announced = content_digest(&answer);
        let bytes = read_small(&self.endpoint.authority, "manifest", answer, MANIFEST_MAX).await?;
        let digest = match wanted.as_ref().or(announced.as_ref()).map(Digest::algorithm) {
            Some(model::digest::Algorithm::Sha512) => Digest::sha512(&bytes),
            _ => Digest::sha256(&bytes),
        };
        if let Some(wanted) = wanted.or(announced).filter(|wanted| *wanted != digest) {
            return Err(Error::Digest { what: "manifest", wanted, found: digest });
        }
        let media_type = written_media_type(&bytes).or(said).unwrap_or_default();
        Ok(Fetched { media_type, digest, bytes })
    }

    /// Begins to fetch a blob at byte `offset`. The answer tells whether the registry honoured it.
    pub async fn blob(&self, digest: &Digest, offset: u64) -> Result<(Response<Incoming>, u64)> {
        let mut headers = Vec::new();
        if offset > 0 {
            let value = HeaderValue::from_str(&format!("bytes={offset}-"));
            headers.extend(value.ok().map(|value| (header::RANGE, value)));
        }
        let answer =
            self.ask(Method::GET, &self.target(&format!("blobs/{digest}")), &headers).await?;
        let from = if answer.status() == StatusCode::PARTIAL_CONTENT { offset } else { 0 };
        Ok((answer, from))
    }

    /// Whether the repository has a blob.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool> {
        match self.ask(Method::HEAD, &self.target(&format!("blobs/{digest}")), &[]).await {
            Ok(_) => Ok(true),
            Err(Error::Answer { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins an upload, offering to mount the blob from another repository of the registry.
    pub async fn begin_upload(&self, mount: Option<(&Digest, &str)>) -> Result<UploadStart> {
        let target = match mount {
            Some((digest, from)) => {
                self.target(&format!("blobs/uploads/?mount={digest}&from={from}"))
            }
            None => self.target("blobs/uploads/"),
        };
        let answer = self.ask(Method::POST, &target, &[]).await?;
        if mount.is_some() && answer.status() == StatusCode::CREATED {
            return Ok(UploadStart::Mounted);
        }
        Ok(UploadStart::Session(self.next_location(&answer, &target)?))
    }

    fn next_location(&self, answer: &Response<Incoming>, target: &str) -> Result<url::Url> {
        let malformed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Malformed {
            host: self.endpoint.authority.clone(),
            what: "upload session",
            source,
        };
        let location = location(answer).ok_or_else(|| malformed("no location".into()))?;
        let base = url_of(&self.endpoint, target)?;
        let next = base.join(&location).map_err(|error| malformed(Box::new(error)))?;
        if next.host_str() != base.host_str()
            && base.scheme() == "https"
            && next.scheme() != "https"
        {
            return Err(malformed("upload moved from HTTPS to HTTP".into()));
        }
        Ok(next)
    }

    /// Sends a whole blob to an upload session and closes it (monolithic PUT).
    pub async fn finish_upload(
        &self,
        session: url::Url,
        digest: &Digest,
        size: u64,
        body: &mut (dyn FnMut() -> RequestBody + Send),
    ) -> Result<()> {
        let mut url = session;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let scope = self.scope();
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
            (header::CONTENT_LENGTH, HeaderValue::from(size)),
        ];
        let ask = Ask {
            endpoint: &self.endpoint,
            method: Method::PUT,
            target: url.as_str(),
            scope: &scope,
            headers: &headers,
            credentials: &self.credentials,
        };
        self.client.send(&ask, body).await.map(drop)
    }

    /// Puts a manifest or index under a tag or its digest.
    pub async fn put_manifest(
        &self,
        tag_or_digest: &str,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        let target = self.target(&format!("manifests/{tag_or_digest}"));
        let content_type = HeaderValue::from_str(media_type)
            .map_err(|_| Error::MediaType { media_type: media_type.to_owned() })?;
        let headers = [(header::CONTENT_TYPE, content_type)];
        let scope = self.scope();
        let ask = Ask {
            endpoint: &self.endpoint,
            method: Method::PUT,
            target: &target,
            scope: &scope,
            headers: &headers,
            credentials: &self.credentials,
        };
        let answer = self.client.send(&ask, &mut || full(bytes.clone())).await?;
        match content_digest(&answer) {
            Some(found) if found != digest => {
                Err(Error::Digest { what: "pushed manifest", wanted: digest, found })
            }
            _ => Ok(digest),
        }
    }

    /// All tags, page after page.
    pub async fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut next = Some(self.target("tags/list"));
        while let Some(target) = next.take() {
            let answer = self.ask(Method::GET, &target, &[]).await?;
            let more = next_page(&answer);
            let bytes =
                read_small(&self.endpoint.authority, "tag list", answer, MANIFEST_MAX).await?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|error| Error::Malformed {
                host: self.endpoint.authority.clone(),
                what: "tag list",
                source: Box::new(error),
            })?;
            let page = page.tags.unwrap_or_default();
            // A server that sends the same page for ever must not hold us.
            if !page.is_empty() && tags.len() < 1_000_000 {
                next = more;
            }
            tags.extend(page);
        }
        Ok(tags)
    }
}

fn content_digest(answer: &Response<Incoming>) -> Option<Digest> {
    answer.headers().get("docker-content-digest")?.to_str().ok()?.parse().ok()
}

fn content_type(answer: &Response<Incoming>) -> Option<String> {
    let value = answer.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// The document's own `mediaType`, which is under the digest, unlike the header.
fn written_media_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
    }
    serde_json::from_slice::<Typed>(bytes).ok()?.media_type.filter(|name| !name.is_empty())
}

/// The target of a `Link: <…>; rel="next"` header (RFC 8288).
fn next_page(answer: &Response<Incoming>) -> Option<String> {
    let link = answer.headers().get(header::LINK)?.to_str().ok()?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    (parameters.contains("rel=\"next\"") && target.starts_with('/')).then(|| target.to_owned())
}

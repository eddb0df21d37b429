//! Content that other registries have: fetched when it is asked for and not here, and kept.
//!
//! A tag that was pushed here is ours and never overwritten by an upstream's. A tag that came from an
//! upstream is asked for again after a while; an upstream that is away doesn't take away what is here.
//! Only manifests and blobs whose digest is right are kept.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use model::Digest;

use super::{
    State, answer,
    config::Upstream,
    refusal::{Code, Refusal},
    route::{ManifestReference, Name, Tag},
    storage::{NewManifest, Parts, Storage},
};
use crate::{
    client::{Client, Credentials, Hosts, repository::Repository},
    error::Error,
};

const IDLE: Duration = Duration::from_secs(30);
const ATTEMPTS: u32 = 3;

/// All upstreams.
#[derive(Debug, Default)]
pub struct Upstreams {
    all: Vec<(Upstream, Client, Credentials)>,
    /// When a tag was asked for last.
    asked: Mutex<HashMap<(Name, Tag), Instant>>,
    /// One fetch of a blob at a time.
    flights: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Upstreams {
    /// Reads the credentials.
    ///
    /// # Errors
    /// The files'.
    pub(super) fn new(configured: &[Upstream], hosts: &Hosts) -> io::Result<Self> {
        let mut all = Vec::new();
        for upstream in configured {
            let mut hosts = hosts.clone();
            if upstream.plain_http {
                hosts.insecure.push(upstream.registry.clone());
            }
            let credentials = match &upstream.credentials {
                None => Credentials::Anonymous,
                Some(path) => {
                    let text = std::fs::read_to_string(path)?;
                    let (username, password) = text.trim().split_once(':').ok_or_else(|| {
                        io::Error::new(io::ErrorKind::InvalidData, "not of the form name:password")
                    })?;
                    Credentials::Basic { username: username.into(), password: password.into() }
                }
            };
            all.push((upstream.clone(), Client::new(hosts), credentials));
        }
        Ok(Self { all, ..Self::default() })
    }

    fn repositories(&self, name: &Name) -> Vec<(Repository, Duration)> {
        let fitting = self
            .all
            .iter()
            .filter(|(upstream, ..)| upstream.repositories.matches(name.as_str()))
            .filter(|(upstream, ..)| name.as_str().starts_with(&upstream.strip));
        fitting
            .map(|(upstream, client, credentials)| {
                let mut endpoint = client.hosts().registry(&upstream.registry);
                endpoint.tls = !upstream.plain_http;
                let rest = &name.as_str()[upstream.strip.len()..];
                let path = format!("{}{rest}", upstream.prefix);
                let repository = Repository::new(client, endpoint, &path, credentials, false);
                (repository, Duration::from_secs(upstream.tag_term_s))
            })
            .collect()
    }

    /// Makes sure that the newest manifest of a tag, or the manifest of a digest, is here if an upstream
    /// has it.
    pub(super) async fn manifest(
        &self,
        state: &Arc<State>,
        name: &Name,
        reference: &ManifestReference,
    ) -> Result<(), Refusal> {
        let repositories = self.repositories(name);
        if repositories.is_empty() {
            return Ok(());
        }
        let text = reference.to_string();
        let here = local(&state.storage, name, reference).await?;
        let tag = match reference {
            ManifestReference::Tag(tag) => Some(tag),
            ManifestReference::Digest(_) => None,
            ManifestReference::Earlier(..) => return Ok(()),
        };
        if here == Here::Ours {
            return Ok(());
        }
        let mut failure = None;
        for (repository, term) in repositories {
            if let Some(tag) = tag
                && here != Here::No
                && self.is_fresh(name, tag, term)
            {
                return Ok(());
            }
            match self.fetch_manifest(state, name, tag, &text, &repository, &here).await {
                Ok(()) => return Ok(()),
                Err(Fault::Ours(refusal)) => return Err(refusal),
                Err(Fault::Theirs(error)) if is_missing(&error) => {}
                Err(Fault::Theirs(error)) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if here == Here::No => Err(bad_gateway(&error)),
            Some(error) => {
                tracing::warn!(repository = %name, %error, "an upstream is away; serving what is here");
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn fetch_manifest(
        &self,
        state: &Arc<State>,
        name: &Name,
        tag: Option<&Tag>,
        text: &str,
        repository: &Repository,
        here: &Here,
    ) -> Result<(), Fault> {
        if let (Some(tag), Here::Cached(digest)) = (tag, here)
            && repository.resolve(text).await.map_err(Fault::Theirs)?.as_ref() == Some(digest)
        {
            self.note_asked(name, tag);
            return Ok(());
        }
        let fetched = repository.manifest(text).await.map_err(Fault::Theirs)?;
        state.metrics.fetched_upstream();
        let bytes = fetched.bytes.to_vec();
        let new = NewManifest::read(fetched.digest, Some(&fetched.media_type), bytes)
            .map_err(Fault::Ours)?;
        let (storage, repository, keep) =
            (state.storage.clone(), name.clone(), state.config.tag_history);
        let owned_tag = tag.cloned();
        answer::blocking(move || {
            storage.manifest_put(&repository, &new, Parts::Later)?;
            let Some(tag) = owned_tag else { return Ok(()) };
            storage.upstream_note(&repository, &tag, &new.digest)?;
            storage.tag_set(&repository, &tag, &new.digest, keep)
        })
        .await
        .map_err(Fault::Ours)?;
        if let Some(tag) = tag {
            self.note_asked(name, tag);
        }
        Ok(())
    }

    fn is_fresh(&self, name: &Name, tag: &Tag, term: Duration) -> bool {
        let asked = self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        asked.get(&(name.clone(), tag.clone())).is_some_and(|at| at.elapsed() < term)
    }

    fn note_asked(&self, name: &Name, tag: &Tag) {
        let mut asked = self.asked.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        asked.insert((name.clone(), tag.clone()), Instant::now());
    }

    /// Brings a blob here, if an upstream has it; otherwise nothing happens.
    pub(super) async fn blob(
        &self,
        state: &Arc<State>,
        name: &Name,
        digest: &Digest,
    ) -> Result<(), Refusal> {
        let repositories = self.repositories(name);
        if repositories.is_empty() {
            return Ok(());
        }
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(|poison| poison.into_inner());
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            flights.entry(digest.clone()).or_default().clone()
        };
        let _alone = flight.lock().await;
        let (storage, repository, wanted) = (state.storage.clone(), name.clone(), digest.clone());
        if answer::blocking(move || storage.blob_size(&repository, &wanted)).await?.is_some() {
            return Ok(());
        }
        let mut failure = None;
        for (repository, _) in repositories {
            match fetch_blob(state, name, digest, &repository).await {
                Ok(()) => return Ok(()),
                Err(Fault::Ours(refusal)) => return Err(refusal),
                Err(Fault::Theirs(error)) if is_missing(&error) => {}
                Err(Fault::Theirs(error)) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), |error| Err(bad_gateway(&error)))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Here {
    No,
    /// Pushed here, or named by its digest: nobody knows it better.
    Ours,
    /// From an upstream.
    Cached(Digest),
}

async fn local(
    storage: &Arc<Storage>,
    name: &Name,
    reference: &ManifestReference,
) -> Result<Here, Refusal> {
    let (storage, name, reference) = (storage.clone(), name.clone(), reference.clone());
    answer::blocking(move || match reference {
        ManifestReference::Digest(digest) if storage.has_manifest(&name, &digest) => Ok(Here::Ours),
        ManifestReference::Tag(tag) => match storage.tag_digest(&name, &tag, 0) {
            Ok(digest) if storage.upstream_noted(&name, &tag).as_ref() == Some(&digest) => {
                Ok(Here::Cached(digest))
            }
            Ok(_) => Ok(Here::Ours),
            Err(refusal) if refusal.code == Code::ManifestUnknown => Ok(Here::No),
            Err(refusal) => Err(refusal),
        },
        _ => Ok(Here::No),
    })
    .await
}

enum Fault {
    Ours(Refusal),
    Theirs(Error),
}

fn is_missing(error: &Error) -> bool {
    match error {
        Error::Answer { status, .. } => matches!(status, 400 | 403 | 404),
        Error::Unauthorized { .. } | Error::ManifestUnknown { .. } => true,
        _ => false,
    }
}

fn bad_gateway(error: &Error) -> Refusal {
    Refusal::new(Code::Upstream, format!("cannot ask the upstream registry: {error}"))
}

/// Streams a blob into an upload; goes on where it broke off.
async fn fetch_blob(
    state: &Arc<State>,
    name: &Name,
    digest: &Digest,
    repository: &Repository,
) -> Result<(), Fault> {
    let mut answer = Some(repository.blob(digest, 0).await.map_err(Fault::Theirs)?);
    state.metrics.fetched_upstream();
    let (storage, target) = (state.storage.clone(), name.clone());
    let (id, upload) =
        answer::blocking(move || storage.upload_begin(&target)).await.map_err(Fault::Ours)?;
    let mut attempt = 1;
    loop {
        let received = upload.lock().await.received();
        let begun = match answer.take() {
            Some(begun) => Ok(begun),
            None => repository.blob(digest, received).await,
        };
        let copied = match begun {
            Ok((response, from)) => copy(response, received - from, &upload).await,
            Err(error) => Err(Fault::Theirs(error)),
        };
        match copied {
            Ok(()) => break,
            Err(Fault::Theirs(error)) if error.is_transient() && attempt < ATTEMPTS => attempt += 1,
            Err(fault) => {
                let (storage, target) = (state.storage.clone(), name.clone());
                let cancelled = answer::blocking(move || storage.upload_cancel(&target, &id)).await;
                drop(cancelled);
                return Err(fault);
            }
        }
    }
    let (storage, target, wanted) = (state.storage.clone(), name.clone(), digest.clone());
    let mut held = upload.lock_owned().await;
    answer::blocking(move || storage.upload_finish(&target, &id, &mut held, &wanted)).await.map_err(
        |refusal| match refusal.code {
            Code::DigestInvalid => {
                Fault::Ours(Refusal::new(Code::Upstream, "the upstream registry sent wrong bytes"))
            }
            _ => Fault::Ours(refusal),
        },
    )
}

async fn copy(
    response: http::Response<hyper::body::Incoming>,
    mut skip: u64,
    upload: &super::storage::Upload,
) -> Result<(), Fault> {
    let host = || "the upstream".to_owned();
    let mut body = response.into_body();
    loop {
        let frame = match tokio::time::timeout(IDLE, body.frame()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                let error = Error::Request { host: host(), source: Box::new(error) };
                return Err(Fault::Theirs(error));
            }
            Err(_) => {
                return Err(Fault::Theirs(Error::Timeout {
                    host: host(),
                    seconds: IDLE.as_secs(),
                }));
            }
        };
        let Ok(mut bytes) = frame.into_data() else { continue };
        let passed = skip.min(bytes.len() as u64);
        skip -= passed;
        let bytes = bytes.split_off(usize::try_from(passed).unwrap_or(usize::MAX));
        let mut held = upload.clone().lock_owned().await;
        answer::blocking(move || held.write(&bytes)).await.map_err(Fault::Ours)?;
    }
}

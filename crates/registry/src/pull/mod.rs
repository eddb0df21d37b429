//! Pulling: manifest, configuration and layers of one image into the store.
//!
//! Layers come in parallel; each is hashed, decompressed and unpacked while it is still coming. What
//! was interrupted goes on where it stopped, also in another process.

mod blob;

use std::sync::Arc;

use model::{
    Digest, Reference,
    image::{Index, Manifest, Platform},
};
use store::{LayerSource, Lease, NewImage, Store, document};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    client::{
        Client, Credentials,
        repository::{Fetched, Repository},
    },
    error::{Error, Result},
    progress::{Sink, status},
    retry,
};

/// Manifests that an index may lead through.
const INDEX_DEPTH_MAX: usize = 4;
const CONFIG_MAX: u64 = 8 << 20;

/// What to pull.
#[derive(Clone, Debug)]
pub struct Pull {
    /// With a tag or a digest.
    pub reference: Reference,
    /// For which platform.
    pub platform: Platform,
    /// For the registry (not for its mirrors).
    pub credentials: Credentials,
    /// Layers that come at the same time.
    pub parallel: usize,
}

/// What was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image's id.
    pub id: Digest,
    /// Digest of what the tag stands for.
    pub digest: Digest,
    /// Something changed here.
    pub newer: bool,
}

/// A manifest with the index that led to it.
struct Resolved {
    repository: Repository,
    manifest: Fetched,
    index: Option<Fetched>,
}

/// Pulls one image.
///
/// # Errors
/// The registry's refusals, worded as Docker does; the store's.
pub async fn pull(client: &Client, store: &Store, wanted: &Pull, sink: &Sink) -> Result<Pulled> {
    let tag = wanted
        .reference
        .digest()
        .map_or_else(|| wanted.reference.tag().unwrap_or("latest").to_owned(), ToString::to_string);
    let resolved = resolve(client, wanted, &tag).await?;
    status(sink, &tag, format!("Pulling from {}", wanted.reference.path()));
    let digest = resolved.index.as_ref().unwrap_or(&resolved.manifest).digest.clone();
    let before = store.resolve(&wanted.reference).ok().map(|(id, _)| id);
    let lease = Arc::new(store.lease());
    let id = fetch(store, &lease, &resolved, wanted, sink).await?;
    record(store, &lease, &resolved, wanted, &id, &digest).await?;
    let newer = before.as_ref() != Some(&id);
    status(sink, "", format!("Digest: {digest}"));
    let name = wanted.reference.familiar();
    let said = if newer { "Downloaded newer image for" } else { "Image is up to date for" };
    status(sink, "", format!("Status: {said} {name}"));
    Ok(Pulled { id, digest, newer })
}

/// Every tag of the repository that the registry lists.
///
/// # Errors
/// As [`pull`].
pub async fn tags(
    client: &Client,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Vec<String>> {
    let endpoint = client.hosts().registry(reference.domain());
    let repository = Repository::new(client, endpoint, reference.path(), credentials, false);
    retry::transient(|| repository.tags()).await.map_err(|error| denied(error, reference))
}

/// The manifest for the platform, from the first endpoint that has it.
async fn resolve(client: &Client, wanted: &Pull, tag: &str) -> Result<Resolved> {
    let mut last = Error::Host(wanted.reference.domain().to_owned());
    for mut endpoint in client.hosts().pull_endpoints(wanted.reference.domain())? {
        loop {
            let path = wanted.reference.path();
            let repository =
                Repository::new(client, endpoint.clone(), path, &wanted.credentials, false);
            match resolve_at(repository, wanted, tag).await {
                Ok(resolved) => return Ok(resolved),
                // An insecure registry may speak TLS or not: try the other one.
                Err(error) if endpoint.insecure && endpoint.tls && is_protocol(&error) => {
                    tracing::debug!(%error, host = endpoint.authority, "no TLS, trying without");
                    endpoint.tls = false;
                }
                Err(error) => {
                    last = error;
                    break;
                }
            }
        }
    }
    Err(denied(last, &wanted.reference))
}

fn is_protocol(error: &Error) -> bool {
    matches!(error, Error::Request { .. } | Error::Tls { .. } | Error::Connect { .. })
}

async fn resolve_at(repository: Repository, wanted: &Pull, tag: &str) -> Result<Resolved> {
    let mut manifest = retry::transient(|| repository.manifest(tag)).await?;
    let mut index = None;
    for _ in 0..INDEX_DEPTH_MAX {
        let Some(list) = as_index(&manifest)? else {
            return Ok(Resolved { repository, manifest, index });
        };
        let child = choose(&list, wanted)?;
        let next = retry::transient(|| repository.manifest(&child)).await?;
        index.get_or_insert(manifest);
        manifest = next;
    }
    Err(Error::MediaType { media_type: "index nested too deep".to_owned() })
}

fn as_index(fetched: &Fetched) -> Result<Option<Index>> {
    use model::image::media_type::{DOCKER_INDEX, OCI_INDEX};
    if ![DOCKER_INDEX, OCI_INDEX].contains(&fetched.media_type.as_str()) {
        return Ok(None);
    }
    document::index(&fetched.digest, &fetched.bytes, Some(&fetched.media_type))
        .map(Some)
        .map_err(Error::Store)
}

/// The digest of the entry that fits the platform best: same variant before none.
fn choose(index: &Index, wanted: &Pull) -> Result<String> {
    let platform = &wanted.platform;
    let fits = |found: &&model::image::Descriptor| {
        found.platform.as_ref().is_some_and(|entry| {
            entry.os == platform.os
                && entry.architecture == platform.architecture
                && (platform.variant.is_none()
                    || entry.variant.is_none()
                    || entry.variant == platform.variant)
        })
    };
    let exact = |found: &&model::image::Descriptor| {
        found.platform.as_ref().is_some_and(|entry| entry.variant == platform.variant)
    };
    let fitting: Vec<_> = index.manifests.iter().filter(fits).collect();
    let best = fitting.iter().copied().find(exact).or_else(|| fitting.first().copied());
    // An index without platforms and with one entry leaves no choice.
    let only = match index.manifests.as_slice() {
        [only] if only.platform.is_none() => Some(only),
        _ => None,
    };
    best.or(only).map(|found| found.digest.to_string()).ok_or_else(|| Error::NoPlatform {
        platform: platform.to_string(),
        reference: wanted.reference.familiar(),
    })
}

/// Brings configuration and layers in; gives the image's id.
async fn fetch(
    store: &Store,
    lease: &Arc<Lease>,
    resolved: &Resolved,
    wanted: &Pull,
    sink: &Sink,
) -> Result<Digest> {
    let manifest: Manifest = document::manifest(
        &resolved.manifest.digest,
        &resolved.manifest.bytes,
        Some(resolved.manifest.media_type.as_str()).filter(|name| !name.is_empty()),
    )
    .map_err(Error::Store)?;
    if manifest.config.size > CONFIG_MAX {
        return Err(Error::TooLarge {
            host: resolved.repository.endpoint().authority.clone(),
            what: "configuration",
            limit: CONFIG_MAX,
        });
    }
    let id = manifest.config.digest.clone();
    blob::config(&resolved.repository, store, lease, &manifest.config).await?;
    let bytes = store.blob_read(&id, CONFIG_MAX).map_err(Error::Store)?;
    let config = document::config(&id, &bytes).map_err(Error::Store)?;
    let permits = Arc::new(Semaphore::new(wanted.parallel.max(1)));
    let mut tasks = JoinSet::new();
    for (number, layer) in manifest.layers.iter().enumerate() {
        status(sink, layer.digest.short(), "Pulling fs layer");
        let source = LayerSource {
            blob: layer.clone(),
            diff_id: config.rootfs.diff_ids.get(number).cloned(),
            parents: config.rootfs.diff_ids.iter().take(number).cloned().collect(),
        };
        let (repository, store, lease) =
            (resolved.repository.clone(), store.clone(), lease.clone());
        let (permits, sink) = (permits.clone(), sink.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            blob::layer(&repository, &store, &lease, source, &sink).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        // Dropping the set on an error ends the other transfers; their bytes are kept.
        done.map_err(Error::Worker)??;
    }
    Ok(id)
}

/// Makes the image visible under the name.
async fn record(
    store: &Store,
    lease: &Arc<Lease>,
    resolved: &Resolved,
    wanted: &Pull,
    id: &Digest,
    digest: &Digest,
) -> Result<()> {
    let mut references = vec![wanted.reference.with_digest(digest.clone())];
    if let Some(tag) = wanted.reference.tag() {
        references.extend(wanted.reference.with_tag(tag).ok());
    }
    let descriptor = |fetched: &Fetched| {
        model::image::Descriptor::new(
            &fetched.media_type,
            fetched.digest.clone(),
            fetched.bytes.len() as u64,
        )
    };
    let new = NewImage {
        config: id.clone(),
        manifest: Some(descriptor(&resolved.manifest)),
        index: resolved.index.as_ref().map(descriptor),
        references,
    };
    let documents: Vec<_> = [Some(&resolved.manifest), resolved.index.as_ref()]
        .into_iter()
        .flatten()
        .map(|f| f.bytes.clone())
        .collect();
    let (store, lease) = (store.clone(), lease.clone());
    tokio::task::spawn_blocking(move || {
        for bytes in &documents {
            store.blob_put(&lease, bytes)?;
        }
        store.image_put(&lease, &new).map(drop)
    })
    .await
    .map_err(Error::Worker)?
    .map_err(Error::Store)
}

/// Words refusals about a repository as Docker does.
pub(crate) fn denied(error: Error, reference: &Reference) -> Error {
    match error {
        Error::Answer { status: 404, ref code, .. } if code != "NAME_UNKNOWN" => {
            Error::ManifestUnknown { reference: reference.to_string() }
        }
        Error::Unauthorized { .. } | Error::Answer { status: 403 | 404, .. } => {
            let repository = reference.familiar_repository();
            Error::Denied { repository, source: Box::new(error) }
        }
        other => other,
    }
}

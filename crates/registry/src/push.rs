//! Pushing: layers, configuration and manifest of one image to a registry.
//!
//! What the registry has isn't sent; what another of its repositories has is mounted.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use model::{
    Digest, Reference,
    image::{Descriptor, Manifest, media_type},
};
use store::{Compression, Image, Lease, Store, document};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::io::ReaderStream;

use crate::{
    client::{
        Client, Credentials,
        repository::{Repository, UploadStart},
    },
    error::{Error, Result},
    progress::{Counter, Sink, status},
    pull::denied,
    retry,
};

const DOCUMENT_MAX: u64 = 8 << 20;
const CHUNK: usize = 128 * 1024;

/// What to push.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to, with a tag.
    pub reference: Reference,
    /// For the registry.
    pub credentials: Credentials,
    /// Layers that go at the same time.
    pub parallel: usize,
}

/// What was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The tag that was set.
    pub tag: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Bytes of the manifest.
    pub size: u64,
}

/// A manifest ready to go.
struct Outgoing {
    media_type: String,
    bytes: Bytes,
    manifest: Manifest,
}

/// Pushes one image under one tag, and notes the digest under which the registry has it.
///
/// # Errors
/// The registry's refusals, worded as Docker does; the store's.
pub async fn push(client: &Client, store: &Store, wanted: &Push, sink: &Sink) -> Result<Pushed> {
    let reference = wanted.reference.clone().or_latest();
    status(sink, "", format!("The push refers to repository [{}]", reference.repository()));
    let lease = Arc::new(store.lease());
    let (image, outgoing) = prepare(store, &lease, &reference).await?;
    let repository = connect(client, &reference, &wanted.credentials).await?;
    let from = sources(&image, &reference);
    let permits = Arc::new(Semaphore::new(wanted.parallel.max(1)));
    let mut tasks = JoinSet::new();
    for blob in outgoing.manifest.layers.iter().chain([&outgoing.manifest.config]) {
        let shown = (blob.digest != outgoing.manifest.config.digest).then(|| sink.clone());
        if let Some(sink) = &shown {
            status(sink, blob.digest.short(), "Preparing");
        }
        let (repository, store, blob) = (repository.clone(), store.clone(), blob.clone());
        let (permits, from) = (permits.clone(), from.clone());
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let quiet: Sink = Arc::new(|_| {});
            let sink = shown.unwrap_or(quiet);
            retry::transient(|| send(&repository, &store, &blob, &from, &sink)).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.map_err(Error::Worker)?.map_err(|error| denied(error, &reference))?;
    }
    let tag = reference.tag().unwrap_or("latest").to_owned();
    let put = || repository.put_manifest(&tag, &outgoing.media_type, &outgoing.bytes);
    let digest = retry::transient(put).await.map_err(|error| denied(error, &reference))?;
    let size = outgoing.bytes.len() as u64;
    note(store, &lease, &image, &outgoing, &reference, &digest).await?;
    status(sink, "", format!("{tag}: digest: {digest} size: {size}"));
    Ok(Pushed { tag, digest, size })
}

/// The image and a manifest of it whose blobs are all here.
async fn prepare(
    store: &Store,
    lease: &Arc<Lease>,
    reference: &Reference,
) -> Result<(Image, Outgoing)> {
    let (store, lease, reference) = (store.clone(), lease.clone(), reference.clone());
    tokio::task::spawn_blocking(move || {
        let (id, _) = store.resolve(&reference)?;
        let image = store.image(&id)?;
        let outgoing = match stored_manifest(&store, &image)? {
            Some(outgoing) => outgoing,
            None => made_manifest(&store, &lease, &image)?,
        };
        Ok((image, outgoing))
    })
    .await
    .map_err(Error::Worker)?
    .map_err(Error::Store)
}

/// The manifest that the image came with, if its layers are here in a form worth sending.
fn stored_manifest(store: &Store, image: &Image) -> store::Result<Option<Outgoing>> {
    for descriptor in &image.manifests {
        let name = descriptor.media_type.as_str();
        if ![media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST].contains(&name) {
            continue;
        }
        let bytes = store.blob_read(&descriptor.digest, DOCUMENT_MAX)?;
        let manifest = document::manifest(&descriptor.digest, &bytes, Some(name))?;
        let mut whole = true;
        for layer in &manifest.layers {
            let plain = [media_type::OCI_LAYER, media_type::DOCKER_LAYER]
                .contains(&layer.media_type.as_str());
            whole &= !plain && store.blob_size(&layer.digest)?.is_some();
        }
        if whole {
            let media_type = descriptor.media_type.clone();
            return Ok(Some(Outgoing { media_type, bytes: bytes.into(), manifest }));
        }
    }
    Ok(None)
}

/// A new OCI manifest over gzip blobs of the layers.
fn made_manifest(store: &Store, lease: &Lease, image: &Image) -> store::Result<Outgoing> {
    let mut layers = Vec::new();
    for diff_id in &image.layers {
        layers.push(store.layer_blob(lease, diff_id, Compression::Gzip)?);
    }
    let size = store.blob_size(&image.id)?.unwrap_or_default();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media_type::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::new(media_type::OCI_CONFIG, image.id.clone(), size),
        layers,
        subject: None,
        annotations: Default::default(),
    };
    let bytes = serde_json::to_vec(&manifest).map_err(|source| store::Error::Document {
        what: "manifest",
        digest: image.id.clone(),
        source,
    })?;
    store.blob_put(lease, &bytes)?;
    Ok(Outgoing { media_type: media_type::OCI_MANIFEST.to_owned(), bytes: bytes.into(), manifest })
}

/// The repository, over TLS or, where it is insecure and has none, without.
async fn connect(
    client: &Client,
    reference: &Reference,
    credentials: &Credentials,
) -> Result<Repository> {
    let mut endpoint = client.hosts().registry(reference.domain());
    let path = reference.path();
    let repository = Repository::new(client, endpoint.clone(), path, credentials, true);
    let probe = retry::transient(|| repository.resolve(reference.tag().unwrap_or("latest"))).await;
    match probe {
        Err(Error::Request { .. } | Error::Tls { .. } | Error::Connect { .. })
            if endpoint.insecure && endpoint.tls =>
        {
            endpoint.tls = false;
            Ok(Repository::new(client, endpoint, path, credentials, true))
        }
        Err(error) => Err(denied(error, reference)),
        Ok(_) => Ok(repository),
    }
}

/// Repositories of the same registry that have this image: its blobs can be mounted from there.
fn sources(image: &Image, reference: &Reference) -> Vec<String> {
    image
        .digests
        .iter()
        .filter(|known| known.domain() == reference.domain() && known.path() != reference.path())
        .map(|known| known.path().to_owned())
        .collect()
}

async fn send(
    repository: &Repository,
    store: &Store,
    blob: &Descriptor,
    from: &[String],
    sink: &Sink,
) -> Result<()> {
    let id = blob.digest.short();
    if repository.has_blob(&blob.digest).await? {
        status(sink, id, "Layer already exists");
        return Ok(());
    }
    let offer = from.first().map(|path| (&blob.digest, path.as_str()));
    let session = match repository.begin_upload(offer).await? {
        UploadStart::Mounted => {
            let path = from.first().map(String::as_str).unwrap_or_default();
            status(sink, id, format!("Mounted from {path}"));
            return Ok(());
        }
        UploadStart::Session(session) => session,
    };
    // Opened once before, so that a missing blob is the store's error and not the transfer's.
    drop(store.blob_open(&blob.digest).map_err(Error::Store)?);
    let mut body = || upload_body(store, blob, sink);
    repository.finish_upload(session, &blob.digest, blob.size, &mut body).await?;
    status(sink, id, "Pushed");
    Ok(())
}

fn upload_body(store: &Store, blob: &Descriptor, sink: &Sink) -> crate::client::RequestBody {
    let mut counter = Counter::new(sink, blob.digest.short(), "Pushing", 0, blob.size);
    let opened = store.blob_open(&blob.digest).map(|file| tokio::fs::File::from_std(file.into()));
    match opened {
        Ok(file) => StreamBody::new(ReaderStream::with_capacity(file, CHUNK).map(move |chunk| {
            chunk.map(|bytes| {
                counter.add(bytes.len());
                Frame::data(bytes)
            })
        }))
        .boxed_unsync(),
        Err(error) => {
            StreamBody::new(futures_util::stream::iter([Err(std::io::Error::other(error))]))
                .boxed_unsync()
        }
    }
}

/// Remembers that the registry has the image under this digest.
async fn note(
    store: &Store,
    lease: &Arc<Lease>,
    image: &Image,
    outgoing: &Outgoing,
    reference: &Reference,
    digest: &Digest,
) -> Result<()> {
    let new = store::NewImage {
        config: image.id.clone(),
        manifest: Some(Descriptor::new(
            &outgoing.media_type,
            digest.clone(),
            outgoing.bytes.len() as u64,
        )),
        index: None,
        references: vec![reference.with_digest(digest.clone())],
    };
    let (store, lease, bytes) = (store.clone(), lease.clone(), outgoing.bytes.clone());
    tokio::task::spawn_blocking(move || {
        store.blob_put(&lease, &bytes)?;
        store.image_put(&lease, &new).map(drop)
    })
    .await
    .map_err(Error::Worker)?
    .map_err(Error::Store)
}

//! One blob from the wire into the store: the async side reads, a blocking thread hashes and unpacks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use model::{Digest, image::Descriptor};
use store::{Begin, BlobIngest, Layer, LayerIngest, LayerSource, Lease, Store};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    client::repository::Repository,
    error::{Error, Result},
    progress::{Counter, Sink, status},
    retry::{self, ATTEMPTS},
};

/// A registry that sends nothing for this long is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames between the network and the disk: enough to overlap, little enough to bound memory.
const FRAMES: usize = 32;

/// Brings a configuration in.
pub(super) async fn config(
    repository: &Repository,
    store: &Store,
    lease: &Arc<Lease>,
    blob: &Descriptor,
) -> Result<()> {
    let (store, lease) = (store.clone(), lease.clone());
    let (digest, size) = (blob.digest.clone(), blob.size);
    let begin = move || store.blob_begin(&lease, &digest, Some(size));
    transfer(repository, blob, begin, &mut |_| {}).await.map(drop)
}

/// Brings a layer in.
pub(super) async fn layer(
    repository: &Repository,
    store: &Store,
    lease: &Arc<Lease>,
    source: LayerSource,
    sink: &Sink,
) -> Result<()> {
    let id = source.blob.digest.short().to_owned();
    let blob = source.blob.clone();
    let mut attempt = 1;
    loop {
        let (store, lease, source) = (store.clone(), lease.clone(), source.clone());
        let begin = move || store.layer_begin(&lease, source);
        let mut counter = None;
        let mut count = |step: Step| match step {
            Step::From(offset) => {
                counter = Some(Counter::new(sink, &id, "Downloading", offset, blob.size));
            }
            Step::Read(bytes) => {
                if let Some(counter) = &mut counter {
                    counter.add(bytes);
                }
            }
            Step::Complete => {
                status(sink, &id, "Verifying Checksum");
                status(sink, &id, "Download complete");
            }
        };
        match transfer(repository, &blob, begin, &mut count).await {
            Ok(Outcome::Present) => {
                status(sink, &id, "Already exists");
                return Ok(());
            }
            Ok(Outcome::Stored) => {
                status(sink, &id, "Pull complete");
                return Ok(());
            }
            // Bytes that were damaged on the way are gone from the store: fetch them anew, once.
            Err(Error::Store(store::Error::WrongDigest { .. })) if attempt == 1 => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

enum Outcome {
    Present,
    Stored,
}

enum Step {
    From(u64),
    Read(usize),
    Complete,
}

/// Something that takes a blob's bytes.
trait Ingest: Send + 'static {
    fn offset(&self) -> u64;
    fn write(&mut self, bytes: &[u8]) -> store::Result<()>;
    fn finish(self) -> store::Result<()>;
}

impl Ingest for BlobIngest {
    fn offset(&self) -> u64 {
        BlobIngest::offset(self)
    }
    fn write(&mut self, bytes: &[u8]) -> store::Result<()> {
        BlobIngest::write(self, bytes)
    }
    fn finish(self) -> store::Result<()> {
        BlobIngest::finish(self).map(drop)
    }
}

impl Ingest for LayerIngest {
    fn offset(&self) -> u64 {
        LayerIngest::offset(self)
    }
    fn write(&mut self, bytes: &[u8]) -> store::Result<()> {
        LayerIngest::write(self, bytes)
    }
    fn finish(self) -> store::Result<()> {
        LayerIngest::finish(self).map(|_: Layer| ())
    }
}

async fn transfer<P, W, F>(
    repository: &Repository,
    blob: &Descriptor,
    begin: F,
    step: &mut (dyn FnMut(Step) + Send),
) -> Result<Outcome>
where
    F: FnOnce() -> store::Result<Begin<P, W>> + Send + 'static,
    W: Ingest,
{
    let (frames, incoming) = mpsc::channel(FRAMES);
    let (tell_offset, offset) = oneshot::channel();
    let writer = tokio::task::spawn_blocking(move || write(begin, incoming, tell_offset));
    let Ok(offset) = offset.await else {
        return finished(writer).await;
    };
    step(Step::From(offset));
    let read = read(repository, &blob.digest, blob.size, offset, frames, step).await;
    if read.is_ok() {
        step(Step::Complete);
    }
    let written = finished(writer).await;
    match (read, written) {
        (Ok(()), written) => written,
        // The writer saw the end before the size was reached: the transfer's own error says why.
        (Err(error), Ok(_) | Err(Error::Store(store::Error::WrongSize { .. }))) => Err(error),
        (Err(_), Err(error)) => Err(error),
    }
}

async fn finished(writer: JoinHandle<store::Result<Outcome>>) -> Result<Outcome> {
    writer.await.map_err(Error::Worker)?.map_err(Error::Store)
}

fn write<P, W: Ingest>(
    begin: impl FnOnce() -> store::Result<Begin<P, W>>,
    mut incoming: mpsc::Receiver<Bytes>,
    tell_offset: oneshot::Sender<u64>,
) -> store::Result<Outcome> {
    let mut ingest = match begin()? {
        Begin::Present(_) => return Ok(Outcome::Present),
        Begin::Wanted(ingest) => ingest,
    };
    if tell_offset.send(ingest.offset()).is_err() {
        // Nobody wants it any more; what is held stays for the next attempt.
        return Ok(Outcome::Present);
    }
    while let Some(bytes) = incoming.blocking_recv() {
        ingest.write(&bytes)?;
    }
    ingest.finish()?;
    Ok(Outcome::Stored)
}

/// Reads the blob from `offset` to its end, going on after interruptions.
async fn read(
    repository: &Repository,
    digest: &Digest,
    size: u64,
    offset: u64,
    frames: mpsc::Sender<Bytes>,
    step: &mut (dyn FnMut(Step) + Send),
) -> Result<()> {
    let mut at = offset;
    let mut attempt = 1;
    while at < size {
        let before = at;
        match read_once(repository, digest, size, &mut at, &frames, step).await {
            Ok(true) => {}
            // The writer has given up and knows why.
            Ok(false) => return Ok(()),
            Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                // Progress earns new patience: a long pull over a bad line must come to its end.
                attempt = if at > before { 1 } else { attempt + 1 };
                retry::pause(attempt, &error).await;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One request; false when the writer is gone.
async fn read_once(
    repository: &Repository,
    digest: &Digest,
    size: u64,
    at: &mut u64,
    frames: &mpsc::Sender<Bytes>,
    step: &mut (dyn FnMut(Step) + Send),
) -> Result<bool> {
    let host = || repository.endpoint().authority.clone();
    let (answer, from) = repository.blob(digest, *at).await?;
    // A server without ranges begins anew: pass over what we have.
    let mut skip = *at - from;
    let mut body = answer.into_body();
    while *at < size {
        let frame = match tokio::time::timeout(STALL_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(error))) => {
                return Err(Error::Request { host: host(), source: Box::new(error) });
            }
            Ok(None) => {
                let short = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
                return Err(Error::Request { host: host(), source: Box::new(short) });
            }
            Err(_) => {
                return Err(Error::Timeout { host: host(), seconds: STALL_TIMEOUT.as_secs() });
            }
        };
        let Ok(mut bytes) = frame.into_data() else { continue };
        let passed = skip.min(bytes.len() as u64);
        skip -= passed;
        let mut bytes = bytes.split_off(usize::try_from(passed).unwrap_or(usize::MAX));
        if bytes.is_empty() {
            continue;
        }
        // More than was announced is not ours to keep; the digest decides on the rest.
        bytes.truncate(usize::try_from(size - *at).unwrap_or(usize::MAX));
        *at += bytes.len() as u64;
        step(Step::Read(bytes.len()));
        if frames.send(bytes).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

//! A layer on its way in: hash, keep, decompress, hash again and unpack, all at once.
//!
//! The caller's thread hashes the compressed bytes and keeps them in the partial file; a second
//! thread decompresses, hashes and unpacks. Both see every byte once. States: begun → written
//! (any number of times) → finished, or dropped (the partial file stays for the next attempt,
//! the half tree goes).

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use model::Digest;
use model::digest::Algorithm;
use model::image::{Descriptor, media_type};
use sys::dir::Dir;

use super::Layer;
use crate::archive::{self, ArchiveError, Compression, ExtractOptions, Extractor, Limits, Reader};
use crate::blob::{Begin, Partial};
use crate::error::{Error, Result};
use crate::failpoint::failpoint;
use crate::hash::HashingReader;
use crate::lease::{Flight, Lease, Resource};
use crate::pipe::{PipeWriter, pipe};
use crate::store::{Inner, Staged, Store, now_ns};

/// Which layer is to come.
#[derive(Clone, Debug)]
pub struct LayerSource {
    /// The blob as the manifest has it; an empty media type is told from the content.
    pub blob: Descriptor,
    /// What it must unpack to, as the image's configuration says; `None` if nobody says.
    pub diff_id: Option<Digest>,
    /// Diff ids of the layers below, lowest first. Only layers that link to files of theirs, or
    /// that have files in directories without an entry, need them. Begin the lowest layer first.
    pub parents: Vec<Digest>,
}

/// A layer on its way in. Write the blob from [`LayerIngest::offset`] on, then finish.
pub struct LayerIngest {
    inner: Arc<Inner>,
    source: LayerSource,
    partial: Partial,
    packed: Arc<AtomicU64>,
    pipe: Option<PipeWriter>,
    unpacking: Option<Unpacking>,
    fed: bool,
    _blob_flight: Flight,
    _layer_flight: Option<Flight>,
}

struct Unpacking {
    staged: Staged,
    thread: JoinHandle<std::result::Result<Unpacked, ArchiveError>>,
}

struct Unpacked {
    diff_id: Digest,
    tar_size: u64,
    extractor: Extractor,
}

impl Store {
    /// Begins to take in a layer, or gives it if it is there. Waits while somebody else takes in
    /// the same one. The lease keeps blob and layer afterwards.
    ///
    /// # Errors
    /// The disk's.
    pub fn layer_begin(
        &self,
        lease: &Lease,
        source: LayerSource,
    ) -> Result<Begin<Layer, LayerIngest>> {
        let blob_key = Resource::Blob(source.blob.digest.clone());
        lease.keep(blob_key.clone());
        if let Some(diff_id) = &source.diff_id {
            lease.keep(Resource::Layer(diff_id.clone()));
        }
        // Always blob before layer, so that two never wait for each other.
        let blob_flight = self.inner.flights.begin(blob_key);
        let layer_flight =
            source.diff_id.clone().map(|id| self.inner.flights.begin(Resource::Layer(id)));
        let known = match &source.diff_id {
            Some(diff_id) => self.inner.layer(diff_id)?,
            None => self.layer_of_blob(&source.blob.digest)?,
        };
        if let Some(layer) = known {
            lease.keep(Resource::Layer(layer.diff_id.clone()));
            return Ok(Begin::Present(layer));
        }
        self.inner.reuse_blob(&source.blob.digest)?;
        let partial = Partial::open(&self.inner, &source.blob.digest, Some(source.blob.size))?;
        let packed = Arc::new(AtomicU64::new(0));
        let (pipe, unpacking) = self.inner.unpack(&source, packed.clone())?;
        Ok(Begin::Wanted(LayerIngest {
            inner: self.inner.clone(),
            source,
            partial,
            packed,
            pipe: Some(pipe),
            unpacking: Some(unpacking),
            fed: false,
            _blob_flight: blob_flight,
            _layer_flight: layer_flight,
        }))
    }
}

impl LayerIngest {
    /// Bytes of the blob that are held already: go on from there.
    pub fn offset(&self) -> u64 {
        self.partial.length
    }

    /// Takes the next bytes of the blob; may wait for the unpacking thread.
    ///
    /// # Errors
    /// [`Error::Unpack`] as soon as the archive turns out bad, [`Error::WrongSize`] as soon as
    /// there is too much; the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.feed()?;
        self.partial.write(bytes)?;
        self.packed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let Some(pipe) = self.pipe.as_mut() else { return Err(Error::Closed) };
        if pipe.write_all(bytes).is_err() {
            return Err(self.unpack_failure());
        }
        Ok(())
    }

    /// Verifies size, digest and diff id, and makes blob and layer visible.
    ///
    /// # Errors
    /// [`Error::WrongSize`] keeps the bytes for another attempt; [`Error::WrongDigest`],
    /// [`Error::WrongDiffId`] and [`Error::Unpack`] drop them.
    pub fn finish(mut self) -> Result<Layer> {
        self.feed()?;
        // A short blob must stay resumable, so its length comes before its content.
        if self.partial.length < self.source.blob.size {
            self.partial.verify()?;
        }
        let ended = self.pipe.take().is_some_and(|pipe| pipe.finish().is_ok());
        if !ended {
            return Err(self.unpack_failure());
        }
        self.partial.verify()?;
        let (staged, mut unpacked) = self.join()?;
        if let Some(expected) = &self.source.diff_id
            && *expected != unpacked.diff_id
        {
            self.partial.drop_content();
            return Err(Error::WrongDiffId {
                blob: self.source.blob.digest.clone(),
                expected: expected.clone(),
                actual: unpacked.diff_id,
            });
        }
        if !unpacked.extractor.is_settled() {
            let lowers = self.inner.lowers(&self.source.parents)?;
            unpacked.extractor.settle(&lowers).map_err(|source| self.unpack_error(source))?;
        }
        let extracted = unpacked.extractor.finish().map_err(|source| self.unpack_error(source))?;
        failpoint!("layer-unpacked");
        let mut blob = self.source.blob.clone();
        if blob.media_type.is_empty() {
            blob.media_type = self.sniff_media_type()?.to_owned();
        }
        let layer = Layer {
            diff_id: unpacked.diff_id,
            size: extracted.content_bytes,
            disk_bytes: extracted.disk_bytes,
            tar_size: unpacked.tar_size,
            entries: extracted.entries,
            created_ns: now_ns(),
            made_here: false,
            blobs: vec![blob.clone()],
        };
        self.inner.publish_layer(&staged, &layer, Some(&blob.digest))?;
        self.inner.record_layer(&layer, Some(blob))
    }

    /// Sends what is held from before through the hash and the unpacker, once.
    fn feed(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.fed, true) {
            return Ok(());
        }
        let Some(pipe) = self.pipe.as_mut() else { return Err(Error::Closed) };
        let packed = &self.packed;
        let mut broken = false;
        self.partial.rehash(|bytes| {
            packed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if !broken {
                broken = pipe.write_all(bytes).is_err();
            }
            Ok(())
        })?;
        if broken { Err(self.unpack_failure()) } else { Ok(()) }
    }

    /// Why the unpacking thread ended before its time. The bytes so far can't become a layer, so
    /// they are dropped, unless it was this machine's fault.
    fn unpack_failure(&mut self) -> Error {
        self.pipe = None;
        let error = match self.join() {
            Ok(_) => Error::Worker("unpack a layer"),
            Err(error) => error,
        };
        if error.kind() == model::ErrorKind::InvalidInput {
            self.partial.drop_content();
        }
        error
    }

    fn join(&mut self) -> Result<(Staged, Unpacked)> {
        let unpacking = self.unpacking.take().ok_or(Error::Closed)?;
        let result = unpacking.thread.join().map_err(|_| Error::Worker("unpack a layer"))?;
        match result {
            Ok(unpacked) => Ok((unpacking.staged, unpacked)),
            Err(source) => Err(self.unpack_error(source)),
        }
    }

    fn unpack_error(&self, source: ArchiveError) -> Error {
        Error::Unpack { subject: self.source.blob.digest.to_string(), source }
    }

    fn sniff_media_type(&self) -> Result<&'static str> {
        use std::os::unix::fs::FileExt;
        let mut start = [0u8; 8];
        let length = self
            .partial
            .file
            .read_at(&mut start, 0)
            .map_err(Error::file("read", "a partial blob"))?;
        Ok(match archive::sniff(&start[..length]) {
            archive::Sniffed::Known(compression) => layer_media_type(compression),
            archive::Sniffed::Unsupported(_) => media_type::OCI_LAYER,
        })
    }
}

impl Drop for LayerIngest {
    fn drop(&mut self) {
        self.pipe = None;
        if let Some(unpacking) = self.unpacking.take() {
            // Without its writer the thread ends by itself; its error is the caller's own doing.
            let _ = unpacking.thread.join();
        }
    }
}

/// OCI's media type of a layer.
pub(crate) fn layer_media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => media_type::OCI_LAYER,
        Compression::Gzip => media_type::OCI_LAYER_GZIP,
        Compression::Zstd => media_type::OCI_LAYER_ZSTD,
    }
}

impl Inner {
    /// A blob that is there, while its layer isn't, becomes the partial one: nothing is fetched
    /// again. Its record goes first, so that a crash leaves it to be taken back.
    fn reuse_blob(&self, digest: &Digest) -> Result<()> {
        if self.blob(digest)?.is_some() {
            let key = digest.to_string();
            self.write(crate::Durability::Lazy, move |tx| {
                tx.delete(crate::db::Table::Blobs, &key)
            })?;
        }
        Ok(())
    }

    fn unpack(
        self: &Arc<Self>,
        source: &LayerSource,
        packed: Arc<AtomicU64>,
    ) -> Result<(PipeWriter, Unpacking)> {
        let staged = self.stage("layer")?;
        let tree = new_tree(&staged)?;
        let (writer, reader) = pipe();
        let limits = self.options.limits;
        let algorithm = source.diff_id.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let thread = std::thread::Builder::new()
            .name("store-unpack".to_owned())
            .spawn(move || unpack(reader, tree, algorithm, packed, limits))
            .map_err(Error::file("start", "a thread that unpacks"))?;
        Ok((writer, Unpacking { staged, thread }))
    }

    /// The trees of the layers below, topmost first, once nobody works on them any more.
    pub(crate) fn lowers(&self, parents: &[Digest]) -> Result<Vec<Dir>> {
        let mut lowers = Vec::new();
        for diff_id in parents.iter().rev() {
            self.flights.wait(&Resource::Layer(diff_id.clone()));
            if self.layer(diff_id)?.is_some() {
                lowers.push(self.layer_tree(diff_id)?);
            }
        }
        Ok(lowers)
    }
}

/// Makes `fs` in a staged directory, with the mode and time that a layer without an entry for its
/// root gets.
pub(crate) fn new_tree(staged: &Staged) -> Result<Dir> {
    let subject = || format!("staging/{}/fs", staged.name);
    staged.dir.make_dir(b"fs", 0o755).map_err(Error::file("create", subject()))?;
    let tree = staged.dir.open_dir(b"fs").map_err(Error::file("open", subject()))?;
    // mkdir(2) applied the umask.
    sys::file::set_mode(tree.as_fd(), 0o755).map_err(Error::file("protect", subject()))?;
    Ok(tree)
}

fn unpack(
    source: impl io::BufRead + Send,
    tree: Dir,
    algorithm: Algorithm,
    packed: Arc<AtomicU64>,
    limits: Limits,
) -> std::result::Result<Unpacked, ArchiveError> {
    let plain = archive::decoder(source)?;
    let mut hashing = HashingReader::new(plain, algorithm, packed, limits);
    let mut extractor = Extractor::new(tree, ExtractOptions::layer(limits));
    let mut reader = Reader::new(&mut hashing, limits);
    while let Some(entry) = reader.next_entry()? {
        extractor.apply(&entry, &mut reader)?;
    }
    reader.drain()?;
    let (diff_id, tar_size) = hashing.finish();
    Ok(Unpacked { diff_id, tar_size, extractor })
}

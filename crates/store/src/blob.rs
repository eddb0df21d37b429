//! Blobs: immutable bytes named by their digest.
//!
//! States of one that comes in: partial (in staging, named by its digest, survives a crash) →
//! verified → visible (renamed and recorded). Wrong content never gets past the second.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use model::Digest;
use serde::{Deserialize, Serialize};

use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::failpoint::failpoint;
use crate::hash::Hasher;
use crate::lease::{Flight, Lease, Resource};
use crate::store::{Inner, Store, blob_path};

/// What the database knows of a blob.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BlobRecord {
    pub(crate) size: u64,
    /// What it unpacks to, if it is a layer that was unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) diff_id: Option<Digest>,
}

/// The answer to a wish to bring something in.
#[must_use]
pub enum Begin<P, W> {
    /// It is there already.
    Present(P),
    /// It is wanted: write it.
    Wanted(W),
}

/// A blob open for reading.
#[derive(Debug)]
pub struct BlobFile {
    file: File,
    size: u64,
}

impl BlobFile {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for BlobFile {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.file.read(out)
    }
}

impl Seek for BlobFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl From<BlobFile> for File {
    fn from(blob: BlobFile) -> Self {
        blob.file
    }
}

/// A blob on its way in.
pub struct BlobIngest {
    inner: Arc<Inner>,
    partial: Partial,
    _flight: Flight,
}

impl Store {
    /// Begins to take in the blob `digest` of `size` bytes (if known). Waits while somebody else
    /// takes in the same one. The lease keeps it afterwards.
    ///
    /// # Errors
    /// The disk's.
    pub fn blob_begin(
        &self,
        lease: &Lease,
        digest: &Digest,
        size: Option<u64>,
    ) -> Result<Begin<u64, BlobIngest>> {
        let key = Resource::Blob(digest.clone());
        lease.keep(key.clone());
        let flight = self.inner.flights.begin(key);
        if let Some(size) = self.blob_size(digest)? {
            return Ok(Begin::Present(size));
        }
        let mut partial = Partial::open(&self.inner, digest, size)?;
        partial.rehash(|_| Ok(()))?;
        Ok(Begin::Wanted(BlobIngest { inner: self.inner.clone(), partial, _flight: flight }))
    }

    /// Stores a small document; the same bytes again are no work.
    ///
    /// # Errors
    /// The disk's.
    pub fn blob_put(&self, lease: &Lease, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        match self.blob_begin(lease, &digest, Some(bytes.len() as u64))? {
            Begin::Present(_) => {}
            Begin::Wanted(mut ingest) => {
                let have = usize::try_from(ingest.offset()).unwrap_or(usize::MAX);
                ingest.write(&bytes[have.min(bytes.len())..])?;
                ingest.finish()?;
            }
        }
        Ok(digest)
    }

    /// The length of a blob in bytes, if it is there.
    ///
    /// # Errors
    /// The database's.
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let Some(record) = self.inner.blob(digest)? else { return Ok(None) };
        // A file lost behind our back is not there, whatever the record says: a pull heals it.
        let dir = self.inner.dirs.blobs(digest.algorithm());
        let there = dir.stat(digest.hex().as_bytes()).is_ok_and(|stat| stat.size == record.size);
        Ok(there.then_some(record.size))
    }

    /// Opens a blob for reading. It stays readable when it is collected meanwhile.
    ///
    /// # Errors
    /// [`Error::NoBlob`].
    pub fn blob_open(&self, digest: &Digest) -> Result<BlobFile> {
        self.inner.blob_open(digest)
    }

    /// Reads a document of at most `limit` bytes whole, and verifies it.
    ///
    /// # Errors
    /// [`Error::NoBlob`], [`Error::WrongDigest`] if the disk damaged it, [`Error::WrongSize`] if it
    /// is longer than `limit`.
    pub fn blob_read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        self.inner.blob_read(digest, limit)
    }
}

impl Inner {
    pub(crate) fn blob(&self, digest: &Digest) -> Result<Option<BlobRecord>> {
        self.read(|snapshot| snapshot.get(Table::Blobs, &digest.to_string()))
    }

    pub(crate) fn blob_open(&self, digest: &Digest) -> Result<BlobFile> {
        let dir = self.dirs.blobs(digest.algorithm());
        let file = match dir.open_file(digest.hex().as_bytes()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoBlob(digest.clone()));
            }
            Err(error) => return Err(Error::file("open", blob_path(digest))(error)),
        };
        let size = sys::file::stat(&file).map_err(Error::file("inspect", blob_path(digest)))?.size;
        Ok(BlobFile { file, size })
    }

    pub(crate) fn blob_read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let file = self.blob_open(digest)?;
        if file.size > limit {
            let (expected, actual) = (limit, file.size);
            return Err(Error::WrongSize { digest: digest.clone(), expected, actual });
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(Error::file("read", blob_path(digest)))?;
        let mut hasher = Hasher::new(digest.algorithm());
        hasher.update(&bytes);
        let actual = hasher.finish();
        if actual != *digest {
            return Err(Error::WrongDigest { expected: digest.clone(), actual });
        }
        Ok(bytes)
    }

    /// A crash between rename and transaction leaves a blob without record: it is taken back as a
    /// partial one, to be verified like any other.
    fn adopt(&self, digest: &Digest, partial: &str) -> Result<()> {
        if self.blob(digest)?.is_some() || self.dirs.partial.stat(partial.as_bytes()).is_ok() {
            return Ok(());
        }
        let dir = self.dirs.blobs(digest.algorithm());
        match dir.rename(digest.hex().as_bytes(), &self.dirs.partial, partial.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::file("take back", blob_path(digest))(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes a verified and synced partial file visible under its digest.
    pub(crate) fn publish_blob(&self, digest: &Digest) -> Result<()> {
        let dir = self.dirs.blobs(digest.algorithm());
        failpoint!("blob-before-rename");
        self.dirs
            .partial
            .rename(partial_name(digest).as_bytes(), dir, digest.hex().as_bytes())
            .map_err(Error::file("publish", blob_path(digest)))?;
        dir.sync().map_err(Error::file("sync", blob_path(digest)))?;
        failpoint!("blob-after-rename");
        Ok(())
    }
}

impl BlobIngest {
    /// Bytes that are held already from an attempt before: go on from there.
    pub fn offset(&self) -> u64 {
        self.partial.length
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::WrongSize`] as soon as there are too many; the disk's.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.partial.write(bytes)
    }

    /// Verifies size and digest, and makes the blob visible. Gives its size in bytes.
    ///
    /// # Errors
    /// [`Error::WrongSize`] keeps the bytes for another attempt, [`Error::WrongDigest`] drops them.
    pub fn finish(self) -> Result<u64> {
        let Self { inner, mut partial, _flight } = self;
        partial.verify()?;
        failpoint!("blob-before-sync");
        partial.file.sync_all().map_err(Error::file("sync", blob_path(&partial.digest)))?;
        inner.publish_blob(&partial.digest)?;
        let (key, size) = (partial.digest.to_string(), partial.length);
        inner.write(Durability::Durable, move |tx| {
            tx.put(Table::Blobs, &key, &BlobRecord { size, diff_id: None })
        })?;
        Ok(size)
    }
}

/// A blob's bytes so far, with the digest so far.
pub(crate) struct Partial {
    inner: Arc<Inner>,
    pub(crate) digest: Digest,
    pub(crate) file: File,
    pub(crate) length: u64,
    expected: Option<u64>,
    hasher: Hasher,
}

fn partial_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

impl Partial {
    /// Opens what is held of `digest`; [`Partial::rehash`] must follow before anything is written.
    pub(crate) fn open(inner: &Arc<Inner>, digest: &Digest, expected: Option<u64>) -> Result<Self> {
        let name = partial_name(digest);
        inner.adopt(digest, &name)?;
        let file = inner
            .dirs
            .partial
            .open_or_create_file(name.as_bytes(), 0o600)
            .map_err(Error::file("open", format!("staging/partial/{name}")))?;
        let mut length = sys::file::stat(&file)
            .map_err(Error::file("inspect", format!("staging/partial/{name}")))?
            .size;
        if expected.is_some_and(|expected| length > expected) {
            file.set_len(0).map_err(Error::file("empty", format!("staging/partial/{name}")))?;
            length = 0;
        }
        Ok(Self {
            inner: inner.clone(),
            digest: digest.clone(),
            file,
            length,
            expected,
            hasher: Hasher::new(digest.algorithm()),
        })
    }

    /// Reads what is held through the hash, giving it to `pass` on the way, and stands at its end.
    pub(crate) fn rehash(&mut self, mut pass: impl FnMut(&[u8]) -> io::Result<()>) -> Result<()> {
        let subject = || format!("staging/partial/{}", partial_name(&self.digest));
        let mut source = BufReader::with_capacity(256 * 1024, &self.file);
        let mut count = 0;
        loop {
            let chunk =
                io::BufRead::fill_buf(&mut source).map_err(Error::file("read", subject()))?;
            if chunk.is_empty() {
                break;
            }
            self.hasher.update(chunk);
            pass(chunk).map_err(Error::file("unpack", subject()))?;
            let length = chunk.len();
            count += length as u64;
            io::BufRead::consume(&mut source, length);
        }
        self.length = count;
        Ok(())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let length = self.length + bytes.len() as u64;
        if let Some(expected) = self.expected
            && length > expected
        {
            self.drop_content();
            let digest = self.digest.clone();
            return Err(Error::WrongSize { digest, expected, actual: length });
        }
        self.file
            .write_all(bytes)
            .map_err(Error::file("write", format!("staging/partial/{}", self.digest.hex())))?;
        self.hasher.update(bytes);
        self.length = length;
        failpoint!("blob-written");
        Ok(())
    }

    /// Compares size and digest with what was asked for.
    pub(crate) fn verify(&mut self) -> Result<()> {
        if let Some(expected) = self.expected
            && self.length != expected
        {
            let (digest, actual) = (self.digest.clone(), self.length);
            return Err(Error::WrongSize { digest, expected, actual });
        }
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            // A resumption from wrong bytes could never succeed.
            self.drop_content();
            return Err(Error::WrongDigest { expected: self.digest.clone(), actual });
        }
        Ok(())
    }

    pub(crate) fn drop_content(&self) {
        let name = partial_name(&self.digest);
        if let Err(error) = self.inner.dirs.partial.remove_tree(name.as_bytes()) {
            tracing::warn!(%error, name, "a partial download is left to the sweep");
        }
    }
}

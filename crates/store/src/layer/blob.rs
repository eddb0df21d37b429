//! A layer as bytes again: its archive, and blobs of it in the wanted compression.
//!
//! Where a blob is kept, it is read; where the layer was made here, the archive is made again
//! from the tree, and verified against the diff id while it passes.

use std::io::{self, BufReader, Read};
use std::thread::JoinHandle;

use model::Digest;
use model::image::{Descriptor, media_type};

use super::Layer;
use super::commit::layer_tree_options;
use super::ingest::layer_media_type;
use crate::archive::{self, ArchiveError, Compression, Encoder, Writer, write_tree};
use crate::error::{Error, Result};
use crate::hash::{Hasher, HashingWriter};
use crate::lease::{Lease, Resource};
use crate::pipe::{PipeReader, pipe};
use crate::store::{Inner, Store, blob_path};

/// The uncompressed archive of a layer. The last read fails if the bytes weren't the layer's.
pub struct TarStream {
    source: Source,
    hasher: Option<Hasher>,
    diff_id: Digest,
    size: u64,
}

enum Source {
    Blob(Box<dyn Read + Send>),
    Tree { pipe: PipeReader, thread: Option<JoinHandle<std::result::Result<(), ArchiveError>>> },
}

impl TarStream {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for TarStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.source {
            Source::Blob(reader) => reader.read(out)?,
            Source::Tree { pipe, thread } => match pipe.read(out) {
                Ok(length) => length,
                Err(error) => {
                    // The writing thread knows better why there is no more.
                    let cause = thread.take().and_then(|thread| thread.join().ok());
                    return Err(match cause {
                        Some(Err(cause)) => io::Error::other(cause),
                        _ => error,
                    });
                }
            },
        };
        if length == 0 && !out.is_empty() {
            if let Some(hasher) = self.hasher.take() {
                let actual = hasher.finish();
                if actual != self.diff_id {
                    let expected = self.diff_id.clone();
                    return Err(io::Error::other(Error::WrongDigest { expected, actual }));
                }
            }
        } else if let Some(hasher) = &mut self.hasher {
            hasher.update(&out[..length]);
        }
        Ok(length)
    }
}

impl Store {
    /// The uncompressed archive of a layer.
    ///
    /// # Errors
    /// [`Error::NoLayer`].
    pub fn layer_tar(&self, diff_id: &Digest) -> Result<TarStream> {
        let layer = self.inner.layer(diff_id)?.ok_or_else(|| Error::NoLayer(diff_id.clone()))?;
        self.inner.layer_tar(&layer)
    }

    /// A blob of the layer in this compression: one that is kept, or a new one made now.
    ///
    /// # Errors
    /// [`Error::NoLayer`]; [`Error::Archive`] if the tree no longer gives the diff id.
    pub fn layer_blob(
        &self,
        lease: &Lease,
        diff_id: &Digest,
        compression: Compression,
    ) -> Result<Descriptor> {
        let layer = self.layer_keep(lease, diff_id)?;
        for blob in &layer.blobs {
            lease.keep(Resource::Blob(blob.digest.clone()));
            if compression_of(&blob.media_type) == Some(compression)
                && self.blob_size(&blob.digest)?.is_some()
            {
                return Ok(blob.clone());
            }
        }
        self.inner.make_blob(lease, &layer, compression)
    }
}

impl Inner {
    pub(crate) fn layer_tar(&self, layer: &Layer) -> Result<TarStream> {
        let mut stream = TarStream {
            source: Source::Blob(Box::new(io::empty())),
            hasher: Some(Hasher::new(layer.diff_id.algorithm())),
            diff_id: layer.diff_id.clone(),
            size: layer.tar_size,
        };
        // The least work first: a plain blob is the archive already.
        let mut blobs: Vec<_> = layer.blobs.iter().collect();
        blobs.sort_by_key(|blob| compression_of(&blob.media_type) != Some(Compression::None));
        for blob in blobs {
            let Ok(file) = self.blob_open(&blob.digest) else { continue };
            let buffered = BufReader::with_capacity(archive::buffer_size(), file);
            let plain = archive::decoder(buffered)
                .map_err(|source| Error::Unpack { subject: blob.digest.to_string(), source })?;
            stream.source = Source::Blob(plain);
            return Ok(stream);
        }
        if let (false, Some(lost)) = (layer.made_here, layer.blobs.first()) {
            return Err(Error::NoBlob(lost.digest.clone()));
        }
        let tree = self.layer_tree(&layer.diff_id)?;
        let (sink, source) = pipe();
        let thread = std::thread::Builder::new()
            .name("store-archive".to_owned())
            .spawn(move || {
                let mut writer = Writer::new(sink);
                write_tree(&mut writer, &tree, layer_tree_options(None))?;
                writer.finish()?.finish().map_err(ArchiveError::Write)
            })
            .map_err(Error::file("start", "a thread that archives"))?;
        stream.source = Source::Tree { pipe: source, thread: Some(thread) };
        Ok(stream)
    }

    fn make_blob(
        &self,
        lease: &Lease,
        layer: &Layer,
        compression: Compression,
    ) -> Result<Descriptor> {
        let mut archive = self.layer_tar(layer)?;
        let name = self.staging_name("blob");
        let subject = || format!("staging/{name}");
        let file = self
            .dirs
            .staging
            .create_file(name.as_bytes(), 0o600)
            .map_err(Error::file("create", subject()))?;
        let written = (|| {
            let mut encoder = Encoder::new(compression, HashingWriter::new(file))?;
            io::copy(&mut archive, &mut encoder)?;
            let (file, digest, size) = encoder.finish()?.finish();
            file.sync_all()?;
            Ok((digest, size))
        })();
        let (digest, size) = match written {
            Ok(done) => done,
            Err(error) => {
                // The file is of no use; what matters is why.
                let _ = self.dirs.staging.unlink(name.as_bytes());
                return Err(Error::file("compress", format!("layer {}", layer.diff_id))(error));
            }
        };
        lease.keep(Resource::Blob(digest.clone()));
        let _flight = self.flights.begin(Resource::Blob(digest.clone()));
        let dir = self.dirs.blobs(digest.algorithm());
        self.dirs
            .staging
            .rename(name.as_bytes(), dir, digest.hex().as_bytes())
            .map_err(Error::file("publish", blob_path(&digest)))?;
        dir.sync().map_err(Error::file("sync", blob_path(&digest)))?;
        let blob = Descriptor::new(layer_media_type(compression), digest, size);
        self.record_layer(layer, Some(blob.clone()))?;
        Ok(blob)
    }
}

/// The compression that a layer's media type names.
pub(crate) fn compression_of(name: &str) -> Option<Compression> {
    match name {
        media_type::OCI_LAYER | media_type::DOCKER_LAYER => Some(Compression::None),
        media_type::OCI_LAYER_GZIP | media_type::DOCKER_LAYER_GZIP => Some(Compression::Gzip),
        media_type::OCI_LAYER_ZSTD => Some(Compression::Zstd),
        // Foreign layers (…nondistributable…) say it the same way at the end.
        other if other.ends_with("tar+gzip") || other.ends_with("tar.gzip") => {
            Some(Compression::Gzip)
        }
        other if other.ends_with("tar+zstd") => Some(Compression::Zstd),
        other if other.ends_with(".tar") => Some(Compression::None),
        _ => None,
    }
}

//! Digests computed while bytes pass by.

use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::Digest;
use model::digest::Algorithm;
use sha2::{Digest as _, Sha256, Sha512};

use crate::archive::Limits;

/// A digest in the making.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Box::new(Sha512::new())),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Sha512(state) => state.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Digest {
        match self {
            Self::Sha256(state) => Digest::from_sha256(state.finalize().into()),
            Self::Sha512(state) => Digest::from_sha512(state.finalize().into()),
        }
    }
}

/// Hashes and counts what is written, and passes it on.
pub(crate) struct HashingWriter<W> {
    sink: W,
    hasher: Hasher,
    written: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, hasher: Hasher::new(Algorithm::Sha256), written: 0 }
    }

    /// The sink, the digest and the number of bytes.
    pub(crate) fn finish(self) -> (W, Digest, u64) {
        (self.sink, self.hasher.finish(), self.written)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

const BUFFER: usize = 256 * 1024;
/// Ratios say nothing about small archives; bombs are large.
const RATIO_FROM: u64 = 256 << 20;

/// Hashes and counts what is read, and stops at the limits: the layer's uncompressed side.
pub(crate) struct HashingReader<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    hasher: Hasher,
    count: u64,
    /// Compressed bytes that went in so far.
    packed: Arc<AtomicU64>,
    limits: Limits,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(
        source: R,
        algorithm: Algorithm,
        packed: Arc<AtomicU64>,
        limits: Limits,
    ) -> Self {
        Self {
            source,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            hasher: Hasher::new(algorithm),
            count: 0,
            packed,
            limits,
        }
    }

    /// The digest and number of the bytes read.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (self.hasher.finish(), self.count)
    }

    fn check(&self) -> io::Result<()> {
        let packed = self.packed.load(Ordering::Relaxed);
        let bomb = self.count > RATIO_FROM && self.count / self.limits.ratio > packed;
        if bomb || self.count > self.limits.unpacked_bytes {
            let text = if bomb {
                format!("it expands more than {} times", self.limits.ratio)
            } else {
                format!("it expands to more than {} bytes", self.limits.unpacked_bytes)
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(out.len());
        out[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for HashingReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.end = self.source.read(&mut self.buffer)?;
            self.hasher.update(&self.buffer[..self.end]);
            self.count += self.end as u64;
            self.check()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, length: usize) {
        self.start += length;
    }
}

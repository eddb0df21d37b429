//! Compression of archives: told by content when reading, chosen when writing.
//!
//! Output is deterministic: no time, no name, fixed levels, one thread.

use std::io::{self, BufRead, Read, Write};

use super::ArchiveError;

/// Compressions that Cale writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Plain tar.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What the first bytes of a stream say of its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// One that can be read.
    Known(Compression),
    /// One that can't, by name.
    Unsupported(&'static str),
}

/// Longest magic number that [`sniff`] looks for, in bytes.
const MAGIC_MAX: usize = 6;
/// zstd frames that need more memory than this many bits of window are refused (128 MiB).
const WINDOW_LOG_MAX: u32 = 27;
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
const BUFFER: usize = 256 * 1024;

/// Tells the compression from a stream's first bytes.
pub fn sniff(start: &[u8]) -> Sniffed {
    match start {
        [0x1f, 0x8b, ..] => Sniffed::Known(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Sniffed::Known(Compression::Zstd),
        // Skippable frames (0x184D2A50 to 5F, little-endian) may come first: zstd:chunked has them.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Sniffed::Known(Compression::Zstd),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Sniffed::Unsupported("bzip2"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Sniffed::Unsupported("xz"),
        _ => Sniffed::Known(Compression::None),
    }
}

/// A reader of the uncompressed bytes of `source`, whatever its compression.
///
/// # Errors
/// [`ArchiveError::Compression`] for one that can't be read; [`ArchiveError::Read`].
pub fn decoder<'a>(
    mut source: impl BufRead + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>, ArchiveError> {
    let mut start = Vec::with_capacity(MAGIC_MAX);
    // A single fill may give less than the magic number, so gather it and put it back in front.
    source.by_ref().take(MAGIC_MAX as u64).read_to_end(&mut start).map_err(ArchiveError::Read)?;
    let known = match sniff(&start) {
        Sniffed::Known(known) => known,
        Sniffed::Unsupported(name) => return Err(ArchiveError::Compression(name)),
    };
    let source = io::Cursor::new(start).chain(source);
    Ok(match known {
        Compression::None => Box::new(source),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
        Compression::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(source).map_err(ArchiveError::Read)?;
            decoder.window_log_max(WINDOW_LOG_MAX).map_err(ArchiveError::Read)?;
            Box::new(decoder)
        }
    })
}

/// Compresses what is written to it.
pub enum Encoder<W: Write> {
    /// Passes everything on.
    None(W),
    /// gzip, level 6.
    Gzip(Box<flate2::write::GzEncoder<W>>),
    /// zstd, level 3.
    Zstd(Box<zstd::stream::write::Encoder<'static, W>>),
}

impl<W: Write> Encoder<W> {
    /// An encoder that writes to `sink`.
    ///
    /// # Errors
    /// When zstd can't have its memory.
    pub fn new(compression: Compression, sink: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::None(sink),
            Compression::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(flate2::GzBuilder::new().write(sink, level)))
            }
            Compression::Zstd => {
                Self::Zstd(Box::new(zstd::stream::write::Encoder::new(sink, ZSTD_LEVEL)?))
            }
        })
    }

    /// Writes the end of the stream and gives the sink back.
    ///
    /// # Errors
    /// As the sink's.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::None(sink) => Ok(sink),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::None(sink) => sink.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::None(sink) => sink.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Size of the buffers between the stages of a stream, in bytes.
pub(crate) const fn buffer_size() -> usize {
    BUFFER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compression_round_trips_and_is_deterministic() {
        let content: Vec<u8> = (0..300_000u32).map(|n| (n / 7) as u8).collect();
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let encode = || {
                let mut encoder = Encoder::new(compression, Vec::new()).unwrap();
                encoder.write_all(&content).unwrap();
                encoder.finish().unwrap()
            };
            let packed = encode();
            assert_eq!(packed, encode());
            let mut back = Vec::new();
            decoder(&packed[..]).unwrap().read_to_end(&mut back).unwrap();
            assert!(back == content, "{compression:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = decoder(&b"BZh91AY&SY"[..]).err().unwrap();
        assert_eq!(refused.to_string(), "unsupported compression bzip2; use gzip, zstd or none");
        assert!(decoder(&b"\x1f"[..]).is_ok());
    }
}

//! Tar: a strict streaming reader, an extractor into a rooted directory, a deterministic writer.
//!
//! Owns the format (POSIX ustar and pax, GNU long names and sparse files), the rules of what an
//! entry may do, and compression by content sniffing. Deliberately owns no digests and no layers:
//! `layer` puts those on top. Nothing here ever follows a link out of the directory it works in.
//!
//! The reader is our own because a differential between parsers is an attack (security of layer
//! content depends on one reading): sizes of pax win over ustar's, an extension applies to the
//! next entry only, and whatever is contradictory or unknown is refused instead of guessed.

mod compression;
mod copy;
mod error;
mod extract;
mod header;
mod pax;
mod reader;
mod tree;
mod writer;

pub(crate) use compression::buffer_size;
pub use compression::{Compression, Encoder, Sniffed, decoder, sniff};
pub use copy::copy_tree;
pub use error::ArchiveError;
pub use extract::{ExtractOptions, Extracted, Extractor, Whiteouts, extract};
pub use reader::Reader;
pub use tree::{TreeOptions, write_path, write_tree};
pub use writer::Writer;

pub(crate) use error::lossy;
pub(crate) use tree::OVERLAY_OPAQUE;

use sys::file::Time;

/// What an entry of an archive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its content follows.
    File,
    /// Another name of an entry before it, named by [`Entry::link`].
    HardLink,
    /// A symbolic link to [`Entry::link`].
    Symlink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// A piece of a sparse file that holds data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

/// One entry of an archive: all but its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name as the archive has it.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits (`07777`).
    pub mode: u32,
    /// Owner, numeric.
    pub uid: u32,
    /// Group, numeric.
    pub gid: u32,
    /// Modification time.
    pub modified: Time,
    /// Length of a regular file, holes included; 0 for all else.
    pub size: u64,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data of a sparse file goes.
    pub sparse: Option<Vec<Extent>>,
}

impl Entry {
    /// A plain entry of root's, with time 0.
    pub fn new(path: &[u8], kind: EntryKind, mode: u32) -> Self {
        Self {
            path: path.to_vec(),
            kind,
            mode,
            uid: 0,
            gid: 0,
            modified: Time::default(),
            size: 0,
            link: Vec::new(),
            xattrs: Vec::new(),
            sparse: None,
        }
    }
}

/// Bounds on what an archive may ask of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries in one archive.
    pub entries: u64,
    /// Bytes of one uncompressed archive, and of all files in it with their holes.
    pub unpacked_bytes: u64,
    /// Uncompressed bytes for one compressed byte, beyond the first 256 MiB.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 10_000_000, unpacked_bytes: 256 << 30, ratio: 200 }
    }
}

const COMPONENT_MAX: usize = 255;
const PATH_MAX: usize = 4095;
/// Levels of directories in an archive or a tree that is walked. A container can nest them far
/// deeper than any path names; every level costs a walk an fd and a piece of its stack.
pub(crate) const DEPTH_MAX: usize = 400;

/// Makes an archive's name relative and plain: `/./a//b/` is `a/b`, the root is empty.
///
/// # Errors
/// [`ArchiveError::Refused`] for `..`, NUL bytes and overlong names.
pub fn normalise(path: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let mut plain = Vec::with_capacity(path.len());
    if path.contains(&0) {
        return Err(ArchiveError::refused(path, "the name has a NUL byte"));
    }
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(ArchiveError::refused(path, "the name has a '..' component")),
            part if part.len() > COMPONENT_MAX => {
                return Err(ArchiveError::refused(path, "a component is longer than 255 bytes"));
            }
            part => {
                if !plain.is_empty() {
                    plain.push(b'/');
                }
                plain.extend_from_slice(part);
            }
        }
    }
    if plain.iter().filter(|&&b| b == b'/').count() >= DEPTH_MAX {
        return Err(ArchiveError::refused(path, "directories nest too deeply"));
    }
    if plain.len() > PATH_MAX {
        return Err(ArchiveError::refused(path, "the name is longer than 4095 bytes"));
    }
    Ok(plain)
}

/// Splits a plain path into its directory (maybe empty) and its last component.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&path[..0], path),
    }
}

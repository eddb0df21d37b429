//! The deterministic writer: the same entries always give the same bytes.
//!
//! Headers are plain ustar; a pax header comes first only where ustar can't say it. Times are
//! whole seconds, user and group names are left out, pax records are sorted.

use std::io::{self, Read, Write};

use super::header::{BLOCK, USTAR_MAGIC, field, put_octal, seal};
use super::reader::padding;
use super::{ArchiveError, Entry, EntryKind, pax};

/// Largest id, size and time that ustar's fields hold.
const ID_MAX: u64 = 0o7_777_777;
const SIZE_MAX: u64 = 0o77_777_777_777;

/// Writes an archive to `sink`.
pub struct Writer<W: Write> {
    sink: W,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// A writer with no entries yet.
    pub fn new(sink: W) -> Self {
        Self { sink, written: 0 }
    }

    /// Writes an entry whose data, `entry.size` bytes, comes from `data`. If `data` ends early
    /// (the file was cut while it was read) zeros fill the rest, as GNU tar does.
    ///
    /// # Errors
    /// [`ArchiveError::Write`], [`ArchiveError::Read`].
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> Result<(), ArchiveError> {
        self.append_header(entry)?;
        if entry.kind == EntryKind::File {
            self.copy(entry.size, data)?;
        }
        Ok(())
    }

    /// Writes a small file that is in memory; `entry.size` is set from it.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_bytes(&mut self, mut entry: Entry, data: &[u8]) -> Result<(), ArchiveError> {
        entry.size = data.len() as u64;
        self.append(&entry, data)
    }

    /// Writes the end marker and gives the sink back.
    ///
    /// # Errors
    /// [`ArchiveError::Write`].
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.write(&[0u8; 2 * BLOCK])?;
        self.sink.flush().map_err(ArchiveError::Write)?;
        Ok(self.sink)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.sink.write_all(bytes).map_err(ArchiveError::Write)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn append_header(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let mut records: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let block = header(entry, &mut records);
        if !records.is_empty() {
            records.sort_unstable();
            let mut body = Vec::new();
            for (key, value) in &records {
                pax::record(&mut body, key, value);
            }
            self.write(&extension_header(body.len()))?;
            self.write(&body)?;
            self.pad(body.len() as u64)?;
        }
        self.write(&block)
    }

    fn pad(&mut self, size: u64) -> Result<(), ArchiveError> {
        let length = usize::try_from(padding(size)).unwrap_or(0);
        self.write(&[0u8; BLOCK][..length])
    }

    fn copy(&mut self, size: u64, mut data: impl Read) -> Result<(), ArchiveError> {
        let mut buffer = vec![0u8; usize::try_from(size.clamp(1, 256 * 1024)).unwrap_or(1)];
        let mut remaining = size;
        while remaining > 0 {
            let want = usize::try_from(remaining).map_or(buffer.len(), |r| r.min(buffer.len()));
            let got = match data.read(&mut buffer[..want]) {
                Ok(0) => {
                    buffer.fill(0);
                    want
                }
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::Read(error)),
            };
            self.write(&buffer[..got])?;
            remaining -= got as u64;
        }
        self.pad(size)
    }
}

fn extension_header(length: usize) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    // The name that Go's and GNU's writers use begins with the entry's; readers ignore it.
    block[..9].copy_from_slice(b"PaxHeader");
    put_octal(&mut block[field::MODE], 0o644);
    put_octal(&mut block[field::UID], 0);
    put_octal(&mut block[field::GID], 0);
    put_octal(&mut block[field::SIZE], length as u64);
    put_octal(&mut block[field::MTIME], 0);
    block[field::TYPE] = b'x';
    block[field::MAGIC].copy_from_slice(USTAR_MAGIC);
    seal(&mut block);
    block
}

fn header(entry: &Entry, records: &mut Vec<(Vec<u8>, Vec<u8>)>) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    put_name(&mut block, &entry.path, records);
    if matches!(entry.kind, EntryKind::HardLink | EntryKind::Symlink) {
        if entry.link.len() <= field::LINK.len() && entry.link.is_ascii() {
            block[field::LINK][..entry.link.len()].copy_from_slice(&entry.link);
        } else {
            records.push((b"linkpath".to_vec(), entry.link.clone()));
        }
    }
    put_octal(&mut block[field::MODE], u64::from(entry.mode & 0o7777));
    put_number(&mut block[field::UID], u64::from(entry.uid), ID_MAX, b"uid", records);
    put_number(&mut block[field::GID], u64::from(entry.gid), ID_MAX, b"gid", records);
    let size = if entry.kind == EntryKind::File { entry.size } else { 0 };
    put_number(&mut block[field::SIZE], size, SIZE_MAX, b"size", records);
    match u64::try_from(entry.modified.seconds) {
        Ok(seconds) => {
            put_number(&mut block[field::MTIME], seconds, SIZE_MAX, b"mtime", records);
        }
        Err(_) => {
            put_octal(&mut block[field::MTIME], 0);
            let seconds = entry.modified.seconds.to_string();
            records.push((b"mtime".to_vec(), seconds.into_bytes()));
        }
    }
    for (name, value) in &entry.xattrs {
        records.push(([b"SCHILY.xattr.", &name[..]].concat(), value.clone()));
    }
    put_kind(&mut block, entry.kind);
    block[field::MAGIC].copy_from_slice(USTAR_MAGIC);
    seal(&mut block);
    block
}

fn put_kind(block: &mut [u8; BLOCK], kind: EntryKind) {
    let (letter, device) = match kind {
        EntryKind::File => (b'0', None),
        EntryKind::HardLink => (b'1', None),
        EntryKind::Symlink => (b'2', None),
        EntryKind::Character { major, minor } => (b'3', Some((major, minor))),
        EntryKind::Block { major, minor } => (b'4', Some((major, minor))),
        EntryKind::Directory => (b'5', None),
        EntryKind::Fifo => (b'6', None),
    };
    block[field::TYPE] = letter;
    // Linux's device numbers (12 and 20 bits) fit seven octal digits.
    let (major, minor) = device.unwrap_or((0, 0));
    put_octal(&mut block[field::MAJOR], u64::from(major));
    put_octal(&mut block[field::MINOR], u64::from(minor));
}

fn put_number(
    bytes: &mut [u8],
    value: u64,
    max: u64,
    key: &[u8],
    records: &mut Vec<(Vec<u8>, Vec<u8>)>,
) {
    if value <= max {
        put_octal(bytes, value);
    } else {
        put_octal(bytes, 0);
        records.push((key.to_vec(), value.to_string().into_bytes()));
    }
}

/// The name as it is if it fits, split at a slash into prefix and name if that does, else by pax.
fn put_name(block: &mut [u8; BLOCK], path: &[u8], records: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let (name, prefix) = (field::NAME.len(), field::PREFIX.len());
    if path.is_ascii() && path.len() <= name {
        block[..path.len()].copy_from_slice(path);
        return;
    }
    if path.is_ascii() && path.len() <= name + 1 + prefix {
        let earliest = path.len() - name - 1;
        let slash = (earliest..path.len().min(prefix + 1))
            .find(|&at| path[at] == b'/' && at > 0 && at + 1 < path.len());
        if let Some(at) = slash {
            block[field::PREFIX][..at].copy_from_slice(&path[..at]);
            block[..path.len() - at - 1].copy_from_slice(&path[at + 1..]);
            return;
        }
    }
    let start = &path[..path.len().min(name)];
    let shown: Vec<u8> = start.iter().map(|&b| if b.is_ascii() { b } else { b'_' }).collect();
    block[..shown.len()].copy_from_slice(&shown);
    records.push((b"path".to_vec(), path.to_vec()));
}

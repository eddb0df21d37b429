//! The strict sequential reader: blocks in, entries out.
//!
//! States: at a header → (extensions)* → entry → its data → padding → at a header … → end marker.

use std::io::{self, BufRead};

use sys::file::Time;

use super::header::{BLOCK, GNU_MAGIC, USTAR_MAGIC, checksum_holds, field, number, text};
use super::pax::{self, Extension};
use super::{ArchiveError, Entry, EntryKind, Extent, Limits};

/// Longest body of an extension (pax header or GNU long name), in bytes.
const EXTENSION_MAX: u64 = 1 << 20;
/// Most pieces of a sparse file.
const EXTENTS_MAX: u64 = 1 << 18;

/// Reads an uncompressed archive from `source`, entry by entry.
pub struct Reader<R> {
    source: R,
    offset: u64,
    /// Data of the current entry not yet taken.
    remaining: u64,
    padding: u64,
    entries: u64,
    content: u64,
    limits: Limits,
    ended: bool,
}

/// Extensions met before an entry.
#[derive(Default)]
struct Pending {
    pax: Option<Extension>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// A reader at the first header.
    pub fn new(source: R, limits: Limits) -> Self {
        Self {
            source,
            offset: 0,
            remaining: 0,
            padding: 0,
            entries: 0,
            content: 0,
            limits,
            ended: false,
        }
    }

    /// The next entry; what is left of the current one's data is passed over.
    ///
    /// # Errors
    /// [`ArchiveError`]; afterwards the reader is of no more use.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        self.skip(self.remaining + self.padding)?;
        (self.remaining, self.padding) = (0, 0);
        let mut pending = Pending::default();
        loop {
            let Some(block) = self.header()? else {
                self.ended = true;
                return if pending.is_empty() {
                    Ok(None)
                } else {
                    Err(self.malformed("an extension without its entry"))
                };
            };
            match block[field::TYPE] {
                b'x' => {
                    let body = self.extension_body(&block)?;
                    let parsed = pax::parse(&body).map_err(|reason| self.malformed(reason))?;
                    if pending.pax.replace(parsed).is_some() {
                        return Err(self.malformed("two pax headers for one entry"));
                    }
                }
                b'g' => {
                    let body = self.extension_body(&block)?;
                    self.check_global(&body)?;
                }
                b'L' => {
                    let name = self.long_name(&block)?;
                    if pending.path.replace(name).is_some() {
                        return Err(self.malformed("two long names for one entry"));
                    }
                }
                b'K' => {
                    let name = self.long_name(&block)?;
                    if pending.link.replace(name).is_some() {
                        return Err(self.malformed("two long links for one entry"));
                    }
                }
                _ => return self.entry(&block, pending).map(Some),
            }
        }
    }

    /// The next piece of the current entry's data; empty at its end. Holes are not part of it.
    ///
    /// # Errors
    /// As [`Reader::next_entry`].
    pub fn data(&mut self) -> Result<&[u8], ArchiveError> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let offset = self.offset;
        let chunk = loop {
            match self.source.fill_buf() {
                Ok(chunk) => break chunk.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        };
        if chunk == 0 {
            return Err(ArchiveError::Truncated { offset });
        }
        let length = usize::try_from(self.remaining).map_or(chunk, |r| r.min(chunk));
        let buffer = self.source.fill_buf().map_err(ArchiveError::Read)?;
        Ok(&buffer[..length])
    }

    /// Marks `length` bytes of what [`Reader::data`] gave as taken.
    pub fn consume(&mut self, length: usize) {
        self.source.consume(length);
        self.offset += length as u64;
        self.remaining -= length as u64;
    }

    /// All data of the current entry.
    ///
    /// # Errors
    /// [`ArchiveError::Limit`] if it is longer than `limit` bytes.
    pub fn read_data(&mut self, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.remaining > limit {
            return Err(ArchiveError::Limit { what: "bytes in one entry", limit });
        }
        let mut all = Vec::new();
        loop {
            let chunk = self.data()?;
            if chunk.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(chunk);
            let length = chunk.len();
            self.consume(length);
        }
    }

    /// Reads what follows the end marker, up to the end of the source, so that whoever counts or
    /// hashes the bytes has seen all of them.
    ///
    /// # Errors
    /// [`ArchiveError::Read`].
    pub fn drain(mut self) -> Result<u64, ArchiveError> {
        loop {
            let length = match self.source.fill_buf() {
                Ok([]) => return Ok(self.offset),
                Ok(chunk) => chunk.len(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::Read(error)),
            };
            self.source.consume(length);
            self.offset += length as u64;
        }
    }

    fn malformed(&self, reason: &'static str) -> ArchiveError {
        ArchiveError::Malformed { offset: self.offset, reason }
    }

    /// Fills `block`; false if the source ended right before it.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, ArchiveError> {
        let mut have = 0;
        while have < BLOCK {
            match self.source.read(&mut block[have..]) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => return Err(ArchiveError::Truncated { offset: self.offset }),
                Ok(length) => have += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
        self.offset += BLOCK as u64;
        Ok(true)
    }

    fn skip(&mut self, mut length: u64) -> Result<(), ArchiveError> {
        while length > 0 {
            let chunk = match self.source.fill_buf() {
                Ok([]) => return Err(ArchiveError::Truncated { offset: self.offset }),
                Ok(chunk) => usize::try_from(length).map_or(chunk.len(), |l| l.min(chunk.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::Read(error)),
            };
            self.source.consume(chunk);
            self.offset += chunk as u64;
            length -= chunk as u64;
        }
        Ok(())
    }

    /// A header block with a right checksum; `None` at the end of the archive. Archives that end
    /// without the two zero blocks exist (concatenated by tools), so the source's end is one too.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let mut block = [0u8; BLOCK];
        if !self.block(&mut block)? {
            return Ok(None);
        }
        if block == [0u8; BLOCK] {
            if self.block(&mut block)? && block != [0u8; BLOCK] {
                return Err(self.malformed("a lone zero block"));
            }
            return Ok(None);
        }
        if !checksum_holds(&block) {
            return Err(self.malformed("wrong header checksum"));
        }
        Ok(Some(block))
    }

    fn size_field(&self, block: &[u8; BLOCK]) -> Result<u64, ArchiveError> {
        number(&block[field::SIZE])
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| self.malformed("bad size"))
    }

    fn extension_body(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>, ArchiveError> {
        let size = self.size_field(block)?;
        if size > EXTENSION_MAX {
            return Err(ArchiveError::Limit {
                what: "bytes in an extended header",
                limit: EXTENSION_MAX,
            });
        }
        self.remaining = size;
        let body = self.read_data(EXTENSION_MAX)?;
        self.skip(padding(size))?;
        Ok(body)
    }

    fn long_name(&mut self, block: &[u8; BLOCK]) -> Result<Vec<u8>, ArchiveError> {
        let mut body = self.extension_body(block)?;
        while body.last() == Some(&0) {
            body.pop();
        }
        if body.is_empty() || body.contains(&0) {
            return Err(self.malformed("bad long name"));
        }
        Ok(body)
    }

    /// Globals carry comments (git) and are ignored; one that would change entries is refused,
    /// because readers disagree on whether it does.
    fn check_global(&self, body: &[u8]) -> Result<(), ArchiveError> {
        let records = pax::records(body).map_err(|reason| self.malformed(reason))?;
        let changing = |key: &[u8]| {
            [&b"path"[..], b"linkpath", b"size", b"uid", b"gid", b"mtime"].contains(&key)
                || key.starts_with(b"GNU.sparse.")
                || key.starts_with(b"SCHILY.xattr.")
        };
        if records.iter().any(|(key, _)| changing(key)) {
            return Err(self.malformed("a global pax header that changes entries"));
        }
        Ok(())
    }

    fn entry(&mut self, block: &[u8; BLOCK], pending: Pending) -> Result<Entry, ArchiveError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(ArchiveError::Limit { what: "entries", limit: self.limits.entries });
        }
        let had_pax_path = pending.pax.as_ref().is_some_and(|p| p.path.is_some());
        let had_pax_link = pending.pax.as_ref().is_some_and(|p| p.link.is_some());
        if (had_pax_path && pending.path.is_some()) || (had_pax_link && pending.link.is_some()) {
            return Err(self.malformed("a pax name and a GNU name for one entry"));
        }
        let mut pax = pending.pax.unwrap_or_default();
        let magic = &block[field::MAGIC];
        let (ustar, gnu) = (magic == USTAR_MAGIC, magic == GNU_MAGIC);
        let path = pax.path.take().or(pending.path).unwrap_or_else(|| header_path(block, ustar));
        let link =
            pax.link.take().or(pending.link).unwrap_or_else(|| text(&block[field::LINK]).to_vec());
        let stored = match pax.size {
            Some(size) => size,
            None => self.size_field(block)?,
        };
        let mut entry = Entry {
            kind: self.kind(block, &path, ustar || gnu)?,
            path,
            mode: self.id(&block[field::MODE], "bad mode")? & 0o7777,
            uid: pax.uid.map_or_else(|| self.id(&block[field::UID], "bad owner"), Ok)?,
            gid: pax.gid.map_or_else(|| self.id(&block[field::GID], "bad group"), Ok)?,
            modified: match pax.modified {
                Some(time) => time,
                None => Time {
                    seconds: number(&block[field::MTIME])
                        .ok_or_else(|| self.malformed("bad time"))?,
                    nanoseconds: 0,
                },
            },
            size: 0,
            link,
            xattrs: std::mem::take(&mut pax.xattrs),
            sparse: None,
        };
        if entry.kind != EntryKind::File {
            // Readers disagree on whether the data of such an entry is skipped.
            if stored != 0 {
                return Err(self.malformed("an entry with data that can't have any"));
            }
            return Ok(entry);
        }
        self.remaining = stored;
        self.padding = padding(stored);
        entry.size = stored;
        self.sparse(block, &pax, &mut entry)?;
        self.content = self.content.saturating_add(entry.size);
        if self.content > self.limits.unpacked_bytes {
            let limit = self.limits.unpacked_bytes;
            return Err(ArchiveError::Limit { what: "bytes in files", limit });
        }
        Ok(entry)
    }

    fn id(&self, bytes: &[u8], reason: &'static str) -> Result<u32, ArchiveError> {
        number(bytes).and_then(|n| u32::try_from(n).ok()).ok_or_else(|| self.malformed(reason))
    }

    fn kind(
        &self,
        block: &[u8; BLOCK],
        path: &[u8],
        has_device: bool,
    ) -> Result<EntryKind, ArchiveError> {
        let device = |range: std::ops::Range<usize>| {
            if has_device { self.id(&block[range], "bad device number") } else { Ok(0) }
        };
        Ok(match block[field::TYPE] {
            // Before POSIX a directory was a file whose name ends in a slash.
            b'0' | 0 | b'7' if path.ends_with(b"/") => EntryKind::Directory,
            b'0' | 0 | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => {
                EntryKind::Character { major: device(field::MAJOR)?, minor: device(field::MINOR)? }
            }
            b'4' => EntryKind::Block { major: device(field::MAJOR)?, minor: device(field::MINOR)? },
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => return Err(self.malformed("unknown entry type")),
        })
    }

    /// Works out a sparse file's map, from the old GNU header or one of the pax forms.
    fn sparse(
        &mut self,
        block: &[u8; BLOCK],
        pax: &Extension,
        entry: &mut Entry,
    ) -> Result<(), ArchiveError> {
        let (real_size, extents) = if block[field::TYPE] == b'S' {
            let real = number(&block[field::GNU_REAL_SIZE]).and_then(|n| u64::try_from(n).ok());
            (real, self.gnu_map(block)?)
        } else {
            match (pax.sparse.major, pax.sparse.minor, &pax.sparse.map) {
                (Some(1), Some(0), None) => {
                    let map = self.pax_map()?;
                    (pax.sparse.real_size, map)
                }
                (None | Some(0), None | Some(1), Some(map)) => (pax.sparse.real_size, map.clone()),
                (None, None, None) => return Ok(()),
                _ => return Err(self.malformed("unknown sparse format")),
            }
        };
        if let Some(name) = &pax.sparse.name {
            entry.path.clone_from(name);
        }
        let real_size = real_size.ok_or_else(|| self.malformed("sparse file without size"))?;
        let mut end = 0;
        let mut data = 0u64;
        for extent in &extents {
            let stop = extent.offset.checked_add(extent.length);
            match stop {
                Some(stop) if extent.offset >= end && stop <= real_size => end = stop,
                _ => return Err(self.malformed("bad sparse map")),
            }
            data += extent.length;
        }
        if data != self.remaining {
            return Err(self.malformed("sparse map and data differ in length"));
        }
        entry.size = real_size;
        entry.sparse = Some(extents);
        Ok(())
    }

    fn gnu_map(&mut self, block: &[u8; BLOCK]) -> Result<Vec<Extent>, ArchiveError> {
        let mut extents = Vec::new();
        self.gnu_extents(&block[field::GNU_SPARSE], &mut extents)?;
        let mut more = block[field::GNU_SPARSE_MORE] != 0;
        while more {
            let mut next = [0u8; BLOCK];
            if !self.block(&mut next)? {
                return Err(ArchiveError::Truncated { offset: self.offset });
            }
            self.gnu_extents(&next[..504], &mut extents)?;
            more = next[504] != 0;
            if extents.len() as u64 > EXTENTS_MAX {
                return Err(ArchiveError::Limit { what: "sparse extents", limit: EXTENTS_MAX });
            }
        }
        Ok(extents)
    }

    fn gnu_extents(&self, bytes: &[u8], extents: &mut Vec<Extent>) -> Result<(), ArchiveError> {
        for pair in bytes.chunks_exact(24) {
            if pair[0] == 0 {
                break;
            }
            let read = |bytes| number(bytes).and_then(|n| u64::try_from(n).ok());
            match (read(&pair[..12]), read(&pair[12..])) {
                (Some(offset), Some(length)) => extents.push(Extent { offset, length }),
                _ => return Err(self.malformed("bad sparse map")),
            }
        }
        Ok(())
    }

    /// Format 1.0: decimal lines at the start of the data, padded to a block.
    fn pax_map(&mut self) -> Result<Vec<Extent>, ArchiveError> {
        let start = self.remaining;
        let count = self.map_number()?;
        if count > EXTENTS_MAX {
            return Err(ArchiveError::Limit { what: "sparse extents", limit: EXTENTS_MAX });
        }
        let mut extents = Vec::new();
        for _ in 0..count {
            let offset = self.map_number()?;
            extents.push(Extent { offset, length: self.map_number()? });
        }
        let rest = padding(start - self.remaining);
        if rest > self.remaining {
            return Err(self.malformed("bad sparse map"));
        }
        self.skip(rest)?;
        self.remaining -= rest;
        Ok(extents)
    }

    fn map_number(&mut self) -> Result<u64, ArchiveError> {
        let mut digits = Vec::new();
        loop {
            let Some(&byte) = self.data()?.first() else {
                return Err(self.malformed("bad sparse map"));
            };
            self.consume(1);
            match byte {
                b'\n' => break,
                _ if digits.len() > 20 => return Err(self.malformed("bad sparse map")),
                _ => digits.push(byte),
            }
        }
        pax::decimal(&digits).ok_or_else(|| self.malformed("bad sparse map"))
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.pax.is_none() && self.path.is_none() && self.link.is_none()
    }
}

fn header_path(block: &[u8; BLOCK], ustar: bool) -> Vec<u8> {
    let name = text(&block[field::NAME]);
    let prefix = if ustar { text(&block[field::PREFIX]) } else { b"" };
    if prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

/// Bytes from `size` to the next block's start.
pub(crate) fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

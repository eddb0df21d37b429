//! Reads the records of one log file, plain or compressed, in either format.
//!
//! Owns a window of the file's bytes. Doesn't know other files of the log. A record that isn't complete yet is not consumed: it is read again
//! next time, because the writer may take it back when the disk is full.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::chain::Identity;
use super::reader::{ReadError, Record};
use super::{Driver, json, local};

const STEP: usize = 64 << 10;
/// A longer record is damage, not data: 16 KiB of control characters are six times as much in JSON, attributes apart.
const RECORD_LIMIT: usize = 4 << 20;

#[derive(Debug)]
enum Source {
    Plain(File),
    /// The whole, decompressed: rotated files are bounded by the log options.
    Unpacked(Vec<u8>),
}

/// An open file and a position in it.
#[derive(Debug)]
pub(crate) struct FileReader {
    driver: Driver,
    path: PathBuf,
    identity: Identity,
    source: Source,
    /// Bytes `offset..offset + window.len()` of the file.
    window: Vec<u8>,
    offset: u64,
    /// Bytes of the window that are consumed.
    used: usize,
    attrs: Vec<(String, String)>,
    /// Length of the file's header, once read (json-file has none).
    header: Option<u64>,
    finished: bool,
}

impl FileReader {
    pub fn open(driver: Driver, path: &Path, compressed: bool) -> Result<FileReader, ReadError> {
        let failed = |source| ReadError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        let source = if compressed {
            let mut unpacked = Vec::new();
            MultiGzDecoder::new(file).read_to_end(&mut unpacked).map_err(failed)?;
            Source::Unpacked(unpacked)
        } else {
            Source::Plain(file)
        };
        Ok(FileReader {
            driver,
            path: path.to_owned(),
            identity: (meta.dev(), meta.ino()),
            source,
            window: Vec::new(),
            offset: 0,
            used: 0,
            attrs: Vec::new(),
            header: None,
            finished: false,
        })
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the file was read to its end after it had been rotated.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    pub fn finish(&mut self) {
        self.finished = true;
    }

    /// The next complete record.
    pub fn next(&mut self) -> Result<Option<Record>, ReadError> {
        if !self.read_header()? {
            return Ok(None);
        }
        loop {
            let Some(len) = self.complete_record()? else {
                self.give_back();
                return Ok(None);
            };
            let bytes = &self.window[self.used..self.used + len];
            let record = match self.driver {
                Driver::None => None,
                Driver::JsonFile => json::decode(bytes),
                Driver::Local => {
                    let damaged = || self.damaged();
                    let mut record = local::decode(bytes).ok_or_else(damaged)?;
                    record.attrs.clone_from(&self.attrs);
                    Some(record)
                }
            };
            self.used += len;
            if record.is_some() {
                return Ok(record);
            }
        }
    }

    /// Length of the record at the position, when all of it is there.
    fn complete_record(&mut self) -> Result<Option<usize>, ReadError> {
        let mut searched = 0;
        loop {
            let pending = &self.window[self.used..];
            let len = match self.driver {
                Driver::None => None,
                Driver::JsonFile => memchr::memchr(b'\n', &pending[searched..])
                    .map(|newline| searched + newline + 1),
                Driver::Local => match local::frame_len(pending) {
                    Some(len) if len > RECORD_LIMIT => return Err(self.damaged()),
                    len => len.filter(|len| *len <= pending.len()),
                },
            };
            if len.is_some() {
                return Ok(len);
            }
            searched = pending.len();
            if searched > RECORD_LIMIT {
                return Err(self.damaged());
            }
            if !self.read_more()? {
                return Ok(None);
            }
        }
    }

    /// Takes in the next bytes; `false` at the end of the file.
    fn read_more(&mut self) -> Result<bool, ReadError> {
        self.window.drain(..self.used);
        self.offset += self.used as u64;
        self.used = 0;
        let start = self.window.len();
        self.window.resize(start + STEP, 0);
        let at = self.offset + start as u64;
        let result = self.source.read_at(at, &mut self.window[start..]);
        let count = *result.as_ref().unwrap_or(&0);
        self.window.truncate(start + count);
        result.map(|count| count > 0).map_err(|source| self.io(source))
    }

    fn give_back(&mut self) {
        self.offset += self.used as u64;
        self.used = 0;
        self.window.clear();
    }

    fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.used = 0;
        self.window.clear();
    }

    /// Reads the header of a `local` file; `false` when it isn't complete.
    fn read_header(&mut self) -> Result<bool, ReadError> {
        if self.header.is_some() {
            return Ok(true);
        }
        if self.driver != Driver::Local {
            self.header = Some(0);
            return Ok(true);
        }
        loop {
            if let Some((len, attrs)) = local::decode_header(&self.window) {
                let attrs: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(if attrs.is_empty() { "{}" } else { attrs })
                        .map_err(|_not_json| self.damaged())?;
                let text = |(name, value): (String, serde_json::Value)| {
                    (name, value.as_str().unwrap_or_default().to_owned())
                };
                self.attrs = attrs.into_iter().map(text).collect();
                self.used = len;
                self.header = Some(len as u64);
                return Ok(true);
            }
            if self.window.len() > RECORD_LIMIT {
                return Err(self.damaged());
            }
            if !self.read_more()? {
                let foreign = self.window.len() >= 8 && !self.window.starts_with(b"CALELOG1");
                self.give_back();
                return if foreign { Err(self.damaged()) } else { Ok(false) };
            }
        }
    }

    /// Starts again when the file became shorter than what was read of it: somebody emptied it.
    pub fn rewind_if_truncated(&mut self) -> Result<bool, ReadError> {
        let len = self.source.len().map_err(|source| self.io(source))?;
        if len >= self.offset + self.used as u64 {
            return Ok(false);
        }
        self.seek(0);
        self.header = None;
        Ok(len > 0)
    }

    /// Time of the first record; the position stays at the start.
    pub fn first_time(&mut self) -> Result<Option<i64>, ReadError> {
        let first = self.next()?.map(|record| record.time_ns);
        self.seek(0);
        self.header = None;
        Ok(first)
    }

    /// Moves to a place at or before the first record that isn't older than `since_ns`, by halving the file.
    pub fn skip_before(&mut self, since_ns: i64) -> Result<(), ReadError> {
        if self.driver != Driver::JsonFile {
            return Ok(()); // frames can only be found from one end
        }
        let (mut low, mut high) = (0, self.source.len().map_err(|source| self.io(source))?);
        while high - low > STEP as u64 {
            let middle = low + (high - low) / 2;
            match self.line_after(middle)? {
                Some((start, time)) if time < since_ns && start < high => low = start,
                _ => high = middle,
            }
        }
        self.seek(low);
        Ok(())
    }

    /// The first line that starts after `offset`: where it starts, and its time.
    fn line_after(&mut self, offset: u64) -> Result<Option<(u64, i64)>, ReadError> {
        self.seek(offset);
        let Some(rest) = self.complete_record()? else { return Ok(None) };
        self.used += rest;
        while let Some(len) = self.complete_record()? {
            let line = &self.window[self.used..self.used + len];
            if let Some(time) = json::time_of(line) {
                return Ok(Some((self.offset + self.used as u64, time)));
            }
            self.used += len;
        }
        Ok(None)
    }

    /// Moves to the last `count` records; gives how many there are, at most `count`.
    pub fn seek_tail(&mut self, count: u64) -> Result<u64, ReadError> {
        if !self.read_header()? {
            return Ok(0);
        }
        let start = self.header.unwrap_or(0);
        let len = self.source.len().map_err(|source| self.io(source))?;
        let (offset, found) = match self.driver {
            Driver::None => (start, 0),
            Driver::JsonFile => self.tail_of_lines(len, count)?,
            Driver::Local => match self.tail_of_frames(start, len, count)? {
                Some(tail) => tail,
                None => self.tail_by_reading(start, count)?,
            },
        };
        self.seek(offset);
        Ok(found)
    }

    fn tail_of_lines(&mut self, len: u64, count: u64) -> Result<(u64, u64), ReadError> {
        let mut block = vec![0; STEP];
        let mut end = len;
        // Start of the line after the newline found last; the first newline from the end closes the last complete line.
        let mut start_of_kept = None;
        let mut kept = 0;
        while end > 0 {
            let begin = end.saturating_sub(STEP as u64);
            let size = usize::try_from(end - begin).unwrap_or(STEP);
            self.source
                .read_exact_at(begin, &mut block[..size])
                .map_err(|source| self.io(source))?;
            for newline in memchr::memrchr_iter(b'\n', &block[..size]) {
                let after = begin + newline as u64 + 1;
                kept += u64::from(start_of_kept.is_some());
                start_of_kept = Some(after);
                if kept == count {
                    return Ok((after, count));
                }
            }
            end = begin;
        }
        // The first line of the file has no newline before it.
        Ok((0, kept + u64::from(start_of_kept.is_some())))
    }

    /// `None` when the end of the file isn't the end of a frame (it is just being written).
    fn tail_of_frames(
        &mut self,
        start: u64,
        len: u64,
        count: u64,
    ) -> Result<Option<(u64, u64)>, ReadError> {
        let (mut offset, mut found) = (len, 0);
        let read_len = |reader: &Self, at: u64| {
            let mut bytes = [0; 4];
            let result = reader.source.read_exact_at(at, &mut bytes);
            result.map(|()| bytes).map_err(|source| reader.io(source))
        };
        while found < count && offset > start {
            if offset < start + 8 {
                return Ok(None);
            }
            let Some(size) = local::frame_len_before(&read_len(self, offset - 4)?) else {
                return Ok(None);
            };
            let size = size as u64;
            if size > offset - start {
                return Ok(None);
            }
            if local::frame_len(&read_len(self, offset - size)?).map(|size| size as u64)
                != Some(size)
            {
                return Ok(None);
            }
            offset -= size;
            found += 1;
        }
        Ok(Some((offset, found)))
    }

    fn tail_by_reading(&mut self, start: u64, count: u64) -> Result<(u64, u64), ReadError> {
        let mut starts = std::collections::VecDeque::new();
        self.seek(start);
        loop {
            let at = self.offset + self.used as u64;
            match self.complete_record()? {
                Some(len) => self.used += len,
                None => break,
            }
            starts.push_back(at);
            if starts.len() as u64 > count {
                starts.pop_front();
            }
        }
        let end = self.offset + self.used as u64;
        Ok((starts.front().copied().unwrap_or(end), starts.len() as u64))
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), source }
    }

    fn damaged(&self) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), offset: self.offset + self.used as u64 }
    }
}

impl Source {
    fn len(&self) -> io::Result<u64> {
        match self {
            Source::Plain(file) => Ok(file.metadata()?.len()),
            Source::Unpacked(bytes) => Ok(bytes.len() as u64),
        }
    }

    fn read_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Source::Plain(file) => file.read_at(buffer, at),
            Source::Unpacked(bytes) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let count = buffer.len().min(bytes.len() - at);
                buffer[..count].copy_from_slice(&bytes[at..at + count]);
                Ok(count)
            }
        }
    }

    fn read_exact_at(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(at + done as u64, &mut buffer[done..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => done += count,
            }
        }
        Ok(())
    }
}

//! Reads a log back: from a time, or the last lines; then on, as it grows, across rotation and truncation.
//!
//! Never waits. [`LogReader::next`] says [`Next::CaughtUp`] at the end of what there is; the caller waits (for [`Event::LogGrew`] or a
//! moment) and asks again. Owns no lock: the writer doesn't know its readers. States: a file is open, or none exists yet.
//!
//! [`Event::LogGrew`]: crate::protocol::Event::LogGrew

use std::io;
use std::path::{Path, PathBuf};

use model::ErrorKind;

use super::Driver;
use super::chain::{self, Identity, Member};
use super::file_reader::FileReader;
use crate::protocol::Stream;

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When it was read from the container, nanoseconds since the epoch.
    pub time_ns: i64,
    /// Where it came from.
    pub stream: Stream,
    /// The bytes, with the newline. Without one, the line goes on in the stream's next record, or the stream ended so.
    pub data: Vec<u8>,
    /// The attributes that the log options added.
    pub attrs: Vec<(String, String)>,
}

impl Record {
    /// Whether the line ends here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.data.ends_with(b"\n")
    }
}

/// Which records to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only records at or after this time.
    pub since_ns: Option<i64>,
    /// Only records at or before this time.
    pub until_ns: Option<i64>,
    /// Start with the last so many records (of both streams, before `since_ns` applies, as Docker does).
    pub tail: Option<u64>,
}

/// What [`LogReader::next`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// The next record.
    Record(Record),
    /// Nothing more for now.
    CaughtUp,
    /// Nothing more ever: `until_ns` is passed.
    End,
}

/// A log that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no log to read.
    #[error("no log is kept")]
    NoLog,
    /// The file system refused.
    #[error("cannot read log {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file isn't what its format says.
    #[error("log {path} is damaged at byte {offset}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

impl ReadError {
    /// For the edges.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ReadError::NoLog => ErrorKind::Unsupported,
            ReadError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            ReadError::Io { .. } | ReadError::Damaged { .. } => ErrorKind::Internal,
        }
    }
}

/// A position in a log.
#[derive(Debug)]
pub struct LogReader {
    driver: Driver,
    path: PathBuf,
    since_ns: i64,
    until_ns: i64,
    file: Option<FileReader>,
    /// Time of the last record read, to find the place again when the file is gone.
    last_ns: i64,
}

impl LogReader {
    /// Opens the log at `path`, positioned as `options` say. A log that doesn't exist yet is an empty one.
    ///
    /// # Errors
    /// [`ReadError::NoLog`] for [`Driver::None`]; otherwise when a file can't be read.
    pub fn open(
        driver: Driver,
        path: &Path,
        options: &ReadOptions,
    ) -> Result<LogReader, ReadError> {
        if driver == Driver::None {
            return Err(ReadError::NoLog);
        }
        let mut reader = LogReader {
            driver,
            path: path.to_owned(),
            since_ns: options.since_ns.unwrap_or(i64::MIN),
            until_ns: options.until_ns.unwrap_or(i64::MAX),
            file: None,
            last_ns: i64::MIN,
        };
        match options.tail {
            Some(count) => reader.seek_tail(count)?,
            None => reader.seek_since()?,
        }
        Ok(reader)
    }

    /// The next record, if there is one by now.
    ///
    /// # Errors
    /// When a file can't be read. A line of a json-file that isn't JSON is skipped.
    #[expect(clippy::should_implement_trait, reason = "an iterator ends; a log goes on")]
    pub fn next(&mut self) -> Result<Next, ReadError> {
        loop {
            let Some(file) = &mut self.file else {
                if self.open_next(None)? {
                    continue;
                }
                return Ok(Next::CaughtUp);
            };
            if let Some(record) = file.next()? {
                self.last_ns = record.time_ns;
                if record.time_ns > self.until_ns {
                    return Ok(Next::End);
                }
                if record.time_ns >= self.since_ns {
                    return Ok(Next::Record(record));
                }
                continue;
            }
            if !self.advance()? {
                return Ok(Next::CaughtUp);
            }
        }
    }

    /// At the end of the open file: whether there is something else to read.
    fn advance(&mut self) -> Result<bool, ReadError> {
        let Some(file) = &mut self.file else { return Ok(false) };
        let identity = file.identity();
        let newest = chain::identity_at(&self.path)
            .map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
        if newest == Some(identity) {
            return file.rewind_if_truncated();
        }
        // Rotated. The writer may have added to it between our last read and the renaming: read on once more.
        if !file.is_finished() {
            file.finish();
            return Ok(true);
        }
        self.open_next(Some(identity))
    }

    /// Opens the file that follows `finished`: the next newer one, or, when that is unknown, the oldest one with
    /// records that were not read yet.
    fn open_next(&mut self, finished: Option<Identity>) -> Result<bool, ReadError> {
        let mut newer: Vec<FileReader> = Vec::new();
        for member in &self.members()? {
            let Some(file) = self.open_member(member)? else { continue };
            if Some(file.identity()) == finished {
                // Newest first: the one collected last follows the finished one.
                self.file = newer.pop().or(self.file.take());
                return Ok(self.file.as_ref().is_some_and(|file| !file.is_finished()));
            }
            newer.push(file);
        }
        let mut oldest_unread = None;
        for mut file in newer {
            if file.first_time()?.is_some_and(|first| first <= self.last_ns) {
                break;
            }
            oldest_unread = Some(file);
        }
        let found = oldest_unread.is_some();
        self.file = oldest_unread.or(self.file.take());
        Ok(found)
    }

    fn seek_since(&mut self) -> Result<(), ReadError> {
        let mut chosen = None;
        for member in &self.members()? {
            let Some(mut file) = self.open_member(member)? else { continue };
            let first = file.first_time()?;
            chosen = Some(file);
            if first.is_some_and(|first| first <= self.since_ns) {
                break;
            }
        }
        if let Some(file) = &mut chosen
            && self.since_ns > i64::MIN
        {
            file.skip_before(self.since_ns)?;
        }
        self.file = chosen;
        Ok(())
    }

    fn seek_tail(&mut self, count: u64) -> Result<(), ReadError> {
        let mut left = count;
        for member in &self.members()? {
            let Some(mut file) = self.open_member(member)? else { continue };
            left -= file.seek_tail(left)?;
            self.file = Some(file);
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    fn members(&self) -> Result<Vec<Member>, ReadError> {
        chain::members(&self.path).map_err(|source| self.io(source))
    }

    /// Opens a file, unless it was renamed since it was listed.
    fn open_member(&self, member: &Member) -> Result<Option<FileReader>, ReadError> {
        match FileReader::open(self.driver, &member.path, member.compressed) {
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            result => result.map(Some),
        }
    }

    fn io(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), source }
    }
}

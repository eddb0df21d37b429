//! What counts: for each task, how much of its output is in its log. One small file on the exec-root, one slot a task.
//!
//! A slot is the commit record of the copying of a task's output. It is written by a single write of [`SLOT`] bytes within a page, after the log
//! was written; a kill can't tear that (the copy happens in the kernel). It needn't survive a power cut: neither do the
//! FIFOs and the processes.
//!
//! Owns the file and which slots are taken. Doesn't know spools or logs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use crate::log::writer::Position;

const WORDS: usize = 8;
const SLOT: u64 = 8 * WORDS as u64;

/// What a task has in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Commit {
    /// The newest log file and its length.
    pub log: Position,
    /// Time of the newest record.
    pub clock_ns: i64,
    /// For each stream.
    pub streams: [StreamCommit; 2],
}

/// What a stream has in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct StreamCommit {
    /// Bytes of the spool that are in the log.
    pub logged: u64,
    /// When the line began that the last record left open; 0 when it left none.
    pub partial_ns: i64,
}

/// The commit records of all tasks.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    taken: Vec<bool>,
}

impl Journal {
    /// Opens the journal, or makes an empty one.
    pub fn open(path: &Path) -> io::Result<Journal> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Journal { file: options.open(path)?, taken: Vec::new() })
    }

    /// Takes a free slot and empties it.
    pub fn take(&mut self) -> io::Result<u32> {
        let slot = self.taken.iter().position(|taken| !taken).unwrap_or(self.taken.len());
        self.claim(slot);
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.commit(slot, &Commit::default())?;
        Ok(slot)
    }

    /// Marks a slot that a task file names as taken.
    pub fn retake(&mut self, slot: u32) {
        self.claim(slot as usize);
    }

    fn claim(&mut self, slot: usize) {
        if slot >= self.taken.len() {
            self.taken.resize(slot + 1, false);
        }
        self.taken[slot] = true;
    }

    /// Frees a slot.
    pub fn release(&mut self, slot: u32) {
        if let Some(taken) = self.taken.get_mut(slot as usize) {
            *taken = false;
        }
    }

    /// Makes a commit count.
    pub fn commit(&self, slot: u32, commit: &Commit) -> io::Result<()> {
        let [out, err] = commit.streams;
        let words: [u64; WORDS] = [
            commit.log.identity.0,
            commit.log.identity.1,
            commit.log.len,
            commit.clock_ns.cast_unsigned(),
            out.logged,
            out.partial_ns.cast_unsigned(),
            err.logged,
            err.partial_ns.cast_unsigned(),
        ];
        let mut bytes = [0; SLOT as usize];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.file.write_all_at(&bytes, u64::from(slot) * SLOT)
    }

    /// The last commit of a slot; `None` when there was none since it was taken.
    pub fn read(&self, slot: u32) -> io::Result<Option<Commit>> {
        let mut bytes = [0; SLOT as usize];
        match self.file.read_exact_at(&mut bytes, u64::from(slot) * SLOT) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let mut words = [0; WORDS];
        for (word, place) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*place);
        }
        let [device, inode, len, clock, out, out_ns, err, err_ns] = words;
        let stream = |logged, ns: u64| StreamCommit { logged, partial_ns: ns.cast_signed() };
        let commit = Commit {
            log: Position { identity: (device, inode), len },
            clock_ns: clock.cast_signed(),
            streams: [stream(out, out_ns), stream(err, err_ns)],
        };
        Ok((commit.log.identity != (0, 0)).then_some(commit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_survive_the_process_and_slots_are_reused_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        assert_eq!((journal.take().unwrap(), journal.take().unwrap()), (0, 1));
        assert_eq!(journal.read(1).unwrap(), None);
        let commit = Commit {
            log: Position { identity: (1, 2), len: 3 },
            clock_ns: -4,
            streams: [
                StreamCommit { logged: 5, partial_ns: 6 },
                StreamCommit { logged: 7, partial_ns: 8 },
            ],
        };
        journal.commit(1, &commit).unwrap();

        let mut journal = Journal::open(&path).unwrap();
        journal.retake(1);
        assert_eq!(journal.read(1).unwrap(), Some(commit));
        assert_eq!(journal.read(9).unwrap(), None);
        assert_eq!(journal.take().unwrap(), 0);
        journal.release(1);
        assert_eq!(journal.take().unwrap(), 1);
        assert_eq!(journal.read(1).unwrap(), None);
    }
}

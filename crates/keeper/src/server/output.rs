//! One output stream: out of its FIFO, through its spool, into the log.
//!
//! The way of a byte, and where it is when the keeper is killed there:
//! 1. in the FIFO: held by the container and the daemon;
//! 2. `splice` moves it into the spool, a file on the exec-root: it is in one of the two, never in both;
//! 3. complete records of the spool are written to the log at its committed length: not counted yet, so they will be written again;
//! 4. the commit in the journal makes them count, log length and spool offset at once;
//! 5. an entirely logged spool is emptied, and that is committed too.
//!
//! A spool that is shorter than its commit says was emptied between the two halves of step 5.
//!
//! Owns FIFO, spool and what is known of the unfinished line. The log belongs to the task, whose two streams share it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use sys::fifo::{self, Moved};

use crate::exec_root::TaskDir;
use crate::journal::{Commit, Journal, StreamCommit};
use crate::log::split::first_record;
use crate::log::time::{Clock, now_ns};
use crate::log::writer::{Room, Writer};
use crate::protocol::Stream;

/// As much as a FIFO holds by default (pipe(7)).
pub(crate) const CHUNK: usize = 64 << 10;
/// A spool that is entirely logged may keep so much memory while the stream is idle,
const SPOOL_IDLE: u64 = 4 << 10;
/// and so much while it flows.
const SPOOL_BUSY: u64 = 256 << 10;

/// Memory that all streams share, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Raw bytes.
    pub bytes: Vec<u8>,
    /// Encoded records.
    records: Vec<u8>,
}

impl Scratch {
    /// Gives memory back that an exceptional chunk needed.
    pub fn relax(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.bytes.shrink_to(CHUNK / 2);
        self.records.shrink_to(CHUNK / 2);
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    pub stream: Stream,
    pub fifo: OwnedFd,
    spool: Option<Spool>,
    partial_ns: i64,
    /// Whether epoll watches the FIFO.
    pub watched: bool,
    /// The task has ended; what some other process still writes goes nowhere.
    pub discard: bool,
}

#[derive(Debug)]
struct Spool {
    file: File,
    len: u64,
    logged: u64,
}

/// Where an output's records go, and what counts as gone there.
#[derive(Debug)]
pub(crate) struct Sink {
    pub writer: Writer,
    pub clock: Clock,
    pub slot: u32,
    /// State of the other stream, which is committed along.
    pub streams: [StreamCommit; 2],
    /// Bytes that could not be logged.
    pub lost: u64,
    /// Why the last ones could not.
    pub lost_errno: i32,
    /// Something was committed since this was last looked at.
    pub grew: bool,
    /// The log was rotated since this was last looked at.
    pub rotated: bool,
}

impl Sink {
    /// Makes what is written count.
    pub fn commit(&mut self, journal: &Journal) -> io::Result<()> {
        let log = self.writer.position();
        let commit = Commit { log, clock_ns: self.clock.last_ns(), streams: self.streams };
        journal.commit(self.slot, &commit)
    }
}

impl Output {
    pub fn new(stream: Stream, fifo: OwnedFd) -> Output {
        Output { stream, fifo, spool: None, partial_ns: 0, watched: false, discard: false }
    }

    /// Goes on where an earlier keeper was killed.
    pub fn restore(&mut self, dir: &TaskDir, committed: StreamCommit) -> io::Result<()> {
        self.partial_ns = committed.partial_ns;
        let spool = self.spool(dir)?;
        spool.logged = if spool.len < committed.logged { 0 } else { committed.logged };
        Ok(())
    }

    fn spool(&mut self, dir: &TaskDir) -> io::Result<&mut Spool> {
        if self.spool.is_none() {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(dir.spool(self.stream))?;
            let len = file.metadata()?.len();
            self.spool = Some(Spool { file, len, logged: 0 });
        }
        self.spool.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Reads a chunk that isn't logged into `scratch.bytes`.
    pub fn read(&mut self, scratch: &mut Scratch) -> io::Result<Moved> {
        scratch.bytes.resize(CHUNK, 0);
        let moved = fifo::read(&self.fifo, &mut scratch.bytes);
        scratch.bytes.truncate(match moved {
            Ok(Moved::Bytes(count)) => count,
            Ok(Moved::Later | Moved::End) | Err(_) => 0,
        });
        moved
    }

    /// Moves a chunk into the log; the chunk is then in `scratch.bytes`, too.
    ///
    /// An error means that nothing was taken from the FIFO (the exec-root is full, for example).
    pub fn log(
        &mut self,
        dir: &TaskDir,
        sink: &mut Sink,
        journal: &Journal,
        scratch: &mut Scratch,
    ) -> io::Result<Moved> {
        scratch.bytes.clear();
        self.spool(dir)?;
        let Some(spool) = &mut self.spool else { return Ok(Moved::Later) };
        let count = match fifo::splice_to_file(&self.fifo, &spool.file, spool.len, CHUNK)? {
            Moved::Bytes(count) => count,
            moved => return Ok(moved),
        };
        spool.len += count as u64;
        self.log_pending(sink, journal, scratch, Ending::Open)?;
        // Keep only the new bytes: what stood before them was delivered earlier.
        let old = scratch.bytes.len() - count;
        scratch.bytes.drain(..old);
        self.empty_spool(sink, journal, if count == CHUNK { SPOOL_BUSY } else { SPOOL_IDLE })?;
        Ok(Moved::Bytes(count))
    }

    /// Logs the unfinished line: the stream has ended.
    pub fn flush(
        &mut self,
        sink: &mut Sink,
        journal: &Journal,
        scratch: &mut Scratch,
    ) -> io::Result<()> {
        self.log_pending(sink, journal, scratch, Ending::Ended)?;
        self.empty_spool(sink, journal, 0)
    }

    /// Logs the complete records that an earlier keeper left in the spool.
    pub fn catch_up(
        &mut self,
        sink: &mut Sink,
        journal: &Journal,
        scratch: &mut Scratch,
    ) -> io::Result<()> {
        self.log_pending(sink, journal, scratch, Ending::Open)
    }

    /// What of the spool counts as logged.
    pub fn committed(&self) -> StreamCommit {
        let logged = self.spool.as_ref().map_or(0, |spool| spool.logged);
        StreamCommit { logged, partial_ns: self.partial_ns }
    }

    /// Writes the records that are complete; with [`Ending::Ended`], the rest as well.
    fn log_pending(
        &mut self,
        sink: &mut Sink,
        journal: &Journal,
        scratch: &mut Scratch,
        ending: Ending,
    ) -> io::Result<()> {
        scratch.bytes.clear();
        let Some(spool) = &mut self.spool else { return Ok(()) };
        let pending = usize::try_from(spool.len - spool.logged).unwrap_or(usize::MAX);
        scratch.bytes.resize(pending, 0);
        spool.file.read_exact_at(&mut scratch.bytes, spool.logged)?;

        let mut batch = Batch { start: 0, end: 0, partial_ns: self.partial_ns };
        let now = now_ns();
        scratch.records.clear();
        while let Some(len) = first_record(&scratch.bytes[batch.end..], ending == Ending::Ended) {
            let data = &scratch.bytes[batch.end..batch.end + len];
            let time = if batch.partial_ns != 0 { batch.partial_ns } else { sink.clock.tick(now) };
            let room = sink.writer.encode(&mut scratch.records, data, self.stream, time);
            if room == Room::RotateFirst {
                self.write_batch(&mut batch, sink, journal, &mut scratch.records)?;
                sink.rotated = true;
                if sink.writer.rotate().is_err() {
                    // A log that can't be rotated goes on growing: better than losing it.
                    sink.writer.suspend_rotation();
                }
                sink.commit(journal)?;
                continue;
            }
            batch.partial_ns = if data.ends_with(b"\n") { 0 } else { time };
            batch.end += len;
        }
        self.write_batch(&mut batch, sink, journal, &mut scratch.records)?;
        sink.writer.resume_rotation();
        Ok(())
    }

    /// Steps 3 and 4 for the records in `records`. Records that can't be written are lost, and counted: a full disk must not stop the
    /// container.
    fn write_batch(
        &mut self,
        batch: &mut Batch,
        sink: &mut Sink,
        journal: &Journal,
        records: &mut Vec<u8>,
    ) -> io::Result<()> {
        if batch.start == batch.end {
            return Ok(());
        }
        let len = (batch.end - batch.start) as u64;
        match sink.writer.write(records) {
            Ok(()) => sink.grew = true,
            Err(error) => {
                sink.lost += len;
                sink.lost_errno = error.raw_os_error().unwrap_or(0);
            }
        }
        records.clear();
        batch.start = batch.end;
        self.partial_ns = batch.partial_ns;
        if let Some(spool) = &mut self.spool {
            spool.logged += len;
            let commit = StreamCommit { logged: spool.logged, partial_ns: self.partial_ns };
            sink.streams[index(self.stream)] = commit;
        }
        sink.commit(journal)
    }

    /// Step 5.
    fn empty_spool(&mut self, sink: &mut Sink, journal: &Journal, keep: u64) -> io::Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        if spool.logged != spool.len || spool.len <= keep {
            return Ok(());
        }
        spool.file.set_len(0)?;
        (spool.len, spool.logged) = (0, 0);
        sink.streams[index(self.stream)].logged = 0;
        sink.commit(journal)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.fifo.as_fd()
    }
}

/// Whether more can follow what is in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Yes.
    Open,
    /// No: an unfinished line is all there is of it.
    Ended,
}

/// Records encoded, but not written: `start..end` of the pending bytes, and the state after them.
struct Batch {
    start: usize,
    end: usize,
    partial_ns: i64,
}

/// Place of a stream in tables.
pub(crate) fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec_root::ExecRoot;
    use crate::log::LogConfig;
    use crate::protocol::TaskId;
    use std::path::Path;
    use sys::fifo::End;

    struct Bench {
        dir: TaskDir,
        output: Output,
        sink: Sink,
        journal: Journal,
        scratch: Scratch,
        container: OwnedFd,
    }

    fn bench(root: &Path) -> Bench {
        let exec_root = ExecRoot::open(root).unwrap();
        let dir = exec_root.task(&TaskId::container("a").unwrap());
        dir.create().unwrap();
        let path = dir.fifo(Stream::Stdout);
        fifo::make(&path, 0o600, 0, 0).unwrap();
        let output = Output::new(Stream::Stdout, fifo::open(&path, End::Read).unwrap());
        let container = fifo::open(&path, End::Both).unwrap();
        let mut journal = Journal::open(&exec_root.journal()).unwrap();
        let sink = Sink {
            writer: Writer::open(&LogConfig::json_file(root.join("log")), None).unwrap(),
            clock: Clock::default(),
            slot: journal.take().unwrap(),
            streams: Default::default(),
            lost: 0,
            lost_errno: 0,
            grew: false,
            rotated: false,
        };
        Bench { dir, output, sink, journal, scratch: Scratch::default(), container }
    }

    impl Bench {
        fn write(&mut self, bytes: &[u8]) -> Moved {
            fifo::write(&self.container, bytes).unwrap();
            let Bench { dir, output, sink, journal, scratch, .. } = self;
            output.log(dir, sink, journal, scratch).unwrap()
        }

        fn committed(&self) -> StreamCommit {
            self.journal.read(self.sink.slot).unwrap().unwrap().streams[0]
        }

        fn spool_len(&self) -> u64 {
            std::fs::metadata(self.dir.spool(Stream::Stdout)).unwrap().len()
        }
    }

    #[test]
    fn the_chunk_is_what_came_not_what_was_logged() {
        let root = tempfile::tempdir().unwrap();
        let mut bench = bench(root.path());
        assert_eq!(bench.write(b"one\ntw"), Moved::Bytes(6));
        assert_eq!(bench.scratch.bytes, b"one\ntw");
        assert_eq!(bench.committed().logged, 4);
        assert_eq!(bench.write(b"o\n"), Moved::Bytes(2));
        assert_eq!(bench.scratch.bytes, b"o\n");
        assert_eq!(bench.committed().logged, 8);
    }

    #[test]
    fn an_emptied_spool_is_committed_as_empty() {
        // Otherwise the next bytes would count as logged as soon as the spool is as long as before.
        let root = tempfile::tempdir().unwrap();
        let mut bench = bench(root.path());
        let line = [&[b'x'; 5_000][..], b"\n"].concat();
        bench.write(&line);
        assert_eq!((bench.spool_len(), bench.committed().logged), (0, 0));
        bench.write(b"unfinished");
        assert_eq!((bench.spool_len(), bench.committed().logged), (10, 0));
    }

    #[test]
    fn a_spool_shorter_than_its_commit_was_emptied() {
        let root = tempfile::tempdir().unwrap();
        let mut bench = bench(root.path());
        bench.write(b"line\nrest");
        let spool = std::fs::File::options().write(true).open(bench.dir.spool(Stream::Stdout));
        spool.unwrap().set_len(3).unwrap();
        let mut again = Output::new(Stream::Stdout, bench.output.fifo.try_clone().unwrap());
        again.restore(&bench.dir, bench.committed()).unwrap();
        assert_eq!(again.committed().logged, 0);
    }

    #[test]
    fn the_parts_of_a_long_line_have_one_time() {
        let root = tempfile::tempdir().unwrap();
        let mut bench = bench(root.path());
        bench.write(&[b'x'; 40_000]);
        assert_ne!(bench.committed().partial_ns, 0);
        bench.write(b"end\nnext\n");
        assert_eq!(bench.committed().partial_ns, 0);
        let log = std::fs::read_to_string(root.path().join("log")).unwrap();
        let times: Vec<_> = log.lines().map(|line| line.rsplit_once("time").unwrap().1).collect();
        assert_eq!(times.len(), 4);
        assert!(times[0] == times[1] && times[1] == times[2] && times[2] != times[3]);
    }
}

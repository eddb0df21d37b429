//! Appends records to a log and rotates it, in steps that a crash can't tear.
//!
//! A [`Writer`] writes at a length that is *committed* elsewhere (the keeper's journal), never at the end of the file: what a killed keeper
//! wrote after its last commit is written again over itself. The order is always: write, then commit. Rotation happens only between commits.
//! Doesn't know streams, spools or the journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use super::chain::{self, Identity};
use super::{Driver, LogConfig, json, local};
use crate::protocol::Stream;

/// The newest file of a log, as far as it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// The file.
    pub identity: Identity,
    /// Its bytes that count.
    pub len: u64,
}

/// What to do with the next record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It fits.
    Fits,
    /// Write and commit what is there, then [`Writer::rotate`] first.
    RotateFirst,
}

/// Writes one log.
#[derive(Debug)]
pub(crate) struct Writer {
    config: LogConfig,
    attrs: String,
    file: File,
    position: Position,
    rotation_suspended: bool,
}

impl Writer {
    /// Opens the log for writing where `committed` says (a new writer: at the end of the file).
    ///
    /// When the newest file isn't the committed one, a rotation was interrupted after it had freed the name: the newest file starts anew.
    pub fn open(config: &LogConfig, committed: Option<Position>) -> io::Result<Writer> {
        let file = open_file(config)?;
        let meta = file.metadata()?;
        let identity = (meta.dev(), meta.ino());
        let len = match committed {
            None => meta.len(),
            Some(committed) if committed.identity == identity => committed.len.min(meta.len()),
            Some(_) => 0,
        };
        let mut writer = Writer {
            config: config.clone(),
            attrs: json::encode_attrs(&config.attrs),
            file,
            position: Position { identity, len },
            rotation_suspended: false,
        };
        writer.drop_partial_line(committed.is_none())?;
        writer.begin_file()?;
        Ok(writer)
    }

    pub fn position(&self) -> Position {
        self.position
    }

    /// Encodes a record behind those that wait in `out`; or says that it belongs in a new file.
    pub fn encode(&self, out: &mut Vec<u8>, data: &[u8], stream: Stream, time_ns: i64) -> Room {
        let before = out.len();
        match self.config.driver {
            Driver::None => return Room::Fits,
            Driver::JsonFile => json::encode(out, data, stream, &self.attrs, time_ns),
            Driver::Local => local::encode(out, data, stream, time_ns),
        }
        let limit = self.config.max_size;
        let limited = limit > 0 && !self.rotation_suspended;
        let over = limited && self.position.len + out.len() as u64 > limit;
        // A record larger than a whole file has to go somewhere.
        if over && self.position.len + before as u64 > self.header_len() {
            out.truncate(before);
            return Room::RotateFirst;
        }
        Room::Fits
    }

    /// Writes encoded records. On an error nothing counts as written.
    pub fn write(&mut self, records: &[u8]) -> io::Result<()> {
        // Emptying a log by hand is common practice; writing on at the old length would leave a hole of zeros.
        if self.file.metadata()?.len() < self.position.len {
            self.position.len = 0;
            self.begin_file()?;
        }
        match self.file.write_all_at(records, self.position.len) {
            Ok(()) => {
                self.position.len += records.len() as u64;
                Ok(())
            }
            Err(error) => {
                // What was written of it must not be taken for records; if even this fails, the next write covers it.
                match self.file.set_len(self.position.len) {
                    Ok(()) | Err(_) => Err(error),
                }
            }
        }
    }

    /// Starts a new file. Everything written must be committed.
    pub fn rotate(&mut self) -> io::Result<()> {
        chain::shift(&self.config.path, self.config.max_files)?;
        self.reopen()
    }

    /// After a failed rotation: lets the file grow over its limit until [`Writer::resume_rotation`].
    pub fn suspend_rotation(&mut self) {
        self.rotation_suspended = true;
    }

    /// The next full file may be rotated again.
    pub fn resume_rotation(&mut self) {
        self.rotation_suspended = false;
    }

    /// Removes what lies behind the committed length: the rest of a write that was never committed.
    pub fn trim(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.position.len {
            self.file.set_len(self.position.len)?;
        }
        Ok(())
    }

    /// Takes over another configuration; everything written must be committed.
    pub fn reconfigure(&mut self, config: &LogConfig) -> io::Result<()> {
        let same_file = config.path == self.config.path && config.driver == self.config.driver;
        let attrs = json::encode_attrs(&config.attrs);
        let new_header = config.driver == Driver::Local && attrs != self.attrs;
        self.config = config.clone();
        self.attrs = attrs;
        if !same_file {
            *self = Writer::open(config, None)?;
        } else if new_header {
            self.rotate()?;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open_file(&self.config)?;
        let meta = self.file.metadata()?;
        self.position = Position { identity: (meta.dev(), meta.ino()), len: 0 };
        self.begin_file()
    }

    fn header_len(&self) -> u64 {
        match self.config.driver {
            Driver::Local => 12 + self.attrs.len() as u64,
            Driver::None | Driver::JsonFile => 0,
        }
    }

    /// Writes what a file starts with.
    fn begin_file(&mut self) -> io::Result<()> {
        if self.position.len > 0 || self.config.driver != Driver::Local {
            return Ok(());
        }
        let mut header = Vec::new();
        local::encode_header(&mut header, &self.attrs);
        self.file.write_all_at(&header, 0)?;
        self.position.len = header.len() as u64;
        Ok(())
    }

    /// A json-file that another program left in the middle of a line would spoil our first record.
    fn drop_partial_line(&mut self, foreign: bool) -> io::Result<()> {
        if !foreign || self.config.driver != Driver::JsonFile || self.position.len == 0 {
            return Ok(());
        }
        let mut last = [0];
        self.file.read_exact_at(&mut last, self.position.len - 1)?;
        if last != *b"\n" {
            self.file.write_all_at(b"\n", self.position.len)?;
            self.position.len += 1;
        }
        Ok(())
    }
}

fn open_file(config: &LogConfig) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&config.path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::reader::{LogReader, Next, ReadOptions};
    use crate::log::time::Clock;
    use proptest::prelude::*;
    use std::fs;
    use std::path::Path;

    /// Writes records as the keeper does: batches, commits between, rotation when asked for.
    struct Bench {
        writer: Writer,
        committed: Position,
        clock: Clock,
    }

    impl Bench {
        fn new(config: &LogConfig) -> Bench {
            let writer = Writer::open(config, None).unwrap();
            let committed = writer.position();
            Bench { writer, committed, clock: Clock::default() }
        }

        fn put(&mut self, data: &[u8], stream: Stream) -> i64 {
            let time = self.clock.tick(0);
            let mut out = Vec::new();
            if self.writer.encode(&mut out, data, stream, time) == Room::RotateFirst {
                self.writer.rotate().unwrap();
                assert_eq!(self.writer.encode(&mut out, data, stream, time), Room::Fits);
            }
            self.writer.write(&out).unwrap();
            self.committed = self.writer.position();
            time
        }
    }

    fn config(driver: Driver, dir: &Path, max_size: u64, max_files: u32) -> LogConfig {
        LogConfig { driver, path: dir.join("c.log"), max_size, max_files, ..LogConfig::none() }
    }

    fn drain(reader: &mut LogReader) -> Vec<String> {
        let mut lines = Vec::new();
        while let Next::Record(record) = reader.next().unwrap() {
            lines.push(String::from_utf8(record.data).unwrap().trim_end().to_owned());
        }
        lines
    }

    fn read(config: &LogConfig, options: &ReadOptions) -> Vec<String> {
        drain(&mut LogReader::open(config.driver, &config.path, options).unwrap())
    }

    fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|n| format!("line {n}")).collect()
    }

    #[test]
    fn tail_since_and_until_in_both_formats() {
        for driver in [Driver::JsonFile, Driver::Local] {
            let dir = tempfile::tempdir().unwrap();
            let config = config(driver, dir.path(), 600, 20);
            let mut bench = Bench::new(&config);
            let times: Vec<i64> = (0..60u32)
                .map(|n| bench.put(format!("line {n}\n").as_bytes(), Stream::Stdout))
                .collect();
            assert!(dir.path().join("c.log.1").exists(), "rotated");
            for tail in [0, 1, 7, 30, 59, 60] {
                let options = ReadOptions { tail: Some(tail), ..ReadOptions::default() };
                assert_eq!(
                    read(&config, &options),
                    numbers(60 - tail as u32..60),
                    "{driver:?} {tail}"
                );
            }
            let options = ReadOptions {
                since_ns: Some(times[5]),
                until_ns: Some(times[50]),
                ..ReadOptions::default()
            };
            assert_eq!(read(&config, &options), numbers(5..51));
            let options =
                ReadOptions { since_ns: Some(times[5]), tail: Some(3), ..ReadOptions::default() };
            assert_eq!(read(&config, &options), numbers(57..60));
        }
    }

    #[test]
    fn since_halves_a_long_file() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(Driver::JsonFile, dir.path(), 0, 1);
        let mut bench = Bench::new(&config);
        let times: Vec<i64> = (0..4000u32)
            .map(|n| bench.put(format!("line {n}\n").as_bytes(), Stream::Stdout))
            .collect();
        for from in [0, 1, 1234, 3998, 3999] {
            let options = ReadOptions { since_ns: Some(times[from]), ..ReadOptions::default() };
            assert_eq!(read(&config, &options), numbers(from as u32..4000));
        }
    }

    #[test]
    fn a_follower_sees_each_record_once_across_rotation() {
        for driver in [Driver::JsonFile, Driver::Local] {
            let dir = tempfile::tempdir().unwrap();
            let config = config(driver, dir.path(), 1_000, 5);
            let mut reader =
                LogReader::open(driver, &config.path, &ReadOptions::default()).unwrap();
            assert_eq!(reader.next().unwrap(), Next::CaughtUp);
            let mut bench = Bench::new(&config);
            let mut seen = Vec::new();
            for n in 0..200u32 {
                bench.put(format!("line {n}\n").as_bytes(), Stream::Stderr);
                // Sometimes up to date, sometimes two files behind.
                if n % 17 == 0 || (60..80).contains(&n) {
                    seen.extend(drain(&mut reader));
                }
            }
            seen.extend(drain(&mut reader));
            assert_eq!(seen, numbers(0..200), "{driver:?}");
        }
    }

    #[test]
    fn emptying_a_log_by_hand_leaves_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(Driver::JsonFile, dir.path(), 0, 1);
        let mut bench = Bench::new(&config);
        let mut reader =
            LogReader::open(config.driver, &config.path, &ReadOptions::default()).unwrap();
        bench.put(b"line 0\n", Stream::Stdout);
        bench.put(b"line 1\n", Stream::Stdout);
        assert_eq!(drain(&mut reader), numbers(0..2));
        OpenOptions::new().write(true).open(&config.path).unwrap().set_len(0).unwrap();
        assert_eq!(drain(&mut reader), numbers(0..0));
        bench.put(b"line 2\n", Stream::Stdout);
        assert_eq!(drain(&mut reader), numbers(2..3));
        assert!(fs::read(&config.path).unwrap().starts_with(b"{"));
    }

    #[test]
    fn one_file_is_replaced_when_full() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(Driver::JsonFile, dir.path(), 500, 1);
        let mut bench = Bench::new(&config);
        for n in 0..50u32 {
            bench.put(format!("line {n}\n").as_bytes(), Stream::Stdout);
        }
        assert!(fs::metadata(&config.path).unwrap().len() <= 500);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(read(&config, &ReadOptions::default()).last().unwrap(), "line 49");
    }

    #[test]
    fn compressed_files_are_read() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let config = config(Driver::JsonFile, dir.path(), 1_000, 9);
        let mut bench = Bench::new(&config);
        for n in 0..30u32 {
            bench.put(format!("line {n}\n").as_bytes(), Stream::Stdout);
        }
        let old = dir.path().join("c.log.1");
        let packed = File::create(dir.path().join("c.log.1.gz")).unwrap();
        let mut packer = flate2::write::GzEncoder::new(packed, flate2::Compression::fast());
        packer.write_all(&fs::read(&old).unwrap()).unwrap();
        packer.finish().unwrap();
        fs::remove_file(old).unwrap();
        assert_eq!(read(&config, &ReadOptions::default()), numbers(0..30));
        let options = ReadOptions { tail: Some(20), ..ReadOptions::default() };
        assert_eq!(read(&config, &options), numbers(10..30));
    }

    #[test]
    fn changed_attributes_of_a_local_log_start_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(Driver::Local, dir.path(), 0, 3);
        let mut bench = Bench::new(&config);
        bench.put(b"a\n", Stream::Stdout);
        config.attrs = vec![("tag".into(), "v2".into())];
        bench.writer.reconfigure(&config).unwrap();
        bench.put(b"b\n", Stream::Stdout);
        let mut reader =
            LogReader::open(Driver::Local, &config.path, &ReadOptions::default()).unwrap();
        let mut attrs = Vec::new();
        while let Next::Record(record) = reader.next().unwrap() {
            attrs.push(record.attrs);
        }
        assert_eq!(attrs, [vec![], vec![("tag".to_owned(), "v2".to_owned())]]);
    }

    proptest! {
        /// A writer that loses its memory after an uncommitted write, at any byte of it, and starts again from the commit.
        #[test]
        fn a_crash_after_any_write_leaves_each_record_once(
            crashes in prop::collection::vec((1u32..12, 0usize..400), 1..8),
            local in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let driver = if local { Driver::Local } else { Driver::JsonFile };
            let config = config(driver, dir.path(), 900, 100);
            let mut bench = Bench::new(&config);
            let mut n = 0;
            for (batch, torn) in crashes {
                for _ in 0..batch {
                    bench.put(format!("line {n}\n").as_bytes(), Stream::Stdout);
                    n += 1;
                }
                // The next record gets only as far as `torn` bytes, possibly after a rotation.
                let (mut out, data) = (Vec::new(), format!("line {n}\n"));
                let time = bench.clock.tick(0);
                if bench.writer.encode(&mut out, data.as_bytes(), Stream::Stdout, time) == Room::RotateFirst {
                    bench.writer.rotate().unwrap();
                    bench.writer.encode(&mut out, data.as_bytes(), Stream::Stdout, time);
                }
                out.truncate(torn);
                bench.writer.write(&out).unwrap();
                bench.writer = Writer::open(&config, Some(bench.committed)).unwrap();
            }
            bench.put(format!("line {n}\n").as_bytes(), Stream::Stdout);
            bench.writer.trim().unwrap();
            prop_assert_eq!(read(&config, &ReadOptions::default()), numbers(0..n + 1));
        }
    }
}

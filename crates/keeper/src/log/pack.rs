//! Compresses rotated files, a slice at a time, so that whoever does it can do other things in between.
//!
//! States: reading, done. Owns one plain file and the `.part` file that becomes its replacement. The file may be renamed by rotation while it is
//! worked on; it is found again by its identity. Both the plain and the compressed file exist for a moment: readers prefer the plain one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::chain::{self, Identity};

/// Input bytes of one slice: one or two milliseconds.
const SLICE: usize = 64 << 10;

/// A file being compressed.
#[derive(Debug)]
pub(crate) struct Packer {
    log: PathBuf,
    part: PathBuf,
    identity: Identity,
    source: File,
    encoder: GzEncoder<File>,
}

/// Whether there is more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Call again.
    More,
    /// This file is done.
    Done,
}

impl Packer {
    /// Starts with the oldest rotated file of the log that isn't compressed; `None` when all are.
    pub fn start(log: &Path) -> io::Result<Option<Packer>> {
        let members = chain::members(log)?;
        let Some(next) = members.iter().rev().find(|member| member.index > 0 && !member.compressed)
        else {
            return Ok(None);
        };
        let source = File::open(&next.path)?;
        let meta = source.metadata()?;
        let mut part = OsString::from(log);
        part.push(".gz.part");
        let part = PathBuf::from(part);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(meta.mode() & 0o777);
        let encoder = GzEncoder::new(options.open(&part)?, Compression::fast());
        let identity = (meta.dev(), meta.ino());
        Ok(Some(Packer { log: log.to_owned(), part, identity, source, encoder }))
    }

    /// Compresses another slice, or puts the result in place.
    pub fn step(&mut self) -> io::Result<Progress> {
        let mut slice = Vec::with_capacity(SLICE);
        (&mut self.source).take(SLICE as u64).read_to_end(&mut slice)?;
        if !slice.is_empty() {
            self.encoder.write_all(&slice)?;
            return Ok(Progress::More);
        }
        self.encoder.try_finish()?;
        for member in chain::members(&self.log)? {
            if !member.compressed && chain::identity_at(&member.path)? == Some(self.identity) {
                fs::rename(&self.part, chain::member_path(&self.log, member.index, true))?;
                fs::remove_file(&member.path)?;
                return Ok(Progress::Done);
            }
        }
        // It was rotated away meanwhile.
        self.abandon();
        Ok(Progress::Done)
    }

    /// Removes what was made so far.
    pub fn abandon(&self) {
        // A leftover is overwritten by the next file that is compressed.
        let _gone = fs::remove_file(&self.part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn rotated_files_are_packed_oldest_first_and_followed_through_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("c.log");
        let old = "old line\n".repeat(20_000);
        fs::write(&log, "new\n").unwrap();
        fs::write(dir.path().join("c.log.1"), "middle\n").unwrap();
        fs::write(dir.path().join("c.log.2"), &old).unwrap();

        let mut packer = Packer::start(&log).unwrap().unwrap();
        assert_eq!(packer.step().unwrap(), Progress::More);
        chain::shift(&log, 9).unwrap();
        while packer.step().unwrap() == Progress::More {}
        assert_eq!(names(dir.path()), ["c.log.1", "c.log.2", "c.log.3.gz"]);
        let mut text = String::new();
        let packed = File::open(dir.path().join("c.log.3.gz")).unwrap();
        MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert!(text == old);

        while let Some(mut packer) = Packer::start(&log).unwrap() {
            while packer.step().unwrap() == Progress::More {}
        }
        assert_eq!(names(dir.path()), ["c.log.1.gz", "c.log.2.gz", "c.log.3.gz"]);
    }

    #[test]
    fn a_file_that_is_dropped_meanwhile_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("c.log");
        fs::write(&log, "new\n").unwrap();
        fs::write(dir.path().join("c.log.1"), "old\n").unwrap();
        let mut packer = Packer::start(&log).unwrap().unwrap();
        chain::shift(&log, 2).unwrap();
        while packer.step().unwrap() == Progress::More {}
        assert_eq!(names(dir.path()), ["c.log.1"]);
    }
}

//! Reading and writing the files of one group's directory.
//!
//! Knows how the kernel says "no such limit here" and turns that into
//! [`CgroupError::Unavailable`]; knows no file by name.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{CgroupError, Result};

const ENODEV: i32 = 19;
const EOPNOTSUPP: i32 = 95;
/// The kernel's internal `ENOTSUPP`, which the v1 memory controller lets out.
const ENOTSUPP: i32 = 524;

/// One group in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dir(PathBuf);

impl Dir {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.file(name).exists()
    }

    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(|source| CgroupError::Read { path, source })
    }

    /// `None` if the kernel doesn't offer the file here.
    pub fn read_if_there(&self, name: &str) -> Result<Option<String>> {
        match self.read(name) {
            Ok(text) => Ok(Some(text)),
            Err(CgroupError::Read { source, .. }) if is_absent(&source) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A single number; `max` and `-1` are `None`, as is a missing file.
    pub fn number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.read_if_there(name)? else { return Ok(None) };
        match text.trim() {
            "max" | "-1" | "" => Ok(None),
            digits => match digits.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(CgroupError::Parse { path: self.file(name), text }),
            },
        }
    }

    /// Lines of `key number`; empty if the file is missing.
    pub fn keyed(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        Ok(self.read_if_there(name)?.as_deref().map(keyed_lines).unwrap_or_default())
    }

    /// One write(2) of the whole value: the kernel takes each write as a command.
    pub fn write(&self, name: &str, value: &str) -> Result<()> {
        let path = self.file(name);
        self.try_write(name, value).map_err(|source| CgroupError::Write {
            path,
            value: value.into(),
            source,
        })
    }

    pub fn try_write(&self, name: &str, value: &str) -> io::Result<()> {
        // Truncation means nothing to cgroupfs; test trees are plain files.
        let mut file = OpenOptions::new().write(true).truncate(true).open(self.file(name))?;
        file.write_all(value.as_bytes())
    }

    /// Writes the limit that the specification calls `setting`.
    pub fn set(&self, setting: &str, name: &str, value: &str) -> Result<()> {
        self.try_write(name, value).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound && !self.0.exists() {
                return CgroupError::NotFound { path: self.0.display().to_string() };
            }
            // ENODEV isn't among them: it says that the value names no device.
            let unknown = source.kind() == io::ErrorKind::NotFound
                || matches!(source.raw_os_error(), Some(EOPNOTSUPP | ENOTSUPP));
            if unknown {
                return CgroupError::Unavailable {
                    setting: setting.into(),
                    missing: format!("this kernel does not support {name}"),
                };
            }
            CgroupError::Write { path: self.file(name), value: value.into(), source }
        })
    }
}

/// Whether an error says that the kernel has no such file or limit.
pub(super) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(ENODEV | EOPNOTSUPP | ENOTSUPP))
}

/// `EINVAL`: for some files the order of writes matters, and a refused write may be
/// accepted after another one.
pub(super) fn is_invalid(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

/// Lines of `key number`; others are skipped.
pub(super) fn keyed_lines(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (key, value) = line.split_once(' ')?;
            Some((key.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

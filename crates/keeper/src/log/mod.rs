//! Container logs: formats, writer, reader.
//!
//! Owns what a log file looks like and how it is rotated. The keeper is the only writer; the daemon only reads.

mod chain;
mod file_reader;
mod json;
mod local;
pub(crate) mod pack;
pub mod reader;
pub(crate) mod split;
pub(crate) mod time;
pub(crate) mod writer;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a task's output is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The format.
    pub driver: Driver,
    /// Path of the newest file; older ones are `<path>.1`, `<path>.2`, … Its directory must exist.
    pub path: PathBuf,
    /// A file is rotated before it would grow over this many bytes; 0: never.
    pub max_size: u64,
    /// Files kept, the newest included; at least 1. With 1, a full file is dropped for a new one.
    pub max_files: u32,
    /// Compress rotated files with gzip.
    pub compress: bool,
    /// Names and values added to each record (Docker's `labels`, `env` and `tag` options, already resolved).
    pub attrs: Vec<(String, String)>,
}

/// The format of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Driver {
    /// Nothing is kept.
    None,
    /// Docker's json-file: one JSON object a line.
    JsonFile,
    /// Compact and exact; our own.
    Local,
}

impl LogConfig {
    /// No log.
    #[must_use]
    pub fn none() -> Self {
        LogConfig {
            driver: Driver::None,
            path: PathBuf::new(),
            max_size: 0,
            max_files: 1,
            compress: false,
            attrs: Vec::new(),
        }
    }

    /// Docker's json-file without rotation.
    #[must_use]
    pub fn json_file(path: impl Into<PathBuf>) -> Self {
        LogConfig { driver: Driver::JsonFile, path: path.into(), ..Self::none() }
    }
}

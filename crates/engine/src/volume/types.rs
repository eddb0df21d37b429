//! Requests and snapshots of volumes.

use std::path::PathBuf;

use indexmap::IndexMap;
use model::{filter::Filters, name::VolumeName};
use serde::{Deserialize, Serialize};

/// Make a volume.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Unique; empty: 64 random hex digits.
    pub name: String,
    /// Empty: `local`.
    pub driver: String,
    /// `type`, `o`, `device` of the local driver.
    pub options: IndexMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
}

/// The durable part of a volume.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Unique.
    pub name: VolumeName,
    /// Driver.
    pub driver: String,
    /// Driver options.
    pub options: IndexMap<String, String>,
    /// Labels.
    pub labels: IndexMap<String, String>,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// The engine made up the name.
    pub anonymous: bool,
}

/// A volume at one moment.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The durable part.
    pub record: Record,
    /// Where its files are on the host.
    pub mountpoint: PathBuf,
    /// Bytes; `None`: not counted.
    pub size: Option<u64>,
    /// Containers that use it.
    pub containers: usize,
}

/// List volumes.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Keys as Docker has them; unknown ones are refused.
    pub filters: Filters,
}

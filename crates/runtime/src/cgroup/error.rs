//! What can go wrong with control groups.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use model::ErrorKind;

/// A failed step on a control group.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// The host's mounts couldn't be read, or make no sense.
    #[error("cannot find the control group hierarchies in {path}")]
    Detect {
        /// The file read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No cgroup file system is mounted at all.
    #[error("no control group hierarchy is mounted")]
    NoHierarchy,
    /// The group's directory couldn't be made.
    #[error("cannot create control group {path}")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no such group.
    #[error("control group {path} does not exist")]
    NotFound {
        /// The group.
        path: String,
    },
    /// A file of the group couldn't be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the group holds something unexpected.
    #[error("cannot understand {path}: {text:?}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it holds.
        text: String,
    },
    /// The kernel refused a value.
    #[error("cannot write {value:?} to {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What was written.
        value: String,
        /// Why.
        source: io::Error,
    },
    /// A limit was asked for that this host can't enforce.
    #[error("cannot set {setting}: {missing}")]
    Unavailable {
        /// The limit, in the spec's words.
        setting: String,
        /// What the host lacks.
        missing: String,
    },
    /// A value makes no sense.
    #[error("invalid {setting} {value:?}: {reason}")]
    Invalid {
        /// The limit, in the spec's words.
        setting: String,
        /// The value.
        value: String,
        /// Why not.
        reason: &'static str,
    },
    /// The kernel took too long.
    #[error("control group {path} did not reach state {state} within {limit:?}")]
    Timeout {
        /// The group.
        path: String,
        /// `frozen` or `thawed`.
        state: &'static str,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Processes remain in a group that should go.
    #[error("cannot remove control group {path}: still used by processes {pids:?}")]
    Busy {
        /// The directory.
        path: PathBuf,
        /// Who is left.
        pids: Vec<u32>,
        /// The last refusal.
        source: io::Error,
    },
    /// A directory couldn't be removed, for another reason than being in use.
    #[error("cannot remove control group {path}")]
    Remove {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A process couldn't be signalled.
    #[error("cannot kill process {pid} of control group {path}")]
    Kill {
        /// The group.
        path: String,
        /// The process.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// Notification couldn't be set up.
    #[error("cannot watch {path}")]
    Watch {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device program couldn't be loaded or attached.
    #[error("cannot {action} the device program of {path}")]
    DeviceProgram {
        /// `load`, `attach`, …
        action: &'static str,
        /// The group.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl CgroupError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Invalid { .. } => ErrorKind::InvalidInput,
            Self::Unavailable { .. } | Self::NoHierarchy => ErrorKind::Unsupported,
            Self::Busy { .. } => ErrorKind::Conflict,
            Self::Timeout { .. } => ErrorKind::Unavailable,
            Self::Create { source, .. } | Self::Write { source, .. } => of_write(source),
            Self::Detect { .. }
            | Self::Read { .. }
            | Self::Parse { .. }
            | Self::Remove { .. }
            | Self::Kill { .. }
            | Self::Watch { .. }
            | Self::DeviceProgram { .. } => ErrorKind::Internal,
        }
    }
}

/// The kernel answers an impossible value with `EINVAL` or `ERANGE`, a limit below the
/// usage with `EBUSY`, and too many groups with `ENOSPC`.
fn of_write(source: &io::Error) -> ErrorKind {
    match source.kind() {
        io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
        io::ErrorKind::ResourceBusy => ErrorKind::Conflict,
        io::ErrorKind::StorageFull | io::ErrorKind::OutOfMemory => ErrorKind::Exhausted,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Forbidden,
        _ => ErrorKind::Internal,
    }
}

//! What can fail in the store. The edge turns [`Error::kind`] into a status or exit code.

use std::io;

use model::{Digest, ErrorKind};

use crate::archive::ArchiveError;

/// The result of every call of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the store: what was tried, on what, and why not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the data root open.
    #[error("data root {root} is in use by another engine (process {pid})")]
    InUse {
        /// The data root.
        root: String,
        /// The pid that it wrote down, or `unknown`.
        pid: String,
    },
    /// The data was written by a newer Cale.
    #[error(
        "data root {root} has format {found}, but this version of Cale knows only up to {known}; use the newer version, or restore {root}/meta from a backup"
    )]
    NewerFormat {
        /// The data root.
        root: String,
        /// What is on disk.
        found: u32,
        /// What this binary can read.
        known: u32,
    },
    /// A file operation of the store's own.
    #[error("cannot {action} {subject}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path, relative to the data root, or thing.
        subject: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The metadata database failed.
    #[error("cannot {action} the metadata database")]
    Database {
        /// What was tried.
        action: &'static str,
        /// Its answer.
        #[source]
        source: Box<redb::Error>,
    },
    /// The thread that writes the database is gone.
    #[error("the metadata database is closed")]
    Closed,
    /// A stored record can't be read back.
    #[error("damaged record of {what} {key}; run a check with repair")]
    Record {
        /// Which table.
        what: &'static str,
        /// Which key.
        key: String,
        /// The parser's answer.
        #[source]
        source: serde_json::Error,
    },
    /// A blob has not the content that its digest says.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// A blob has not the length that its descriptor says.
    #[error("size mismatch of {digest}: expected {expected} bytes, got {actual}")]
    WrongSize {
        /// Which blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// An unpacked layer is not what the image's configuration says.
    #[error("layer {blob} unpacks to {actual}, but the image says {expected}")]
    WrongDiffId {
        /// The blob.
        blob: Digest,
        /// The configuration's diff id.
        expected: Digest,
        /// The archive's digest.
        actual: Digest,
    },
    /// A layer's archive can't be read or unpacked.
    #[error("cannot unpack layer {subject}")]
    Unpack {
        /// The layer.
        subject: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// A tree can't be archived.
    #[error("cannot archive {subject}")]
    Archive {
        /// What.
        subject: String,
        /// Why.
        #[source]
        source: ArchiveError,
    },
    /// An image archive given to load is wrong.
    #[error("cannot load image archive: {0}")]
    Load(String),
    /// A document (manifest, configuration, index) can't be parsed.
    #[error("invalid {what} {digest}")]
    Document {
        /// Manifest, configuration, index.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// The parser's answer.
        #[source]
        source: serde_json::Error,
    },
    /// A document says what it must not.
    #[error("invalid {what} {digest}: {reason}")]
    BadDocument {
        /// Manifest, configuration, index.
        what: &'static str,
        /// Its digest.
        digest: Digest,
        /// What is wrong.
        reason: String,
    },
    /// No such image.
    #[error("No such image: {0}")]
    NoImage(String),
    /// The text names several images.
    #[error("image id prefix {0} is ambiguous")]
    AmbiguousImage(String),
    /// No such blob.
    #[error("no blob {0}")]
    NoBlob(Digest),
    /// No such layer.
    #[error("no layer {0}")]
    NoLayer(Digest),
    /// No such writable root.
    #[error("no root filesystem of container {0}")]
    NoRootfs(String),
    /// A writable root of that name is there.
    #[error("container {0} has a root filesystem already")]
    RootfsExists(String),
    /// A reference that is needed lacks a tag or has a digest.
    #[error("cannot tag {0}: a tag without digest is needed")]
    NotATag(String),
    /// An image can't go because it is used. The text is the one that Docker's users know.
    #[error("conflict: unable to {action} ({force}) - {reason}")]
    ImageInUse {
        /// `remove repository reference "x"`, or `delete <short id>`.
        action: String,
        /// `must force`, or `cannot be forced`.
        force: &'static str,
        /// Which container uses it, or how many repositories name it.
        reason: String,
    },
    /// The volume has content or is there already in another form.
    #[error("volume {name}: {reason}")]
    Volume {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A thread of the store's own died.
    #[error("a worker of the store panicked while it would {0}")]
    Worker(&'static str),
    /// A test asked for this failure.
    #[error("failpoint {0}")]
    Failpoint(&'static str),
}

impl Error {
    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Unavailable,
            Self::NewerFormat { .. } => ErrorKind::Unsupported,
            Self::File { source, .. } => io_kind(source),
            Self::Database { source, .. } => match &**source {
                redb::Error::Io(source) => io_kind(source),
                _ => ErrorKind::Internal,
            },
            Self::WrongDigest { .. }
            | Self::WrongSize { .. }
            | Self::WrongDiffId { .. }
            | Self::Load(_)
            | Self::Document { .. }
            | Self::BadDocument { .. }
            | Self::AmbiguousImage(_)
            | Self::NotATag(_) => ErrorKind::InvalidInput,
            Self::Unpack { source, .. } | Self::Archive { source, .. } => source.kind(),
            Self::NoImage(_) | Self::NoBlob(_) | Self::NoLayer(_) | Self::NoRootfs(_) => {
                ErrorKind::NotFound
            }
            Self::RootfsExists(_) | Self::ImageInUse { .. } | Self::Volume { .. } => {
                ErrorKind::Conflict
            }
            Self::Record { .. } | Self::Closed | Self::Worker(_) | Self::Failpoint(_) => {
                ErrorKind::Internal
            }
        }
    }

    pub(crate) fn file(
        action: &'static str,
        subject: impl ToString,
    ) -> impl FnOnce(io::Error) -> Self {
        let subject = subject.to_string();
        move |source| Self::File { action, subject, source }
    }

    pub(crate) fn database<E: Into<redb::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Database { action, source: Box::new(source.into()) }
    }

    /// Whether the cause is a full disk or quota.
    pub(crate) fn is_full(&self) -> bool {
        self.kind() == ErrorKind::Exhausted
    }
}

/// The kind of a failed system call that nobody expected.
pub(crate) fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
            ErrorKind::Exhausted
        }
        // Decompressors and decoders report damaged input so.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            ErrorKind::InvalidInput
        }
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        _ => ErrorKind::Internal,
    }
}

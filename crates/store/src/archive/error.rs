//! What can be wrong with an archive, or with writing it out.

use std::io;

use model::ErrorKind;

/// A failure of reading, extracting or making an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes are no well-formed archive.
    #[error("malformed archive at byte {offset}: {reason}")]
    Malformed {
        /// Where in the uncompressed archive.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The archive ends in the middle of something.
    #[error("archive ends early, at byte {offset}")]
    Truncated {
        /// Where in the uncompressed archive.
        offset: u64,
    },
    /// An entry that could reach outside, or can't exist.
    #[error("refusing archive entry {path:?}: {reason}")]
    Refused {
        /// The entry's name, lossily.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// More than the configured limit.
    #[error("archive exceeds the limit of {limit} {what}")]
    Limit {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A compression that this build can't read.
    #[error("unsupported compression {0}; use gzip, zstd or none")]
    Compression(&'static str),
    /// A hard link to something that neither this archive nor a parent layer has.
    #[error("hard link {path:?} points to {target:?}, which isn't there")]
    LinkTarget {
        /// The link's name.
        path: String,
        /// What it should be a name of.
        target: String,
    },
    /// Reading the source failed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// Writing the archive failed.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
    /// An operation on the directory tree failed.
    #[error("cannot {action} {path:?}")]
    Tree {
        /// What was tried.
        action: &'static str,
        /// On which entry.
        path: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl ArchiveError {
    /// The sort of failure.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. }
            | Self::Truncated { .. }
            | Self::Refused { .. }
            | Self::Limit { .. }
            | Self::LinkTarget { .. } => ErrorKind::InvalidInput,
            Self::Compression(_) => ErrorKind::Unsupported,
            Self::Read(source) | Self::Write(source) | Self::Tree { source, .. } => {
                crate::error::io_kind(source)
            }
        }
    }

    pub(crate) fn tree(
        action: &'static str,
        path: &[u8],
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = lossy(path);
        move |source| Self::Tree { action, path, source }
    }

    pub(crate) fn refused(path: &[u8], reason: &'static str) -> Self {
        Self::Refused { path: lossy(path), reason }
    }
}

/// A name for people: at most 200 bytes of it.
pub(crate) fn lossy(path: &[u8]) -> String {
    let shown = &path[..path.len().min(200)];
    let mut text = String::from_utf8_lossy(shown).into_owned();
    if shown.len() < path.len() {
        text.push('…');
    }
    text
}

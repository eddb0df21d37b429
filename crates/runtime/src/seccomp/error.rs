//! What can be wrong with a profile.

use model::ErrorKind;

/// A profile that can't become a filter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// Not JSON, or not the format.
    #[error("cannot parse the seccomp profile")]
    Parse {
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field contradicts another or is out of range.
    #[error("invalid seccomp profile: {reason}")]
    Invalid {
        /// The field and what is wrong with it.
        reason: String,
    },
    /// More instructions than the kernel takes (`BPF_MAXINSNS`, 4096).
    #[error("seccomp profile needs {instructions} instructions, the kernel takes 4096")]
    TooLong {
        /// How many.
        instructions: usize,
    },
}

impl SeccompError {
    /// What sort of failure this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse { .. } | Self::Invalid { .. } | Self::TooLong { .. } => {
                ErrorKind::InvalidInput
            }
        }
    }
}

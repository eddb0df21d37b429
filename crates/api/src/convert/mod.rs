//! Requests of the newest version → validated `model` values, and back, with Docker's texts.

use model::ErrorKind;

/// A request that is refused for what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Docker's text.
    pub message: String,
}

impl Refusal {
    /// A refusal with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// Always [`ErrorKind::InvalidInput`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

//! What can go wrong in a build, with its place in the Dockerfile.

use dockerfile::{ParseError, Span, error::ParseErrorKind};
use model::ErrorKind;

/// A boxed error of whoever implements [`crate::Worker`], with the kind that it reported.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct WorkerError {
    /// What sort of failure it is.
    pub kind: ErrorKind,
    /// The sentence, with its causes.
    pub message: String,
}

impl WorkerError {
    /// An error with a sentence.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// A build that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no Dockerfile.
    #[error("dockerfile parse error")]
    Parse(#[source] ParseError),
    /// An instruction can't be carried out as written.
    #[error("{message}")]
    Instruction {
        /// Where.
        span: Span,
        /// Why.
        message: String,
    },
    /// The request as a whole is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A command ended with a code other than 0.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit {
        /// Where.
        span: Span,
        /// The command line.
        command: String,
        /// Its exit code.
        code: i64,
    },
    /// A step failed below.
    #[error("failed to solve: {step}")]
    Step {
        /// Where.
        span: Span,
        /// The step's name.
        step: String,
        /// Why.
        #[source]
        source: WorkerError,
    },
    /// Something outside any step failed below.
    #[error("{action}")]
    Worker {
        /// What was being done.
        action: String,
        /// Why.
        #[source]
        source: WorkerError,
    },
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Instruction { .. } | Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::Exit { .. } => ErrorKind::Internal,
            Self::Step { source, .. } | Self::Worker { source, .. } => source.kind,
        }
    }

    /// Where in the Dockerfile.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Parse(error) => error.span,
            Self::Instruction { span, .. } | Self::Exit { span, .. } | Self::Step { span, .. } => {
                Some(*span)
            }
            Self::Invalid(_) | Self::Worker { .. } => None,
        }
    }

    /// The sentence and its causes, joined by `: `.
    pub fn text(&self) -> String {
        match self {
            Self::Parse(error) => match &error.hint {
                Some(hint) => {
                    format!("dockerfile parse error on {}: {error} ({hint})", place(self))
                }
                None => format!("dockerfile parse error on {}: {error}", place(self)),
            },
            Self::Step { source, .. } | Self::Worker { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }

    /// The message under the lines of the Dockerfile that it is about.
    pub fn with_excerpt(&self, file_name: &str, text: &str) -> String {
        let Some(span) = self.span() else { return self.text() };
        let shown = ParseError::at(span, ParseErrorKind::Instruction(self.text()));
        shown.with_excerpt(file_name, text)
    }
}

fn place(error: &Error) -> String {
    error.span().map_or_else(|| "the file".to_owned(), |span| span.to_string())
}

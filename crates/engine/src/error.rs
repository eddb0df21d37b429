//! What can go wrong in a use-case, with the texts that Docker's users know.
//!
//! Owns the sentences about containers, images, networks and volumes. The texts of lower crates
//! come as `source` and are printed once, by the edge, joined by `: `.

use std::io;

use model::ErrorKind;

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A boxed error of a lower crate, with the kind that it reported.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct Cause {
    kind: ErrorKind,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Cause {
    /// Wraps `source`, which says of itself that it is of `kind`.
    pub fn new(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, source: source.into() }
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The whole chain in one line, as the Engine API's messages have it.
    pub fn text(&self) -> String {
        chain(self.source.as_ref())
    }
}

/// `error: its source: …`, without repeating a sentence that a wrapper already printed.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.ends_with(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        next = source.source();
    }
    text
}

/// A use-case that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this name, id or unique prefix of an id.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// No exec has this id.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// No image has this name or id.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// No network has this name or id.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// A path that isn't there.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The path as asked for.
        path: String,
        /// The container as asked for.
        container: String,
    },
    /// A prefix that several ids share.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Its owner's id.
        id: String,
    },
    /// The thing's state forbids the request.
    #[error("{0}")]
    Conflict(String),
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A policy forbids it, or the thing is predefined.
    #[error("{0}")]
    Forbidden(String),
    /// Already in the wanted state.
    #[error("{0}")]
    NotModified(String),
    /// Asked for something that doesn't exist, with a sentence of its own.
    #[error("{0}")]
    NotFound(String),
    /// This kernel, build or configuration can't do it.
    #[error("{0}")]
    Unsupported(String),
    /// Some service is away, or the engine is shutting down.
    #[error("{0}")]
    Unavailable(String),
    /// A container's process did not start; `exit_code` is 125, 126 or 127.
    #[error("{message}")]
    Start {
        /// Docker's sentence.
        message: String,
        /// What `docker run` ends with.
        exit_code: u8,
    },
    /// A request on a container failed in a lower layer.
    #[error("{action} container {container}")]
    Container {
        /// What was being done, `stop`.
        action: &'static str,
        /// Name or id.
        container: String,
        /// What the layer below said.
        #[source]
        source: Cause,
    },
    /// Anything else that failed in a lower layer.
    #[error("{action} {subject}")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// To what.
        subject: String,
        /// What the layer below said.
        #[source]
        source: Cause,
    },
    /// A file of the host.
    #[error("{action} {path}")]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchExec(_)
            | Self::NoSuchImage(_)
            | Self::NoSuchVolume(_)
            | Self::NoSuchNetwork(_)
            | Self::NoSuchPath { .. }
            | Self::NotFound(_) => ErrorKind::NotFound,
            Self::Ambiguous(_) | Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::NameInUse { .. } | Self::Conflict(_) => ErrorKind::Conflict,
            Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::NotModified(_) => ErrorKind::NotModified,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Unavailable(_) => ErrorKind::Unavailable,
            // Docker answers 400 where the program is missing or can't be executed.
            Self::Start { exit_code: 126 | 127, .. } => ErrorKind::InvalidInput,
            Self::Start { .. } => ErrorKind::Internal,
            Self::Container { source, .. } | Self::Failed { source, .. } => source.kind(),
            Self::File { source, .. } => io_kind(source),
        }
    }

    /// The sentence and those of its sources, joined by `: `.
    pub fn text(&self) -> String {
        chain(self)
    }
}

/// The kind of a kernel error.
pub fn io_kind(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => ErrorKind::Forbidden,
        io::ErrorKind::AlreadyExists => ErrorKind::Conflict,
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename => ErrorKind::InvalidInput,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
            ErrorKind::Exhausted
        }
        io::ErrorKind::Unsupported => ErrorKind::Unsupported,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => ErrorKind::Unavailable,
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_print_every_cause_once() {
        let inner = io::Error::other("disk on fire");
        let error = Error::Container {
            action: "start",
            container: "web".to_owned(),
            source: Cause::new(ErrorKind::Internal, inner),
        };
        assert_eq!(error.text(), "start container web: disk on fire");
        assert_eq!(error.kind(), ErrorKind::Internal);
    }

    #[test]
    fn missing_programs_are_the_callers_fault() {
        let start = |exit_code| Error::Start { message: String::new(), exit_code }.kind();
        assert_eq!(start(127), ErrorKind::InvalidInput);
        assert_eq!(start(126), ErrorKind::InvalidInput);
        assert_eq!(start(125), ErrorKind::Internal);
    }
}

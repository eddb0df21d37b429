//! Errors of this layer in the words of `build`.

use build::error::WorkerError;
use model::ErrorKind;

use crate::{Error, error::io_kind};

/// An engine error.
pub fn engine(error: Error) -> WorkerError {
    WorkerError::new(error.kind(), error.text())
}

/// A store error.
pub fn store(error: store::Error) -> WorkerError {
    WorkerError::new(error.kind(), crate::error::chain(&error))
}

/// A kernel error on a path of the build.
pub fn file<'a>(
    action: &'a str,
    path: impl std::fmt::Display + 'a,
) -> impl FnOnce(std::io::Error) -> WorkerError + 'a {
    move |error| WorkerError::new(io_kind(&error), format!("{action} {path}: {error}"))
}

/// An archive error.
pub fn archive(path: &str) -> impl FnOnce(store::archive::ArchiveError) -> WorkerError + '_ {
    move |error| {
        let kind = error.kind();
        WorkerError::new(kind, format!("unpack {path}: {}", crate::error::chain(&error)))
    }
}

/// A request that can't be fulfilled as written.
pub fn invalid(message: impl Into<String>) -> WorkerError {
    WorkerError::new(ErrorKind::InvalidInput, message)
}

/// Work on a blocking thread.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WorkerError> + Send + 'static,
) -> Result<T, WorkerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(WorkerError::new(ErrorKind::Unavailable, format!("work was given up: {error}")))
        }
    }
}

//! Errors of the command line. Words that callers look for are kept: "container does not exist", "container not running".

use std::error::Error;
use std::path::PathBuf;

use crate::cgroup::CgroupError;
use crate::perform::LaunchError;
use crate::plan::PlanError;
use crate::seccomp::SeccompError;
use crate::spec::SpecError;

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line is wrong, or asks for what can't be.
    #[error("{0}")]
    Usage(String),
    /// A file of the record, the bundle or the caller.
    #[error("{action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record can't be read.
    #[error("read the record of container {id}")]
    Record {
        /// The container.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// No such container.
    #[error("container {0:?} does not exist: container does not exist")]
    Missing(String),
    /// The container's state forbids it.
    #[error("{0}")]
    State(String),
    /// The specification.
    #[error("specification")]
    Spec(#[source] SpecError),
    /// The plan.
    #[error("plan the launch")]
    Plan(#[source] PlanError),
    /// The filter.
    #[error("compile the seccomp profile")]
    Seccomp(#[source] SeccompError),
    /// Control groups.
    #[error("control groups of the container")]
    Cgroup(#[source] CgroupError),
    /// The launch. Callers match on what follows the prefix.
    #[error("unable to start container process")]
    Launch(#[source] LaunchError),
    /// The own program file.
    #[error("protect the runtime's program")]
    Seal(#[source] crate::sealed::SealError),
    /// A hook outside.
    #[error("error running {kind} hook {path}: {reason}")]
    Hook {
        /// Which list.
        kind: &'static str,
        /// The program.
        path: String,
        /// Why.
        reason: String,
    },
    /// A call of the kernel.
    #[error("{action}")]
    Kernel {
        /// What was tried.
        action: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl CliError {
    pub(crate) fn usage(text: impl Into<String>) -> CliError {
        CliError::Usage(text.into())
    }

    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> CliError {
        let path = path.into();
        move |source| CliError::File { action, path, source }
    }

    pub(crate) fn kernel(action: &'static str) -> impl FnOnce(sys::Errno) -> CliError {
        move |errno| CliError::Kernel { action, source: errno.into() }
    }

    /// runc exits with 1 for anything of its own; a process that can't be executed gives the shell's codes.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::Launch(error @ LaunchError::Program { .. }) => error.exit_code(),
            _ => 1,
        }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

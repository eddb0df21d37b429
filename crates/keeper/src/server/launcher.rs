//! The seam to the runtime: what starts a process.

use std::error::Error;
use std::os::fd::{BorrowedFd, OwnedFd};

use runtime::perform::{self, LaunchError};
use runtime::plan::LaunchPlan;

use crate::protocol::{Failure, Plan, StartFailure};

/// A started process.
#[derive(Debug)]
pub struct Started {
    /// Its id in the caller's pid namespace.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: OwnedFd,
    /// The master of its terminal, when the plan makes one.
    pub console: Option<OwnedFd>,
}

/// Starts processes as children of the caller.
pub trait Launcher {
    /// Starts what `plan` says. Returns when the program runs (or when it waits at the plan's gate).
    ///
    /// # Errors
    /// [`Failure::PlanUnreadable`] and [`Failure::Start`].
    fn launch(&mut self, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Started, Failure>;
}

/// Starts containers and processes in them.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuntimeLauncher;

impl Launcher for RuntimeLauncher {
    fn launch(&mut self, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Started, Failure> {
        let (Plan::Container(bytes) | Plan::Exec(bytes)) = plan;
        let plan = LaunchPlan::decode(bytes).map_err(|_other_build| Failure::PlanUnreadable)?;
        let launched = perform::launch(&plan, fds).map_err(|error| failure(&error))?;
        if launched.listener.is_some() {
            return Err(refuse_listener(&launched.pidfd));
        }
        Ok(Started { pid: launched.pid, pidfd: launched.pidfd, console: launched.console })
    }
}

/// A filter that asks a listener would stop the process for ever: nobody listens here.
fn refuse_listener(pidfd: &OwnedFd) -> Failure {
    let ended = sys::pidfd::send_signal(pidfd, 9).and_then(|()| sys::pidfd::wait(pidfd));
    Failure::Start {
        report: "seccomp filters that notify a listener aren't supported".to_owned(),
        kind: StartFailure::Setup,
        errno: ended.err().map_or(0, |errno| errno.raw_os_error()),
    }
}

/// The runtime's error with all its causes: it is printed in another process, where the chain can't follow.
fn failure(error: &LaunchError) -> Failure {
    let mut report = error.to_string();
    let mut errno = match error {
        LaunchError::Step { errno, .. } => *errno,
        _ => 0,
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        report = format!("{report}: {error}");
        let io = error.downcast_ref::<std::io::Error>();
        errno = io.and_then(std::io::Error::raw_os_error).unwrap_or(errno);
        cause = error.source();
    }
    let kind = match error.exit_code() {
        127 => StartFailure::NotFound,
        126 => StartFailure::NotExecutable,
        _ => StartFailure::Setup,
    };
    Failure::Start { report, kind, errno }
}

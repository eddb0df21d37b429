//! Requests and snapshots of execs.

use model::{ContainerId, ExecId};

/// Prepare a further process in a running container.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `KEY=value`, added to the container's.
    pub env: Vec<String>,
    /// `None`: the container's.
    pub working_dir: Option<String>,
    /// `user[:group]`; `None`: the container's.
    pub user: Option<String>,
    /// Has a terminal.
    pub tty: bool,
    /// All capabilities.
    pub privileged: bool,
    /// The client will attach these.
    pub stdin: bool,
    /// The client will attach these.
    pub stdout: bool,
    /// The client will attach these.
    pub stderr: bool,
    /// `ctrl-p,ctrl-q`; `None`: that default; empty: none.
    pub detach_keys: Option<String>,
    /// Initial terminal size.
    pub console_size: Option<crate::container::WindowSize>,
}

/// An exec at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its id.
    pub id: ExecId,
    /// Where.
    pub container: ContainerId,
    /// Who wants it.
    pub origin: Origin,
    /// What was asked for.
    pub request: CreateRequest,
    /// How far it is.
    pub phase: Phase,
    /// On the host; 0 when it doesn't run.
    pub pid: u32,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
}

/// Who wants an exec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client.
    Client,
    /// A health check: too many for the log of events.
    Probe,
}

/// How far an exec is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not started.
    Prepared,
    /// Its process runs.
    Running,
    /// Ended, or could not be started.
    Ended {
        /// Exit code.
        exit_code: i64,
    },
}

/// Start an exec.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartRequest {
    /// Nobody attaches.
    pub detach: bool,
    /// Initial terminal size.
    pub console_size: Option<crate::container::WindowSize>,
}

//! Execs: further processes in running containers.

mod types;

pub use types::*;

use std::sync::Arc;

use model::ExecId;

use crate::{
    Engine, Result,
    container::{AttachIo, WindowSize},
    error::pending,
};

/// Everything that can be asked of execs.
#[derive(Clone, Copy, Debug)]
pub struct Execs<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Execs<'_> {
    /// Prepares one in a running container.
    pub async fn create(&self, container: &str, request: CreateRequest) -> Result<ExecId> {
        pending("create")
    }

    /// Checks that it can be started. The client may be told so before [`StartTicket::start`].
    pub async fn start(&self, exec: &str, request: StartRequest) -> Result<StartTicket> {
        pending("start")
    }

    /// One of them.
    pub async fn inspect(&self, exec: &str) -> Result<Snapshot> {
        pending("inspect")
    }

    /// Sets its terminal's size.
    pub async fn resize(&self, exec: &str, size: WindowSize) -> Result<()> {
        pending("resize")
    }

    /// Those of a container that still run.
    pub async fn list(&self, container: &str) -> Result<Vec<Snapshot>> {
        pending("list")
    }

    /// Sends it a signal (name or number; `None`: SIGKILL).
    pub async fn kill(&self, exec: &str, signal: Option<&str>) -> Result<()> {
        pending("kill")
    }

    /// Attaches to one that runs.
    pub async fn attach(&self, exec: &str) -> Result<StartTicket> {
        pending("attach")
    }
}

/// Leave to start an exec.
#[derive(Debug)]
pub struct StartTicket {
    tty: bool,
}

impl StartTicket {
    /// It has a terminal: output isn't framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Starts it; with `io` the client is attached before the first byte. The error of a program
    /// that can't be executed has exit code 126 or 127.
    pub async fn start(self, io: Option<AttachIo>) -> Result<()> {
        drop(io);
        pending("exec")
    }
}

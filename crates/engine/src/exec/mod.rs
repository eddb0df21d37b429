//! Execs: further processes in running containers.
//!
//! States: *prepared* → *running* → *ended*. They live in memory and in the keeper: an engine
//! that is started again finds those that run in the keeper's inventory.

mod start;
mod table;
mod types;

use std::sync::Arc;

use keeper::protocol::TaskId;
use model::{ExecId, state::Status};

pub use start::StartTicket;
pub(crate) use start::{ended, probe};
pub(crate) use table::Table;
pub use types::*;

use crate::{
    Engine, Error, Result,
    container::{WindowSize, attach::detach_keys, signal},
    moment,
};

/// Everything that can be asked of execs.
#[derive(Clone, Copy, Debug)]
pub struct Execs<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Execs<'_> {
    /// Prepares one in a running container.
    pub async fn create(&self, container: &str, request: CreateRequest) -> Result<ExecId> {
        let handle = self.engine.registry().find(container)?;
        let snapshot = handle.snapshot();
        runs(&snapshot.state.status, handle.id.as_str())?;
        if request.command.is_empty() {
            return Err(Error::Invalid("No exec command specified".to_owned()));
        }
        detach_keys(request.detach_keys.as_deref())?;
        let id = ExecId::from_bytes(moment::random_id());
        let command = request.command.join(" ");
        self.engine.events().container(
            &snapshot.record,
            &format!("exec_create: {command}"),
            &[("execID", id.as_str())],
        );
        self.engine.execs_table().insert(Snapshot {
            id: id.clone(),
            container: handle.id.clone(),
            request,
            phase: Phase::Prepared,
            pid: 0,
            created_ns: moment::now_ns(),
        });
        Ok(id)
    }

    /// One of them.
    pub async fn inspect(&self, exec: &str) -> Result<Snapshot> {
        self.engine.execs_table().find(exec)
    }

    /// Sets its terminal's size.
    pub async fn resize(&self, exec: &str, size: WindowSize) -> Result<()> {
        let snapshot = self.running(exec)?;
        let size = keeper::protocol::WindowSize { rows: size.height, columns: size.width };
        self.engine.keeping().resize(&task_of(&snapshot)?, size).await
    }

    /// Those of a container that still run.
    pub async fn list(&self, container: &str) -> Result<Vec<Snapshot>> {
        let handle = self.engine.registry().find(container)?;
        Ok(self.engine.execs_table().running_in(&handle.id))
    }

    /// Sends it a signal (name or number; `None`: SIGKILL).
    pub async fn kill(&self, exec: &str, signal: Option<&str>) -> Result<()> {
        let snapshot = self.running(exec)?;
        let number = match signal {
            None | Some("") => signal::KILL,
            Some(text) => signal::parse(text)?,
        };
        self.engine.keeping().signal(&task_of(&snapshot)?, number).await
    }

    fn running(&self, exec: &str) -> Result<Snapshot> {
        let snapshot = self.engine.execs_table().find(exec)?;
        match snapshot.phase {
            Phase::Running => Ok(snapshot),
            Phase::Prepared | Phase::Ended { .. } => {
                Err(Error::Conflict(format!("exec process {exec} is not running")))
            }
        }
    }
}

/// The keeper's name of an exec.
fn task_of(snapshot: &Snapshot) -> Result<TaskId> {
    TaskId::exec(snapshot.container.as_str(), snapshot.id.as_str())
        .map_err(|error| Error::Invalid(error.to_string()))
}

/// Docker's refusals for containers without a process to join.
fn runs(status: &Status, id: &str) -> Result<()> {
    match status {
        Status::Running => Ok(()),
        Status::Paused => Err(Error::Conflict(format!(
            "container {id} is paused, unpause the container before exec"
        ))),
        Status::Restarting => Err(Error::Conflict(format!(
            "Container {id} is restarting, wait until the container is running"
        ))),
        Status::Created | Status::Exited | Status::Dead | Status::Removing => {
            Err(Error::Conflict(format!("container {id} is not running")))
        }
    }
}

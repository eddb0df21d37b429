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

/// How long the notice of an exit may take before an inspection goes on without it.
const NOTICE_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// The process is gone, a zombie, or on its way there (`PF_EXITING` is set before the kernel
/// closes its files, so before anybody reads the end of its output).
fn is_ending(pid: u32) -> bool {
    const PF_EXITING: u64 = 0x4;
    if pid == 0 {
        return false;
    }
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // proc_pid_stat(5): the name in brackets may hold anything; state is the first field behind
    // it, flags the seventh.
    let Some((_, fields)) = stat.rsplit_once(')') else { return true };
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next();
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok());
    matches!(state, Some("Z" | "X")) || flags.is_some_and(|flags| flags & PF_EXITING != 0)
}

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
            origin: Origin::Client,
            request,
            phase: Phase::Prepared,
            pid: 0,
            created_ns: moment::now_ns(),
        });
        Ok(id)
    }

    /// One of them.
    ///
    /// A client that has read the end of the output asks for the exit code at once, before the
    /// keeper's notice may be here: an exec whose process is ending is waited for.
    pub async fn inspect(&self, exec: &str) -> Result<Snapshot> {
        let table = self.engine.execs_table();
        let snapshot = table.find(exec)?;
        if snapshot.phase != Phase::Running || !is_ending(snapshot.pid) {
            return Ok(snapshot);
        }
        let Some(mut watch) = table.watch(&snapshot.id) else { return Ok(snapshot) };
        let ended = watch.wait_for(|exec| exec.phase != Phase::Running);
        match tokio::time::timeout(NOTICE_MAX, ended).await {
            Ok(Ok(exec)) => Ok(exec.clone()),
            // The keeper is away; it will tell when it is back.
            Ok(Err(_)) | Err(_) => Ok(snapshot),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_processes_are_told_from_running_ones() {
        assert!(!is_ending(std::process::id()));
        assert!(!is_ending(0));
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = child.id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while !is_ending(pid) {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.wait().unwrap();
        assert!(is_ending(pid));
    }
}

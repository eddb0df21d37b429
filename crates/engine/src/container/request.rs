//! What may be asked of containers, typed and validated by whoever fills it in.

use std::{os::fd::OwnedFd, time::Duration};

use indexmap::IndexMap;
use model::{
    Reference,
    container::{ContainerSpec, HealthCheck, RestartPolicy},
    filter::Filters,
    resources::Resources,
};

/// Make a container.
#[derive(Clone, Debug, Default)]
pub struct CreateRequest {
    /// As typed, with or without a leading slash; `None`: a random one.
    pub name: Option<String>,
    /// What it shall be.
    pub spec: ContainerSpec,
}

/// A container was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its id.
    pub id: model::ContainerId,
    /// For people.
    pub warnings: Vec<String>,
}

/// Stop or restart.
#[derive(Clone, Debug, Default)]
pub struct StopRequest {
    /// Signal name or number; `None`: the container's.
    pub signal: Option<String>,
    /// Seconds until SIGKILL; negative: never; `None`: the container's.
    pub timeout_s: Option<i64>,
}

/// Live changes.
#[derive(Clone, Debug, Default)]
pub struct UpdateRequest {
    /// Limits that are `Some` (or non-empty) replace the old ones.
    pub resources: Resources,
    /// The new restart policy.
    pub restart_policy: Option<RestartPolicy>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// It isn't running (fulfilled at once for a container that never ran).
    #[default]
    NotRunning,
    /// Its next exit.
    NextExit,
    /// It is gone.
    Removed,
}

/// Remove a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveRequest {
    /// Kill it first if it runs.
    pub force: bool,
    /// Its anonymous volumes too.
    pub volumes: bool,
    /// Only the legacy link of this name.
    pub link: bool,
}

/// List containers.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Not only the running ones.
    pub all: bool,
    /// The newest so many, in any state.
    pub limit: Option<usize>,
    /// With sizes.
    pub size: bool,
    /// Keys as Docker has them; unknown ones are refused.
    pub filters: Filters,
}

/// Read the log.
#[derive(Clone, Debug, Default)]
pub struct LogsRequest {
    /// Standard output's lines.
    pub stdout: bool,
    /// Standard error's lines.
    pub stderr: bool,
    /// Nanoseconds since the epoch; lines before are left out.
    pub since_ns: Option<i64>,
    /// Nanoseconds since the epoch; lines after are left out.
    pub until_ns: Option<i64>,
    /// The last so many lines; `None`: all.
    pub tail: Option<usize>,
    /// Go on until the container ends.
    pub follow: bool,
}

/// Attach to the streams of a container.
#[derive(Clone, Debug, Default)]
pub struct AttachRequest {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// First what was written so far.
    pub logs: bool,
    /// Then what will be written.
    pub stream: bool,
    /// `ctrl-p,ctrl-q`; `None`: that default; empty: none.
    pub detach_keys: Option<String>,
}

/// The client's end of an attach.
#[derive(Debug)]
pub struct AttachIo {
    /// A connected socket, or one end of a pair. The keeper copies on it from now on, also while
    /// no daemon runs; the caller keeps no duplicate, or the client won't see the end.
    pub fd: OwnedFd,
    /// What was read from the client already.
    pub input: Vec<u8>,
    /// Never frame the output, also where there is no terminal (WebSocket).
    pub raw: bool,
}

/// Terminal size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// Make an image of a container.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// Name for the image; `None`: only an id.
    pub reference: Option<Reference>,
    /// Remark in the history.
    pub comment: String,
    /// Who.
    pub author: String,
    /// Stop all its processes meanwhile.
    pub pause: bool,
    /// Dockerfile instructions applied to the configuration.
    pub changes: Vec<String>,
    /// Process defaults that replace those of the container.
    pub config: Option<model::image::ProcessDefaults>,
}

/// Unpack an archive into a container.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutRequest {
    /// Refuse to replace a directory by a file or the other way round.
    pub keep_kinds: bool,
    /// Files get the owner that the archive says (else root).
    pub keep_owners: bool,
}

/// Fields of a health check in Go's units, resolved to durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPlan {
    /// The program and arguments.
    pub command: Vec<String>,
    /// Between probes.
    pub interval: Duration,
    /// One probe may take.
    pub timeout: Duration,
    /// Failures don't count so long.
    pub start_period: Duration,
    /// Between probes meanwhile.
    pub start_interval: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
}

impl HealthPlan {
    /// Reads a check; `None` where there is none. `shell` runs `CMD-SHELL` texts.
    pub fn of(check: &HealthCheck, shell: &[String]) -> Option<Self> {
        let command = match check.test.first().map(String::as_str) {
            Some("CMD") => check.test[1..].to_vec(),
            Some("CMD-SHELL") => {
                let shell = if shell.is_empty() {
                    vec!["/bin/sh".to_owned(), "-c".to_owned()]
                } else {
                    shell.to_vec()
                };
                shell.into_iter().chain(check.test.get(1).cloned()).collect()
            }
            _ => return None,
        };
        let or = |nanoseconds: i64, default_s: u64| match u64::try_from(nanoseconds) {
            Ok(0) | Err(_) => Duration::from_secs(default_s),
            Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
        };
        Some(Self {
            command,
            interval: or(check.interval, 30),
            timeout: or(check.timeout, 30),
            start_period: or(check.start_period, 0),
            start_interval: or(check.start_interval, 5),
            retries: match u32::try_from(check.retries) {
                Ok(0) | Err(_) => 3,
                Ok(retries) => retries,
            },
        })
    }
}

/// Labels and annotations, in the order given.
pub type Labels = IndexMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_have_dockers_defaults() {
        let check = HealthCheck {
            test: vec!["CMD-SHELL".to_owned(), "exit 0".to_owned()],
            ..HealthCheck::default()
        };
        let plan = HealthPlan::of(&check, &[]).unwrap();
        assert_eq!(plan.command, ["/bin/sh", "-c", "exit 0"]);
        assert_eq!(plan.interval, Duration::from_secs(30));
        assert_eq!(plan.start_period, Duration::ZERO);
        assert_eq!(plan.start_interval, Duration::from_secs(5));
        assert_eq!(plan.retries, 3);
        let off = HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() };
        assert_eq!(HealthPlan::of(&off, &[]), None);
    }
}

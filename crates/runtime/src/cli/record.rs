//! A container's record: `ROOT/ID/state.json`, and `exec.fifo` as long as its program hasn't been let go.
//!
//! States follow from the machine, not from the file: a first process that is gone is `stopped`, one at its gate is
//! `created`, a frozen group is `paused`. A process is known by pid and start time, so that a reused pid isn't taken for it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Global;
use super::error::CliError;
use crate::cgroup::{Cgroup, GroupPath, Hierarchies};
use crate::spec::Spec;

/// What is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The container's name.
    pub id: String,
    /// First process, in the runtime's pid namespace.
    pub init_process_pid: i32,
    /// Its start time in clock ticks since boot.
    pub init_process_start: u64,
    /// Bundle, absolute.
    pub bundle: PathBuf,
    /// Root file system, absolute.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339.
    pub created: String,
    /// User id of the creator.
    pub owner: u32,
    /// Group in the control group hierarchies; none without rights over them.
    pub cgroup: Option<String>,
    /// The specification as it was at creation.
    pub spec: Spec,
    /// Exec'ed processes keep the session keyring.
    pub keep_keyring: bool,
}

/// State of a container, runtime.md "State".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// One path component that can be a directory's name, as runc has it.
pub(crate) fn check_id(id: &str) -> Result<(), CliError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id == "." || id == ".." || id.len() > 1024 || !id.bytes().all(fine) {
        return Err(CliError::usage(format!("invalid container ID {id:?}")));
    }
    Ok(())
}

/// Start time of a live process; none when it is gone or a zombie.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl Record {
    /// Directory of a container's record.
    pub(crate) fn dir(global: &Global, id: &str) -> PathBuf {
        global.root.join(id)
    }

    pub(crate) fn gate(global: &Global, id: &str) -> PathBuf {
        Record::dir(global, id).join("exec.fifo")
    }

    /// Makes the directory; the name is taken from then on.
    pub(crate) fn reserve(global: &Global, id: &str) -> Result<PathBuf, CliError> {
        use std::os::unix::fs::DirBuilderExt;
        check_id(id)?;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700);
        fs::create_dir_all(&global.root).map_err(CliError::file("make", &global.root))?;
        let dir = Record::dir(global, id);
        match builder.create(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(CliError::State(format!("container with given ID already exists: {id}")))
            }
            result => result.map(|()| dir.clone()).map_err(CliError::file("make", &dir)),
        }
    }

    /// Reads a record.
    pub(crate) fn load(global: &Global, id: &str) -> Result<Record, CliError> {
        check_id(id)?;
        let path = Record::dir(global, id).join("state.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(CliError::Missing(id.to_owned()));
            }
            result => result.map_err(CliError::file("read", &path))?,
        };
        serde_json::from_slice(&bytes).map_err(|source| CliError::Record { id: id.into(), source })
    }

    /// Writes it; a reader sees the old one or the new one.
    pub(crate) fn save(&self, global: &Global) -> Result<(), CliError> {
        let dir = Record::dir(global, &self.id);
        let (path, staging) = (dir.join("state.json"), dir.join("state.json.new"));
        let text = serde_json::to_vec(self)
            .map_err(|source| CliError::Record { id: self.id.clone(), source })?;
        fs::write(&staging, text).map_err(CliError::file("write", &staging))?;
        fs::rename(&staging, &path).map_err(CliError::file("write", &path))
    }

    /// Removes it.
    pub(crate) fn remove(global: &Global, id: &str) -> Result<(), CliError> {
        let dir = Record::dir(global, id);
        fs::remove_dir_all(&dir).map_err(CliError::file("remove", &dir))
    }

    /// The first process, if it lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.init_process_pid > 0
            && start_time(self.init_process_pid) == Some(self.init_process_start)
    }

    pub(crate) fn status(&self, global: &Global) -> Status {
        if !self.is_alive() {
            return if self.init_process_pid == 0 { Status::Creating } else { Status::Stopped };
        }
        if Record::gate(global, &self.id).exists() {
            return Status::Created;
        }
        let frozen = self
            .open_cgroup()
            .ok()
            .flatten()
            .is_some_and(|group| group.is_frozen().unwrap_or(false));
        if frozen { Status::Paused } else { Status::Running }
    }

    /// The container's group; none when it never had one, or it is gone.
    pub(crate) fn open_cgroup(&self) -> Result<Option<Box<dyn Cgroup>>, CliError> {
        let Some(path) = &self.cgroup else { return Ok(None) };
        let hierarchies = Hierarchies::detect().map_err(CliError::Cgroup)?;
        let path = GroupPath::new(path).map_err(CliError::Cgroup)?;
        match hierarchies.open(&path) {
            Ok(group) => Ok(Some(group)),
            Err(error) if error.kind() == model::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::Cgroup(error)),
        }
    }

    /// As [`Record::open_cgroup`], for commands that can't do without.
    pub(crate) fn cgroup(&self) -> Result<Box<dyn Cgroup>, CliError> {
        let missing = || CliError::State(format!("container {} has no control group", self.id));
        self.open_cgroup()?.ok_or_else(missing)
    }

    /// The state document of the specification, with runc's additions.
    pub(crate) fn state(&self, status: Status) -> Value {
        let pid = if status == Status::Stopped { 0 } else { self.init_process_pid };
        json!({
            "ociVersion": self.spec.oci_version,
            "id": self.id,
            "pid": pid,
            "status": status.name(),
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
            "annotations": self.spec.annotations,
            "owner": "",
        })
    }

    /// The state document that hooks get.
    pub(crate) fn hook_state(&self, status: Status, pid: i32) -> Value {
        let mut state = json!({
            "ociVersion": self.spec.oci_version,
            "id": self.id,
            "status": status.name(),
            "pid": pid,
            "bundle": self.bundle,
        });
        if !self.spec.annotations.is_empty() {
            state["annotations"] = json!(self.spec.annotations);
        }
        state
    }
}

/// All ids below the root, sorted.
pub(crate) fn ids(root: &Path) -> Result<Vec<String>, CliError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(CliError::file("list", root))?,
    };
    let mut ids: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|id| root.join(id).join("state.json").exists())
        .collect();
    ids.sort();
    Ok(ids)
}

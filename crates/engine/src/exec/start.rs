//! Starting an exec: into the namespaces, group and restrictions of its container.

use std::{io::Read, os::fd::AsFd, sync::Arc, time::Duration};

use keeper::{
    log::LogConfig,
    protocol::{
        AttachSpec, ExitRecord, Framing, Io, Launch, Owner, Plan, SlowReader, StartFailure,
        WindowSize,
    },
};
use model::ExecId;
use runtime::{plan::FdRole, spec::Process};

use super::{CreateRequest, Execs, Origin, Phase, Snapshot, StartRequest, runs, task_of};
use crate::{
    Engine, Error, Result, blocking,
    container::{AttachIo, Record, attach::detach_keys, handle::Handle, merge, oci, start, user},
    error::Cause,
    keeping::LaunchError,
    moment,
};

/// Most of a probe's output that is read.
const PROBE_OUTPUT_MAX: usize = 64 * 1024;

/// Leave to start an exec, or to attach to one that runs.
#[derive(Debug)]
pub struct StartTicket {
    engine: Arc<Engine>,
    exec: Snapshot,
    size: Option<crate::container::WindowSize>,
    attach_only: bool,
}

impl Execs<'_> {
    /// Checks that it can be started. The client may be told so before [`StartTicket::start`].
    pub async fn start(&self, exec: &str, request: StartRequest) -> Result<StartTicket> {
        let snapshot = self.engine.execs_table().find(exec)?;
        let handle = self.engine.registry().find(snapshot.container.as_str())?;
        runs(&handle.snapshot().state.status, handle.id.as_str())?;
        match snapshot.phase {
            Phase::Prepared => Ok(StartTicket {
                engine: self.engine.clone(),
                exec: snapshot,
                size: request.console_size,
                attach_only: false,
            }),
            Phase::Running => Err(Error::Conflict(format!("exec {exec} has already started"))),
            Phase::Ended { .. } => {
                Err(Error::Conflict(format!("exec command {exec} has already exited")))
            }
        }
    }

    /// Attaches to one that runs.
    pub async fn attach(&self, exec: &str) -> Result<StartTicket> {
        let exec = self.running(exec)?;
        Ok(StartTicket { engine: self.engine.clone(), exec, size: None, attach_only: true })
    }
}

impl StartTicket {
    /// It has a terminal: output isn't framed.
    pub fn tty(&self) -> bool {
        self.exec.request.tty
    }

    /// Starts it; with `io` the client is attached before the first byte. The error of a program
    /// that can't be executed has exit code 126 or 127.
    pub async fn start(self, io: Option<AttachIo>) -> Result<()> {
        let client = io.map(|io| (attach_spec(&self.exec.request, &io), io.fd));
        if self.attach_only {
            let Some((spec, fd)) = client else { return Ok(()) };
            return self.engine.keeping().attach(&task_of(&self.exec)?, spec?, fd).await;
        }
        let (specs, ends) = match client {
            Some((spec, fd)) => (vec![spec?], vec![fd]),
            None => (Vec::new(), Vec::new()),
        };
        let exec = self.engine.execs_table().claim(self.exec.id.as_str())?;
        let handle = self.engine.registry().find(exec.container.as_str())?;
        let record = handle.snapshot().record.clone();
        let command = exec.request.command.join(" ");
        self.engine.events().container(
            &record,
            &format!("exec_start: {command}"),
            &[("execID", exec.id.as_str())],
        );
        let started = run(&self.engine, &handle, &exec, self.size, specs, &ends).await;
        match started {
            Ok(pid) => {
                self.engine.execs_table().change(exec.id.as_str(), |entry| {
                    // Its end may have been told before its start.
                    if entry.phase == Phase::Running {
                        entry.pid = pid;
                    }
                });
                Ok(())
            }
            Err(error) => {
                let exit_code = match &error {
                    Error::Start { exit_code, .. } => i64::from(*exit_code),
                    _ => 126,
                };
                self.engine.execs_table().change(exec.id.as_str(), |entry| {
                    entry.phase = Phase::Ended { exit_code };
                });
                Err(error)
            }
        }
    }
}

fn attach_spec(request: &CreateRequest, io: &AttachIo) -> Result<AttachSpec> {
    let keys = detach_keys(request.detach_keys.as_deref())?;
    Ok(AttachSpec {
        stdin: request.stdin,
        stdout: request.stdout || request.tty,
        stderr: request.stderr && !request.tty,
        framing: if request.tty || io.raw { Framing::Raw } else { Framing::Multiplexed },
        slow_reader: SlowReader::Wait,
        close_stdin_at_eof: request.stdin && !request.tty,
        input: if request.stdin { io.input.clone() } else { Vec::new() },
        detach_keys: if request.tty { keys } else { Vec::new() },
    })
}

async fn run(
    engine: &Arc<Engine>,
    handle: &Arc<Handle>,
    exec: &Snapshot,
    size: Option<crate::container::WindowSize>,
    attaches: Vec<AttachSpec>,
    ends: &[std::os::fd::OwnedFd],
) -> Result<u32> {
    let snapshot = handle.snapshot();
    let record = snapshot.record.clone();
    let (shared, request, pid) = (engine.clone(), exec.request.clone(), snapshot.state.pid);
    let prepared = blocking::spawn(move || prepare(&shared, &record, &request, pid)).await?;
    let Prepared { process, plan, entry, pidfd } = prepared;
    let mut fds = vec![pidfd.as_fd()];
    fds.extend(entry.clone_into());
    fds.extend(entry.tasks());
    fds.extend(ends.iter().map(AsFd::as_fd));
    let io = if exec.request.tty {
        let size = size.or(exec.request.console_size);
        let size = size.map(|s| WindowSize { rows: s.height, columns: s.width });
        Io::Tty { size: size.unwrap_or_default() }
    } else if exec.request.stdin || exec.request.stdout || exec.request.stderr {
        let owner = Owner { uid: process.user.uid, gid: process.user.gid };
        Io::Streams { stdin: exec.request.stdin, owner }
    } else {
        Io::Null
    };
    let launch =
        Launch { id: task_of(exec)?, plan: Plan::Exec(plan), io, log: LogConfig::none(), attaches };
    engine.keeping().launch(launch, &fds).await.map_err(|error| start_error(&error))
}

struct Prepared {
    process: Process,
    plan: Vec<u8>,
    entry: runtime::cgroup::Entry,
    pidfd: std::os::fd::OwnedFd,
}

/// Looks up what the exec needs; may wait for the disk.
fn prepare(
    engine: &Arc<Engine>,
    record: &Record,
    request: &CreateRequest,
    pid: u32,
) -> Result<Prepared> {
    let fail = |action, source| Error::File { action, path: format!("process {pid}"), source };
    let signed = i32::try_from(pid).unwrap_or(i32::MAX);
    let pidfd = sys::pidfd::open(signed).map_err(|errno| fail("open", errno.into()))?;
    let path = start::group_path(engine, record)?;
    let group = engine.groups().open(&path).map_err(|error| start::group_error("open", error))?;
    let entry = group.entry().map_err(|error| start::group_error("enter", error))?;
    let process = process(engine, record, request)?;
    let mut roles = vec![FdRole::Process];
    if entry.clone_into().is_some() {
        roles.push(FdRole::CgroupInto);
    }
    roles.extend(entry.tasks().map(|_| FdRole::CgroupTasks));
    let roles = start::io_roles(request.tty, roles);
    let plan = engine.host().exec_plan(record, &process, request.privileged, pid, roles)?;
    Ok(Prepared { process, plan, entry, pidfd })
}

/// The container's process with what the request replaces.
fn process(engine: &Engine, record: &Record, request: &CreateRequest) -> Result<Process> {
    let host = &record.spec.host;
    let rootfs = engine.records().rootfs(record)?;
    let own = record.spec.process.user.as_deref().unwrap_or("");
    let text = match request.user.as_deref() {
        None | Some("") => own,
        Some(text) => text,
    };
    let user = user::resolve(text, &host.group_add, |path| rootfs.read(path))?;
    let mut shown = record.clone();
    shown.spec.process.env = merge::environment(&shown.spec.process.env, &request.env);
    shown.spec.process.tty = request.tty;
    if let Some(path) = request.working_dir.as_deref().filter(|path| !path.is_empty()) {
        if !path.starts_with('/') {
            return Err(Error::Invalid(format!(
                "the working directory '{path}' is invalid, it needs to be an absolute path"
            )));
        }
        shown.spec.process.working_dir = Some(path.to_owned());
    }
    let available = &engine.host().capabilities;
    let privileged = request.privileged || host.privileged;
    let capabilities =
        oci::capabilities::choose(privileged, &host.cap_add, &host.cap_drop, available)?;
    let security = oci::security::read(&host.security_opt)?;
    let host_name = crate::container::namespaces::host_name(record);
    Ok(Process {
        terminal: request.tty,
        args: request.command.clone(),
        env: oci::process::environment(&shown, &host_name),
        cwd: oci::process::working_dir(&shown),
        capabilities: Some(oci::capabilities::sets(&capabilities, user.uid)),
        rlimits: oci::process::limits(&host.ulimits, &engine.config().default_ulimits)?,
        no_new_privileges: security
            .no_new_privileges
            .unwrap_or(engine.config().no_new_privileges && !privileged),
        apparmor_profile: security.apparmor.unwrap_or_default(),
        oom_score_adj: (host.oom_score_adj != 0).then_some(host.oom_score_adj),
        selinux_label: security.label.unwrap_or_default(),
        user,
        ..Process::default()
    })
}

fn start_error(error: &LaunchError) -> Error {
    match error {
        LaunchError::Start { report, kind, .. } => Error::Start {
            message: format!(
                "OCI runtime exec failed: exec failed: unable to start container process: {report}: unknown"
            ),
            exit_code: match kind {
                StartFailure::NotFound => 127,
                StartFailure::NotExecutable | StartFailure::Setup => 126,
            },
        },
        LaunchError::Keeper(source) => Error::Failed {
            action: "start",
            subject: "the exec".to_owned(),
            source: Cause::new(source.kind(), crate::error::chain(error)),
        },
    }
}

/// The keeper says that an exec has ended.
pub(crate) async fn ended(engine: &Arc<Engine>, exit: &ExitRecord) {
    let Some(id) = exit.id.exec_part() else { return };
    let exit_code = exit.status.code();
    let known = engine.execs_table().change(id, |entry| {
        entry.phase = Phase::Ended { exit_code };
        entry.pid = 0;
    });
    if known && let Ok(handle) = engine.registry().find(exit.id.container_part()) {
        engine.events().container(
            &handle.snapshot().record,
            "exec_die",
            &[("execID", id), ("exitCode", &exit_code.to_string())],
        );
    }
    engine.keeping().forget(&exit.id).await;
}

/// Runs a health probe: exit code and output; -1 when it could not be run or took too long.
pub(crate) async fn probe(
    engine: &Arc<Engine>,
    handle: &Arc<Handle>,
    command: &[String],
    timeout: Duration,
) -> (i64, String) {
    let exec = Snapshot {
        id: ExecId::from_bytes(moment::random_id()),
        container: handle.id.clone(),
        origin: Origin::Probe,
        request: CreateRequest {
            command: command.to_vec(),
            stdout: true,
            stderr: true,
            ..CreateRequest::default()
        },
        phase: Phase::Running,
        pid: 0,
        created_ns: moment::now_ns(),
    };
    engine.execs_table().insert(exec.clone());
    let outcome = probe_once(engine, handle, &exec, timeout).await;
    engine.execs_table().remove(&exec.id);
    outcome.unwrap_or_else(|error| (-1, error.text()))
}

async fn probe_once(
    engine: &Arc<Engine>,
    handle: &Arc<Handle>,
    exec: &Snapshot,
    timeout: Duration,
) -> Result<(i64, String)> {
    let lost = || Error::Unavailable("the probe was lost".to_owned());
    let mut watch = engine.execs_table().watch(&exec.id).ok_or_else(lost)?;
    let (read, write) = std::io::pipe().map_err(|source| Error::File {
        action: "make",
        path: "a pipe for a probe".to_owned(),
        source,
    })?;
    let spec =
        AttachSpec { slow_reader: SlowReader::Disconnect, ..AttachSpec::output(Framing::Raw) };
    run(engine, handle, exec, None, vec![spec], &[write.into()]).await?;
    let output = tokio::task::spawn_blocking(move || read_output(read));
    let ended = async {
        let ended = watch.wait_for(|exec| matches!(exec.phase, Phase::Ended { .. })).await;
        ended.map(|exec| exec.phase)
    };
    let exit_code = match tokio::time::timeout(timeout, ended).await {
        Ok(Ok(Phase::Ended { exit_code })) => exit_code,
        Ok(Ok(Phase::Prepared | Phase::Running)) => -1,
        Ok(Err(_)) => return Err(lost()),
        Err(_) => {
            engine.keeping().signal(&task_of(exec)?, crate::container::signal::KILL).await?;
            let text = format!("Health check exceeded timeout ({timeout:?})");
            return Ok((-1, text));
        }
    };
    let bytes = output.await.unwrap_or_default();
    Ok((exit_code, String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads all, keeps the beginning.
fn read_output(mut pipe: std::io::PipeReader) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut buffer) {
        let room = PROBE_OUTPUT_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    kept
}

//! Starting: from a record to a running process, in phases that each know their undo.
//!
//! ```text
//! look up      rootfs, users, mounts, devices, joined namespaces     (nothing to undo)
//! network  ┐   namespace, address, ports, files                      undo: release
//! group    ┘   at the same time: control group, limits               undo: remove
//! launch       specification → plan → keeper                         the keeper undoes itself
//! ```
//! On the way nothing is written durably: that the container exists was stored at its making,
//! and that it runs is known by the keeper.

use std::{path::PathBuf, sync::Arc, time::Duration};

use keeper::protocol::{Io, Launch, Owner, Plan, StartFailure, WindowSize};
use model::state::Status;
use runtime::{
    cgroup::{Cgroup, GroupPath},
    plan::{FdRole, LaunchPlan, PlanContext, RootSource},
};

use super::{
    Containers, Record, State,
    actor::Actor,
    attach::{self, Expected, Parked},
    handle::{Ask, Message},
    health, logs,
    namespaces::{self, Joined},
    oci, sources, user,
};
use crate::{
    Engine, Error, Result, blocking,
    error::Cause,
    keeping::LaunchError,
    network::sandbox::{self, Sandbox},
    records::Weight,
};

/// How long a control group may take to empty after its processes were killed.
const GROUP_PATIENCE: Duration = Duration::from_secs(5);
/// How long a start waits for clients that were told to attach.
const ATTACH_PATIENCE: Duration = Duration::from_secs(2);

impl Containers<'_> {
    /// Starts it. `NotModified` when it runs already.
    pub async fn start(&self, container: &str) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        handle.ask(self.engine, Ask::Start).await
    }
}

/// What a running container holds.
#[derive(Debug)]
pub(super) struct Live {
    pub group: Arc<dyn Cgroup>,
    pub sandbox: Option<Sandbox>,
    pub oom: Option<tokio::task::AbortHandle>,
}

/// A start that failed, with what `inspect` shows of it.
#[derive(Debug)]
struct Failure {
    exit_code: u8,
    error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { exit_code: 128, error }
    }
}

impl Actor {
    /// Runs it. On failure everything is as before, but for the state's `error` and exit code.
    pub(super) async fn start(&mut self) -> Result<()> {
        let parked = arrived(std::mem::take(&mut self.expected)).await;
        self.run += 1;
        let task = attach::task_of(&self.handle)?;
        self.engine.forget_now(&task).await;
        match launch(&self.engine, &self.record, &self.handle.id, parked).await {
            Ok(begun) => self.started(begun),
            Err(failure) => self.not_started(failure).await,
        }
    }

    fn started(&mut self, begun: Begun) -> Result<()> {
        let Begun { mut live, pid } = begun;
        let state = &mut self.state;
        state.status = Status::Running;
        state.pid = pid;
        state.exit = None;
        state.exit_code = 0;
        state.error.clear();
        state.oom_killed = false;
        state.started_ns = Some(Self::now());
        let mut events = Vec::new();
        if let Some(sandbox) = &mut live.sandbox {
            sandbox.launched();
            sandbox.show(&self.engine, &self.record, state);
            events = sandbox.events(&self.engine, "connect");
        }
        self.live = Some(live);
        self.record.started_once = true;
        self.watch();
        events.push(self.event("start", &[]));
        self.save_with(Weight::Lazy, events)
    }

    /// Begins what goes on beside a running container: probes, and looking for lack of memory.
    fn watch(&mut self) {
        self.probing = self.engine.stopping().child_token();
        health::begin(
            &mut self.state,
            &self.record,
            &self.engine,
            &self.handle,
            health::Run { number: self.run, stop: self.probing.clone() },
        );
        if let Some(live) = &mut self.live {
            live.oom = watch_memory(&self.engine, &self.handle, live.group.clone());
        }
    }

    async fn not_started(&mut self, failure: Failure) -> Result<()> {
        self.state.status = match self.record.started_once {
            true => Status::Exited,
            false => Status::Created,
        };
        self.state.exit_code = i64::from(failure.exit_code);
        self.state.error = failure.error.text();
        if let Err(error) = self.save(Weight::Lazy) {
            tracing::error!(error = error.text(), "state not stored");
        }
        if self.record.spec.host.auto_remove {
            let how = super::RemoveRequest { force: true, volumes: true, link: false };
            if let Err(error) = self.remove(how).await {
                tracing::warn!(error = error.text(), "auto-remove after a failed start");
            }
        }
        Err(failure.error)
    }

    /// The engine was away; the process has gone on.
    pub(super) async fn adopt(&mut self, pid: u32) {
        let group = match open_group(&self.engine, &self.record) {
            Ok(group) => group,
            Err(error) => {
                tracing::error!(container = %self.record.name, error = error.text(), "adopt");
                return;
            }
        };
        let sandbox = sandbox::adopt(&self.engine, &self.record, &self.state);
        let frozen = group.is_frozen().unwrap_or(false);
        self.live = Some(Live { group, sandbox, oom: None });
        self.run += 1;
        self.state.pid = pid;
        self.state.status = if frozen { Status::Paused } else { Status::Running };
        if self.state.started_ns.is_none() {
            self.state.started_ns = Some(Self::now());
        }
        self.record.started_once = true;
        self.watch();
        self.publish();
    }
}

/// The clients that were told to attach, each waited for a moment.
async fn arrived(expected: Vec<Expected>) -> Vec<Parked> {
    let deadline = tokio::time::Instant::now() + ATTACH_PATIENCE;
    let mut parked = Vec::with_capacity(expected.len());
    for client in expected {
        // A client that went away, or that takes too long, is served without its first bytes.
        if let Ok(Ok(client)) = tokio::time::timeout_at(deadline, client).await {
            parked.push(client);
        }
    }
    parked
}

impl Live {
    /// Freezes all tasks.
    pub async fn freeze(&self) -> Result<()> {
        let group = self.group.clone();
        blocking::spawn(move || group.freeze(GROUP_PATIENCE).map_err(|e| group_error("freeze", e)))
            .await
    }

    /// Lets them go on.
    pub async fn thaw(&self) -> Result<()> {
        let group = self.group.clone();
        blocking::spawn(move || group.thaw().map_err(|e| group_error("thaw", e))).await
    }

    /// SIGKILL to every process of the group.
    pub async fn kill_group(&self) -> Result<()> {
        let group = self.group.clone();
        blocking::spawn(move || group.kill().map_err(|e| group_error("kill", e))).await
    }

    /// One event for each network that it leaves.
    pub fn departures(&self, engine: &Engine) -> Vec<crate::event::Draft> {
        self.sandbox.as_ref().map_or_else(Vec::new, |s| s.events(engine, "disconnect"))
    }

    /// Gives everything back; tells whether memory had run out.
    pub async fn release(self, engine: &Arc<Engine>, record: &Record, state: &mut State) -> bool {
        if let Some(oom) = &self.oom {
            oom.abort();
        }
        let out_of_memory = self.group.oom_kills().is_ok_and(|kills| kills > 0);
        if let Some(sandbox) = self.sandbox {
            sandbox.release(engine).await;
        }
        state.clear_network();
        namespaces::remove_shm(engine, &record.id);
        let group = self.group;
        let name = record.name.clone();
        let removal = move || {
            // Processes that outlived process 1 (a shared pid namespace) end with the container.
            let gone = group.kill().and_then(|()| group.remove(GROUP_PATIENCE));
            if let Err(error) = gone {
                tracing::warn!(container = %name, %error, "control group stays");
            }
        };
        engine.tasks().spawn_blocking(removal);
        out_of_memory
    }
}

/// Gives back what a container left that ended unseen; tells whether memory had run out.
pub(super) async fn release_rest(engine: &Arc<Engine>, record: &Record, state: &mut State) -> bool {
    match open_group(engine, record) {
        Ok(group) => Live { group, sandbox: None, oom: None }.release(engine, record, state).await,
        // There is none any more: the host has booted since.
        Err(_) => {
            state.clear_network();
            false
        }
    }
}

#[derive(Debug)]
struct Begun {
    live: Live,
    pid: u32,
}

/// Everything that is only looked up.
struct Prepared {
    joined: Joined,
    inputs: oci::Inputs,
    root: RootSource,
}

async fn launch(
    engine: &Arc<Engine>,
    record: &Record,
    id: &model::ContainerId,
    parked: Vec<Parked>,
) -> Result<Begun, Failure> {
    let joined = namespaces::join(engine, record)?;
    // Each waits for the kernel on a thread of its own.
    let (sandbox, prepared, group) = tokio::join!(
        sandbox::attach(engine, record),
        prepare(engine, record, joined),
        make_group(engine, record),
    );
    let mut first = None;
    let prepared = kept(prepared, &mut first);
    let group = kept(group, &mut first);
    let sandbox = kept(sandbox, &mut first);
    if let Some(error) = first {
        undo(engine, group, sandbox.flatten()).await;
        return Err(error.into());
    }
    let (Some(mut prepared), Some(group), Some(sandbox)) = (prepared, group, sandbox) else {
        return Err(Error::Unavailable("the start was given up".to_owned()).into());
    };
    if let Some(sandbox) = &sandbox {
        sandbox.files(&mut prepared.inputs);
    }
    match run(engine, record, id, &prepared, group.as_ref(), sandbox.as_ref(), parked).await {
        Ok(pid) => Ok(Begun { live: Live { group, sandbox, oom: None }, pid }),
        Err(failure) => {
            undo(engine, Some(group), sandbox).await;
            Err(failure)
        }
    }
}

async fn undo(engine: &Arc<Engine>, group: Option<Arc<dyn Cgroup>>, sandbox: Option<Sandbox>) {
    if let Some(sandbox) = sandbox {
        sandbox.release(engine).await;
    }
    if let Some(group) = group {
        let removal = move || {
            if let Err(error) = group.remove(GROUP_PATIENCE) {
                tracing::warn!(%error, "control group stays after a failed start");
            }
        };
        engine.tasks().spawn_blocking(removal);
    }
}

async fn prepare(engine: &Arc<Engine>, record: &Record, joined: Joined) -> Result<Prepared> {
    let (engine, record) = (engine.clone(), record.clone());
    blocking::spawn(move || {
        let rootfs = engine.records().rootfs(&record)?;
        let inputs = oci::Inputs {
            user: user::look_up(&record, &rootfs)?,
            mounts: sources::find(&engine, &record)?,
            shm: namespaces::shm(&engine, &record)?,
            host_name: namespaces::host_name(&record),
            resources: oci::resources::convert(&record.spec.host.resources, sources::block_device)?,
            host_capabilities: engine.host().capabilities.clone(),
            cgroup_path: group_path(&engine, &record)?.as_str().to_owned(),
            unified: engine.host().unified,
            no_new_privileges: engine.config().no_new_privileges,
            default_ulimits: engine.config().default_ulimits.clone(),
            ..oci::Inputs::default()
        };
        let (devices, device_rules) = sources::devices(&record)?;
        let inputs = oci::Inputs { devices, device_rules, ..inputs };
        let volatile = record.spec.host.auto_remove;
        let root = rootfs.overlay(volatile)?;
        Ok(Prepared { joined, inputs, root })
    })
    .await
}

async fn make_group(engine: &Arc<Engine>, record: &Record) -> Result<Arc<dyn Cgroup>> {
    let path = group_path(engine, record)?;
    let host = &record.spec.host;
    let mut resources = oci::resources::convert(&host.resources, sources::block_device)?;
    let asked = sources::devices(record)?.1;
    resources.devices = oci::devices::rules(host.privileged, &asked);
    let groups = engine.groups().clone();
    blocking::spawn(move || {
        let group = groups.create(&path).map_err(|error| group_error("make", error))?;
        match group.apply(&resources) {
            Ok(()) => Ok(Arc::from(group)),
            Err(error) => {
                if let Err(error) = group.remove(GROUP_PATIENCE) {
                    tracing::warn!(%error, "control group stays after a failed start");
                }
                Err(group_error("limit", error))
            }
        }
    })
    .await
}

fn open_group(engine: &Engine, record: &Record) -> Result<Arc<dyn Cgroup>> {
    let path = group_path(engine, record)?;
    engine.groups().open(&path).map(Arc::from).map_err(|error| group_error("open", error))
}

/// `<parent>/<container id>`
pub(crate) fn group_path(engine: &Engine, record: &Record) -> Result<GroupPath> {
    let own = &record.spec.host.cgroup_parent;
    let parent = match (own.as_str(), engine.config().cgroup_parent.as_str()) {
        ("", "") => runtime::cgroup::DEFAULT_PARENT,
        ("", parent) => parent,
        (own, _) => own,
    };
    GroupPath::new(&format!("/{parent}/{}", record.id)).map_err(|error| group_error("name", error))
}

pub(crate) fn group_error(action: &'static str, error: runtime::cgroup::CgroupError) -> Error {
    Error::Failed {
        action,
        subject: "the control group".to_owned(),
        source: Cause::new(error.kind(), error),
    }
}

async fn run(
    engine: &Arc<Engine>,
    record: &Record,
    id: &model::ContainerId,
    prepared: &Prepared,
    group: &dyn Cgroup,
    sandbox: Option<&Sandbox>,
    parked: Vec<Parked>,
) -> Result<u32, Failure> {
    let capabilities = bounding(engine, record)?;
    let filter = engine.host().filter(record, &capabilities)?;
    let mut inputs = prepared.inputs.clone();
    inputs.seccomp = filter.as_ref().map(|filter| filter.spec.clone());
    let spec = oci::build(record, &inputs)?;
    let entry = group.entry().map_err(|error| group_error("enter", error))?;
    let mut roles = Vec::new();
    let mut fds = Vec::new();
    if let Some(directory) = entry.clone_into() {
        roles.push(FdRole::CgroupInto);
        fds.push(directory);
    }
    for tasks in entry.tasks() {
        roles.push(FdRole::CgroupTasks);
        fds.push(tasks);
    }
    if let Some(netns) = sandbox.and_then(Sandbox::namespace) {
        roles.push(FdRole::Namespace(runtime::plan::NamespaceKind::Net));
        fds.push(netns);
    }
    for (kind, fd) in prepared.joined.fds() {
        roles.push(FdRole::Namespace(kind));
        fds.push(fd);
    }
    let context = PlanContext {
        bundle: PathBuf::from("/"),
        root: Some(prepared.root.clone()),
        fds: io_roles(record.spec.process.tty, roles),
        cgroups: engine.host().cgroup_view(group.path())?,
        seccomp: filter.map(|filter| filter.program.clone()),
        init: record.spec.host.init.unwrap_or(engine.config().init),
        no_pivot: false,
        keep_keyring: false,
        host: engine.host().facts,
        hook_state: Default::default(),
        id: record.id.to_string(),
    };
    let plan = runtime::plan::plan(&spec, &context).and_then(|plan: LaunchPlan| plan.encode());
    let plan = plan.map_err(|error| start_error(125, &crate::error::chain(&error)))?;
    let (specs, ends): (Vec<_>, Vec<_>) = parked.into_iter().map(|p| (p.spec, p.fd)).unzip();
    for end in &ends {
        fds.push(std::os::fd::AsFd::as_fd(end));
    }
    let task = keeper::protocol::TaskId::container(id.as_str())
        .map_err(|error| Error::Invalid(error.to_string()))?;
    let launch = Launch {
        id: task,
        plan: Plan::Container(plan),
        io: io(record, &prepared.inputs),
        log: logs::configure(engine, record)?,
        attaches: specs,
    };
    engine.keeping().launch(launch, &fds).await.map_err(|error| start_failure(&error))
}

/// The container's bounding set.
fn bounding(engine: &Engine, record: &Record) -> Result<Vec<String>> {
    let host = &record.spec.host;
    let available = &engine.host().capabilities;
    oci::capabilities::choose(host.privileged, &host.cap_add, &host.cap_drop, available)
}

/// The standard streams come first in the plan's table; the keeper puts them there. A terminal is
/// made by the launch itself.
pub(crate) fn io_roles(tty: bool, roles: Vec<FdRole>) -> Vec<FdRole> {
    match tty {
        true => roles,
        false => [FdRole::Stdin, FdRole::Stdout, FdRole::Stderr].into_iter().chain(roles).collect(),
    }
}

fn io(record: &Record, inputs: &oci::Inputs) -> Io {
    let process = &record.spec.process;
    if process.tty {
        let (rows, columns) = record.spec.host.console_size.unwrap_or((0, 0));
        return Io::Tty { size: WindowSize { rows, columns } };
    }
    let owner = Owner { uid: inputs.user.uid, gid: inputs.user.gid };
    Io::Streams { stdin: process.open_stdin, owner }
}

fn start_failure(error: &LaunchError) -> Failure {
    match error {
        LaunchError::Start { report, kind, .. } => {
            let code = match kind {
                StartFailure::NotFound => 127,
                StartFailure::NotExecutable => 126,
                StartFailure::Setup => 128,
            };
            start_error(code, report)
        }
        LaunchError::Keeper(_) => start_error(128, &crate::error::chain(error)),
    }
}

/// Docker's sentence; scripts look for its parts.
fn start_error(exit_code: u8, report: &str) -> Failure {
    let message = format!(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {report}: unknown"
    );
    Failure { exit_code, error: Error::Start { message, exit_code } }
}

/// The value, or the error if it is the first one.
fn kept<T>(result: Result<T>, first: &mut Option<Error>) -> Option<T> {
    result.map_err(|error| first.get_or_insert(error)).ok()
}

/// Tells the actor when the kernel kills for lack of memory.
fn watch_memory(
    engine: &Arc<Engine>,
    handle: &Arc<super::handle::Handle>,
    group: Arc<dyn Cgroup>,
) -> Option<tokio::task::AbortHandle> {
    let watch = match blocking::brief(|| group.watch_oom()) {
        Ok(watch) => watch,
        Err(error) => {
            tracing::debug!(%error, "no news of memory running out");
            return None;
        }
    };
    let (engine, handle) = (engine.clone(), handle.clone());
    let task = tokio::spawn(async move {
        let Ok(mut watch) = crate::readiness::readable(OomFd(watch)) else { return };
        let stop = engine.stopping();
        loop {
            let ready = tokio::select! {
                ready = watch.readable_mut() => ready,
                () = stop.cancelled() => return,
            };
            let Ok(mut ready) = ready else { return };
            ready.clear_ready();
            match watch.get_mut().0.kills() {
                Ok(0) => {}
                Ok(_) => handle.send(&engine, Message::OutOfMemory),
                Err(_) => return,
            }
        }
    });
    Some(task.abort_handle())
}

#[derive(Debug)]
struct OomFd(runtime::cgroup::OomWatch);

impl std::os::fd::AsRawFd for OomFd {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsFd::as_fd(&self.0).as_raw_fd()
    }
}

//! Creating a container from a bundle: record, control group, gate, launch, hooks. Shared by `create` and `run`.
//!
//! Phases, each with its undo: the record's directory → the group → the process (it kills itself when the launcher gives
//! up). Whatever fails takes back what was made before it.

use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::CliError;
use super::record::{Record, Status, start_time};
use super::{Global, hooks};
use crate::cgroup::{Cgroup, CgroupError, Entry, GroupPath, Hierarchies};
use crate::perform::{Launched, Supervisor, launch_with};
use crate::plan::{CgroupView, FdRole, HostFacts, PlanContext, SeccompProgram, plan};
use crate::seccomp::{Abi, compile};
use crate::spec::{LinuxResources, LinuxSeccomp, Spec};

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub bundle: PathBuf,
    pub pid_file: Option<PathBuf>,
    pub no_pivot: bool,
    pub keep_keyring: bool,
    pub preserve_fds: u32,
}

/// A container that waits at its gate.
pub(crate) struct Created {
    pub record: Record,
    pub launched: Launched,
}

/// The compiled filter of a specification.
pub(crate) fn filter(profile: Option<&LinuxSeccomp>) -> Result<Option<SeccompProgram>, CliError> {
    let Some(profile) = profile else { return Ok(None) };
    let filter = compile(profile, Abi::native()).map_err(CliError::Seccomp)?;
    Ok(Some(SeccompProgram(filter.to_bytes())))
}

/// Creates a container. The caller is the parent of its first process.
pub(crate) fn create(global: &Global, id: &str, options: &Options) -> Result<Created, CliError> {
    let bundle = fs::canonicalize(&options.bundle)
        .map_err(CliError::file("open the bundle", &options.bundle))?;
    let spec = Spec::load(&bundle.join("config.json")).map_err(CliError::Spec)?;
    let dir = Record::reserve(global, id)?;
    let mut undo = Undo { dir: Some(dir), group: None };
    let mut record = new_record(id, &bundle, spec, options.keep_keyring);
    let group = make_group(global, &mut record)?;
    undo.group = group.as_ref().map(|(path, _)| path.clone());
    let entry = match &group {
        Some((_, group)) => Some(group.entry().map_err(CliError::Cgroup)?),
        None => None,
    };
    let gate = make_gate(&Record::gate(global, id))?;
    let view = match &group {
        Some((path, _)) => {
            let hierarchies = Hierarchies::detect().map_err(CliError::Cgroup)?;
            CgroupView::of(&hierarchies, path).map_err(CliError::Cgroup)?
        }
        None => CgroupView::default(),
    };
    let mut table = Table::default();
    table.push(FdRole::Gate, gate.as_fd());
    table.enter(entry.as_ref());
    let preserved = preserved(options.preserve_fds)?;
    for fd in &preserved {
        table.push(FdRole::Preserved, fd.as_fd());
    }
    let (before, after) = around_pid(&record)?;
    let context = PlanContext {
        id: id.to_owned(),
        bundle: bundle.clone(),
        fds: table.roles.clone(),
        cgroups: view,
        seccomp: filter(record.spec.linux().seccomp.as_ref())?,
        no_pivot: options.no_pivot,
        keep_keyring: options.keep_keyring,
        host: HostFacts::detect(),
        hook_state: (before, after),
        ..PlanContext::default()
    };
    let plan = plan(&record.spec, &context).map_err(CliError::Plan)?;
    for warning in &plan.warnings {
        global.log.warning(warning);
    }
    let mut outside = Outside { record: record.clone() };
    let launched = launch_with(&plan, &table.fds, &mut outside).map_err(CliError::Launch)?;
    record.init_process_pid = launched.pid;
    record.init_process_start = start_time(launched.pid).unwrap_or(0);
    let written = record.save(global).and_then(|()| match &options.pid_file {
        Some(path) => write_pid(path, launched.pid),
        None => Ok(()),
    });
    if let Err(error) = written {
        // It must not wait at its gate for ever.
        let _ = sys::pidfd::send_signal(&launched.pidfd, sys::signal::KILL);
        let _ = sys::pidfd::wait(&launched.pidfd);
        return Err(error);
    }
    undo.disarm();
    Ok(Created { record, launched })
}

fn new_record(id: &str, bundle: &Path, spec: Spec, keep_keyring: bool) -> Record {
    let root = spec.root.as_ref().map_or("", |root| root.path.as_str());
    Record {
        id: id.to_owned(),
        init_process_pid: 0,
        init_process_start: 0,
        bundle: bundle.to_owned(),
        rootfs: bundle.join(root),
        created: jiff::Timestamp::now().to_string(),
        owner: rustix::process::getuid().as_raw(),
        cgroup: None,
        spec,
        keep_keyring,
    }
}

/// Takes back what was made, unless disarmed.
struct Undo {
    dir: Option<PathBuf>,
    group: Option<GroupPath>,
}

impl Undo {
    fn disarm(mut self) {
        self.dir = None;
        self.group = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        // The failure that led here is the one to tell; leftovers are found by the next `delete`.
        if let Some(path) = &self.group {
            let group = Hierarchies::detect().and_then(|all| all.open(path));
            let _ = group.and_then(|group| {
                group.kill()?;
                group.remove(Duration::from_secs(2))
            });
        }
        if let Some(dir) = &self.dir {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

type Group = (GroupPath, Box<dyn Cgroup>);

/// The group with its limits; none for a launcher without rights over control groups whose container asks for nothing.
fn make_group(global: &Global, record: &mut Record) -> Result<Option<Group>, CliError> {
    let linux = record.spec.linux().into_owned();
    if global.systemd_cgroup {
        let reason = "control groups by systemd aren't available; leave --systemd-cgroup out";
        return Err(CliError::usage(reason));
    }
    let path = GroupPath::of_container(Some(&linux.cgroups_path), None, &record.id)
        .map_err(CliError::Cgroup)?;
    let hierarchies = Hierarchies::detect().map_err(CliError::Cgroup)?;
    let group = match hierarchies.create(&path) {
        Err(error) if may_do_without(&error) && linux.cgroups_path.is_empty() => return Ok(None),
        result => result.map_err(CliError::Cgroup)?,
    };
    let resources = with_default_devices(linux.resources.unwrap_or_default());
    if let Err(error) = group.apply(&resources) {
        // Its directories are there already.
        let _ = group.remove(Duration::from_secs(1));
        return Err(CliError::Cgroup(error));
    }
    record.cgroup = Some(path.as_str().to_owned());
    Ok(Some((path, group)))
}

fn may_do_without(_error: &CgroupError) -> bool {
    !rustix::process::geteuid().is_root()
}

/// A list of device rules gets those devices appended that every container has: a "deny all" in it means all others.
pub(crate) fn with_default_devices(mut resources: LinuxResources) -> LinuxResources {
    if !resources.devices.is_empty() {
        resources.devices.extend(crate::plan::default_device_rules());
    }
    resources
}

/// A FIFO that the child reads and `start` writes. Open for both, so that neither opening blocks and the child sees no end.
fn make_gate(path: &Path) -> Result<File, CliError> {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .map_err(|errno| CliError::file("make", path)(errno.into()))?;
    let open = fs::OpenOptions::new().read(true).write(true).open(path);
    open.map_err(CliError::file("open", path))
}

/// Descriptors 3, 4, … that the caller left open for the program.
pub(crate) fn preserved(count: u32) -> Result<Vec<OwnedFd>, CliError> {
    let open = |number| {
        // A copy by way of procfs: the number itself belongs to the caller.
        sys::process::copy_of(number).map_err(|errno| {
            CliError::usage(format!("--preserve-fds: descriptor {number}: {errno}"))
        })
    };
    (3..3 + i32::try_from(count).unwrap_or(0)).map(open).collect()
}

/// The table of descriptors with its roles.
#[derive(Default)]
pub(crate) struct Table<'a> {
    pub roles: Vec<FdRole>,
    pub fds: Vec<BorrowedFd<'a>>,
}

impl<'a> Table<'a> {
    pub(crate) fn push(&mut self, role: FdRole, fd: BorrowedFd<'a>) {
        self.roles.push(role);
        self.fds.push(fd);
    }

    /// The ways into a group.
    pub(crate) fn enter(&mut self, entry: Option<&'a Entry>) {
        let Some(entry) = entry else { return };
        for tasks in entry.tasks() {
            self.push(FdRole::CgroupTasks, tasks);
        }
        if let Some(directory) = entry.clone_into() {
            self.push(FdRole::CgroupInto, directory);
        }
    }
}

/// The hooks' state document, cut where the pid goes.
fn around_pid(record: &Record) -> Result<(String, String), CliError> {
    const MARK: i32 = 1_987_654_321;
    let text = record.hook_state(Status::Creating, MARK).to_string();
    let cut = format!("\"pid\":{MARK}");
    let (before, after) =
        text.split_once(&cut).ok_or_else(|| CliError::usage("annotations hide the state's pid"))?;
    Ok((format!("{before}\"pid\":"), after.to_owned()))
}

/// Hooks that run while the child waits.
struct Outside {
    record: Record,
}

impl Supervisor for Outside {
    fn created(&mut self, pid: i32) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let state = self.record.hook_state(Status::Creating, pid);
        let all = self.record.spec.hooks.clone().unwrap_or_default();
        hooks::run("prestart", &all.prestart, &state)?;
        hooks::run("createRuntime", &all.create_runtime, &state)?;
        Ok(())
    }
}

/// Readers wait for the file to appear: it does so with its content.
pub(crate) fn write_pid(path: &Path, pid: i32) -> Result<(), CliError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staging = path.with_file_name(format!(".{name}"));
    fs::write(&staging, pid.to_string()).map_err(CliError::file("write", &staging))?;
    fs::rename(&staging, path).map_err(CliError::file("write", path))
}

/// Lets the program of a created container go, then runs `poststart` hooks.
pub(crate) fn release(global: &Global, record: &Record) -> Result<(), CliError> {
    let path = Record::gate(global, &record.id);
    let flags =
        rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let gate = rustix::fs::open(&path, flags, rustix::fs::Mode::empty())
        .map_err(|errno| CliError::file("open", &path)(errno.into()))?;
    fs::remove_file(&path).map_err(CliError::file("remove", &path))?;
    rustix::io::write(&gate, b"0").map_err(CliError::kernel("open the container's gate"))?;
    let all = record.spec.hooks.clone().unwrap_or_default();
    let state = record.hook_state(Status::Running, record.init_process_pid);
    hooks::run("poststart", &all.poststart, &state)
}

/// Ends what is left of a container and forgets it; `poststop` hooks run at the end and only warn.
pub(crate) fn destroy(global: &Global, record: &Record) -> Result<(), CliError> {
    if let Some(group) = record.open_cgroup()? {
        // Processes that outlived pid 1 of a shared pid namespace.
        group.kill().map_err(CliError::Cgroup)?;
        group.remove(Duration::from_secs(10)).map_err(CliError::Cgroup)?;
    }
    Record::remove(global, &record.id)?;
    let all = record.spec.hooks.clone().unwrap_or_default();
    let state = record.hook_state(Status::Stopped, 0);
    for hook in &all.poststop {
        if let Err(error) = hooks::run("poststop", std::slice::from_ref(hook), &state) {
            global.log.warning(&super::error::chain(&error));
        }
    }
    Ok(())
}

//! The launcher's side: makes everything that the child needs, forks, and serves the child's messages until it runs its
//! program or waits at its gate.

use std::error::Error;
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use sys::process::StringArray;
use sys::{Errno, mount, namespace, pidfd, signal};

use super::child::{Child, message};
use super::error::{Detail, LaunchError};
use super::{hook, mappings};
use crate::plan::{
    FdIndex, FdRole, JoinSource, LaunchPlan, NamespaceKind, Overlay, RootSource, Step, SyncPoint,
};
use crate::seccomp::Filter;

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// A process that runs its program, or waits at its gate.
#[derive(Debug)]
pub struct Launched {
    /// Id in the launcher's pid namespace.
    pub pid: i32,
    /// Its descriptor; the launcher is its parent.
    pub pidfd: OwnedFd,
    /// Master of its terminal.
    pub console: Option<OwnedFd>,
    /// Listener of its filter.
    pub listener: Option<OwnedFd>,
}

/// What the caller does while the child waits.
pub trait Supervisor {
    /// Namespaces and mounts are there, the root isn't entered yet: time for `prestart` and `createRuntime` hooks.
    fn created(&mut self, pid: i32) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// Does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Supervisor for Quiet {
    fn created(&mut self, _pid: i32) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }
}

/// Carries out a plan with its table of descriptors. The caller becomes the parent and has to reap.
///
/// The calling thread enters namespaces for the length of the fork where the plan says so; the process should have no
/// other threads that mind.
pub fn launch(plan: &LaunchPlan, fds: &[BorrowedFd<'_>]) -> Result<Launched, LaunchError> {
    launch_with(plan, fds, &mut Quiet)
}

/// As [`launch`], with a part of the caller's at synchronisation points.
pub fn launch_with(
    plan: &LaunchPlan,
    fds: &[BorrowedFd<'_>],
    supervisor: &mut dyn Supervisor,
) -> Result<Launched, LaunchError> {
    let moved = Moved::new(plan, fds)?;
    let table = moved.table(fds);
    let trees = prepare_trees(plan, &table)?;
    let proc = host_proc()?;
    let (ours, theirs) = channel_above(moved.above)?;
    let overlay_data = overlay_data(plan)?;
    let hooks = hook::prepare(plan);
    let argv = StringArray::new(&plan.program.argv, 0);
    let env = StringArray::new(&plan.program.env, 2048);
    let filter = filter(plan)?;
    let is_init = plan.steps.iter().any(|step| matches!(step, Step::BecomeInit));
    let title = if is_init { sys::process::TitleArea::find().ok() } else { None };
    let own_program = own_program();
    let cgroup = index_of(plan, FdRole::CgroupInto).map(|index| table[index]);

    let away = Away::enter(&plan.launcher_joins, &table)?;
    let mut child = Child {
        plan,
        fds: &table,
        channel: theirs,
        proc: proc.as_fd(),
        trees: &trees,
        overlay_data: &overlay_data,
        hooks: &hooks,
        next_hook: 0,
        argv: &argv,
        env,
        own_program,
        filter,
        title,
        root: None,
        terminal: None,
        empty: None,
        program: 0,
        cwd_refused: None,
        alone: false,
    };
    let ours_number = ours.as_raw_fd();
    let born = sys::clone::clone_process(plan.clone_flags, cgroup, || {
        // The child must see the end of the channel when the launcher dies: its copy of the other end goes first.
        sys::process::close_one(ours_number);
        if sys::process::close_on_exec_from(3).is_err() {
            return 1;
        }
        child.run()
    });
    drop(child);
    away.leave()?;
    let born = born.map_err(|errno| LaunchError::launcher("clone", errno))?;
    serve(plan, &ours, born, supervisor)
}

/// The two ends of the channel; the child's has a number that its renumbering leaves alone, and no other copy: the launcher
/// waits for its end.
fn channel_above(above: i32) -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let failed = |errno| LaunchError::launcher("make a channel", errno);
    let (ours, low) = sys::channel::pair().map_err(failed)?;
    let theirs = rustix::io::fcntl_dupfd_cloexec(&low, above).map_err(failed)?;
    drop(low);
    Ok((ours, theirs))
}

fn index_of(plan: &LaunchPlan, role: FdRole) -> Option<usize> {
    plan.fds.iter().position(|found| *found == role)
}

/// Descriptors of the table that the child's own renumbering would trample, moved up.
struct Moved {
    copies: Vec<Option<OwnedFd>>,
    above: i32,
}

impl Moved {
    fn new(plan: &LaunchPlan, fds: &[BorrowedFd<'_>]) -> Result<Moved, LaunchError> {
        if plan.fds.len() != fds.len() {
            let reason = format!("{} descriptors for {} roles", fds.len(), plan.fds.len());
            return Err(LaunchError::Plan { reason });
        }
        let preserved = plan.fds.iter().filter(|role| **role == FdRole::Preserved).count();
        let above = 3 + i32::try_from(preserved).unwrap_or(i32::MAX - 3);
        let own_number = |role: FdRole| match role {
            FdRole::Stdin => Some(0),
            FdRole::Stdout => Some(1),
            FdRole::Stderr => Some(2),
            _ => None,
        };
        let copy = |(role, fd): (&FdRole, &BorrowedFd<'_>)| {
            let number = fd.as_raw_fd();
            if number >= above || own_number(*role) == Some(number) {
                return Ok(None);
            }
            rustix::io::fcntl_dupfd_cloexec(fd, above)
                .map(Some)
                .map_err(|errno| LaunchError::launcher("move a descriptor", errno))
        };
        let copies = plan.fds.iter().zip(fds).map(copy).collect::<Result<_, _>>()?;
        Ok(Moved { copies, above })
    }

    fn table<'a>(&'a self, fds: &[BorrowedFd<'a>]) -> Vec<BorrowedFd<'a>> {
        let pick = |(copy, fd): (&'a Option<OwnedFd>, &BorrowedFd<'a>)| {
            copy.as_ref().map_or(*fd, AsFd::as_fd)
        };
        self.copies.iter().zip(fds).map(pick).collect()
    }
}

/// The host's procfs, checked, as a descriptor that nothing in the container can replace.
fn host_proc() -> Result<OwnedFd, LaunchError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = openat(CWD, c"/proc", flags, Mode::empty())
        .map_err(|errno| LaunchError::launcher("open /proc", errno))?;
    let kind =
        mount::filesystem(&proc).map_err(|errno| LaunchError::launcher("look at /proc", errno))?;
    if kind != PROC_SUPER_MAGIC {
        return Err(LaunchError::launcher("look at /proc", Errno::NODEV));
    }
    Ok(proc)
}

fn own_program() -> Option<(u64, u64)> {
    let file =
        openat(CWD, c"/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

fn filter(plan: &LaunchPlan) -> Result<Option<Filter>, LaunchError> {
    let program = plan.steps.iter().find_map(|step| match step {
        Step::Seccomp(program) => Some(program),
        _ => None,
    });
    let decode = |bytes: &Vec<u8>| {
        Filter::from_bytes(bytes).ok_or_else(|| LaunchError::Plan {
            reason: "seccomp program has no whole length".into(),
        })
    };
    program.map(|program| decode(&program.0)).transpose()
}

/// Trees that only the launcher may clone: sources that a user namespace's root can't reach, and id mappings.
fn prepare_trees(plan: &LaunchPlan, table: &[BorrowedFd<'_>]) -> Result<Vec<OwnedFd>, LaunchError> {
    const MS_SLAVE: u64 = 1 << 19;
    let mut namespaces: Vec<(&str, &str, OwnedFd)> = Vec::new();
    let mut trees = Vec::with_capacity(plan.trees.len());
    for tree in &plan.trees {
        let name = tree.source.to_string_lossy();
        let failed = |action: &str, errno| LaunchError::launcher(format!("{action} {name}"), errno);
        let made = mount::clone_tree(CWD, &tree.source, tree.recursive)
            .map_err(|errno| failed("open the source of a mount", errno))?;
        // Nothing that is mounted inside may travel back to the host; the plan may say otherwise later.
        mount::set_attributes(&made, 0, 0, MS_SLAVE, true)
            .map_err(|errno| failed("set propagation of", errno))?;
        if let Some(idmap) = &tree.idmap {
            let given = index_of(plan, FdRole::IdmapUserNamespace).map(|index| table[index]);
            let known = namespaces.iter().position(|(uids, gids, _)| {
                *uids == idmap.uids.as_str() && *gids == idmap.gids.as_str()
            });
            let position = match (given, known) {
                (Some(_), _) => 0,
                (None, Some(position)) => position,
                (None, None) => {
                    let made = mappings::namespace(&idmap.uids, &idmap.gids)?;
                    namespaces.push((&idmap.uids, &idmap.gids, made));
                    namespaces.len() - 1
                }
            };
            let user_ns = given.unwrap_or_else(|| namespaces[position].2.as_fd());
            mount::set_idmap(&made, user_ns, idmap.recursive)
                .map_err(|errno| failed("map the ids of", errno))?;
        }
        trees.push(made);
    }
    Ok(trees)
}

/// Data of mount(2) for kernels whose overlay doesn't take layers one by one.
fn overlay_data(plan: &LaunchPlan) -> Result<CString, LaunchError> {
    let overlay = plan.steps.iter().find_map(|step| match step {
        Step::MountRoot(RootSource::Overlay(overlay), ..) => Some(overlay),
        _ => None,
    });
    let bytes = overlay.map_or_else(Vec::new, overlay_options);
    CString::new(bytes).map_err(|_| LaunchError::Plan { reason: "NUL in a layer's path".into() })
}

fn overlay_options(overlay: &Overlay) -> Vec<u8> {
    fn escape(path: &CString, special: &[u8], out: &mut Vec<u8>) {
        for byte in path.to_bytes() {
            if special.contains(byte) {
                out.push(b'\\');
            }
            out.push(*byte);
        }
    }
    let mut out = b"lowerdir=".to_vec();
    for (index, lower) in overlay.lowers.iter().enumerate() {
        if index > 0 {
            out.push(b':');
        }
        escape(lower, b":,\\", &mut out);
    }
    if let (Some(upper), Some(work)) = (&overlay.upper, &overlay.work) {
        out.extend(b",upperdir=");
        escape(upper, b",\\", &mut out);
        out.extend(b",workdir=");
        escape(work, b",\\", &mut out);
        if overlay.volatile {
            out.extend(b",volatile");
        }
    }
    for (key, value) in &overlay.options {
        out.push(b',');
        out.extend(key.to_bytes());
        if !value.is_empty() {
            out.push(b'=');
            out.extend(value.to_bytes());
        }
    }
    out
}

/// Namespaces that the launcher's thread is away in.
struct Away {
    home: Vec<(OwnedFd, u64)>,
}

impl Away {
    fn enter(
        joins: &[(NamespaceKind, JoinSource)],
        table: &[BorrowedFd<'_>],
    ) -> Result<Away, LaunchError> {
        let mut away = Away { home: Vec::new() };
        for (kind, source) in joins {
            if let Err(errno) = away.enter_one(*kind, source, table) {
                let error =
                    LaunchError::launcher(format!("join the {} namespace", kind.name()), errno);
                away.leave()?;
                return Err(error);
            }
        }
        Ok(away)
    }

    fn enter_one(
        &mut self,
        kind: NamespaceKind,
        source: &JoinSource,
        table: &[BorrowedFd<'_>],
    ) -> Result<(), Errno> {
        let read = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = openat(CWD, kind.own_file(), read, Mode::empty())?;
        let given = |index: &FdIndex| table.get(usize::from(index.0)).copied().ok_or(Errno::BADF);
        match source {
            JoinSource::Fd(index) | JoinSource::Process(index) => {
                namespace::enter(given(index)?, kind.flag())?;
            }
            JoinSource::Path(path) => {
                let path = OsStr::from_bytes(path.to_bytes());
                namespace::enter(openat(CWD, path, read, Mode::empty())?, kind.flag())?;
            }
        }
        self.home.push((own, kind.flag()));
        Ok(())
    }

    /// A launcher that can't come home must not go on.
    fn leave(self) -> Result<(), LaunchError> {
        let mut result = Ok(());
        for (own, flag) in self.home {
            let back = namespace::enter(&own, flag);
            let lost = |errno| LaunchError::launcher("return to the launcher's namespace", errno);
            result = result.and(back.map_err(lost));
        }
        result
    }
}

/// Answers the child until it runs its program (end of the channel), waits at its gate, or fails.
fn serve(
    plan: &LaunchPlan,
    channel: &OwnedFd,
    born: sys::clone::Child,
    supervisor: &mut dyn Supervisor,
) -> Result<Launched, LaunchError> {
    let mut launched = Launched { pid: born.pid, pidfd: born.pidfd, console: None, listener: None };
    match converse(plan, channel, &mut launched, supervisor) {
        Ok(()) => Ok(launched),
        Err(error) => {
            // It may have ended by itself; reaped it must be in any case, and the first error is the one to tell.
            let _ = pidfd::send_signal(&launched.pidfd, signal::KILL);
            let _ = pidfd::wait(&launched.pidfd);
            Err(error)
        }
    }
}

fn converse(
    plan: &LaunchPlan,
    channel: &OwnedFd,
    launched: &mut Launched,
    supervisor: &mut dyn Supervisor,
) -> Result<(), LaunchError> {
    let lost = |errno| LaunchError::launcher("talk to the container process", errno);
    loop {
        let mut text = [0; 16];
        let (len, fd) = sys::channel::receive(channel, &mut text).map_err(lost)?;
        match (len, text[0]) {
            // By exec; a child that was killed before looks the same, and is the caller's to reap like a program.
            (0, _) => return Ok(()),
            (_, message::SYNC) => {
                if text[1] == SyncPoint::Ready as u8 {
                    return Ok(());
                }
                if text[1] == SyncPoint::Mappings as u8 {
                    let user = plan.user_namespace.as_ref();
                    user.map_or(Ok(()), |map| mappings::write(launched.pid, map))?;
                } else {
                    supervisor
                        .created(launched.pid)
                        .map_err(|source| LaunchError::Supervisor { what: "run hooks", source })?;
                }
                sys::channel::send(channel, &[message::GO], None).map_err(lost)?;
            }
            (_, message::TERMINAL) => launched.console = fd,
            (_, message::LISTENER) => launched.listener = fd,
            (_, message::FAILED) => {
                let number = |at: usize| {
                    i32::from_ne_bytes([text[at], text[at + 1], text[at + 2], text[at + 3]])
                };
                let index = usize::try_from(number(1)).unwrap_or(usize::MAX);
                let detail = Detail::from_byte(text[9]);
                return Err(LaunchError::from_child(plan, index, number(5), detail));
            }
            (_, other) => {
                let reason = format!("unknown message {other} from the container process");
                return Err(LaunchError::Plan { reason });
            }
        }
    }
}

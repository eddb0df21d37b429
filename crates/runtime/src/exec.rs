//! A process in a container that runs already: same care as at launch, namespaces joined instead of made.
//!
//! The caller becomes the parent: its thread enters the container's pid namespace for children only, forks, and comes
//! back (`perform::launch` does it); the child joins the rest through the container's pidfd in one call. Until exec it
//! isn't dumpable: processes of the container must not look into it (CVE-2016-9962).

use crate::plan::{
    FdRole, HostFacts, JoinSource, LaunchPlan, NamespaceKind, PlanError, SeccompProgram, Step,
    fd_with, fds_with, finish, invalid, launch_attributes, program_of, session,
};
use crate::plan::{Finish, affinity, limits};
use crate::spec::Process;

/// What the container adds to the process.
#[derive(Debug, Clone, Default)]
pub struct ExecContext {
    /// Container's id: names the keyring.
    pub id: String,
    /// Roles of the descriptors that travel beside the plan; [`FdRole::Process`] (the container's first process) is one.
    pub fds: Vec<FdRole>,
    /// Kinds of namespaces in which the container's first process differs from the launcher; a kind that is the same
    /// must not be here (a user namespace can't be entered twice).
    pub namespaces: Vec<NamespaceKind>,
    /// The compiled filter of the container.
    pub seccomp: Option<SeccompProgram>,
    /// What the host offers.
    pub host: HostFacts,
    /// Keep the session keyring.
    pub keep_keyring: bool,
}

/// Plans it.
///
/// # Errors
/// As [`crate::plan::plan`].
pub fn plan(process: &Process, context: &ExecContext) -> Result<LaunchPlan, PlanError> {
    let container = fd_with(&context.fds, FdRole::Process)
        .ok_or_else(|| invalid("fds", "the container's process is missing"))?;
    let user_ns = context.namespaces.contains(&NamespaceKind::User);
    let mut warnings = Vec::new();
    let mut steps = Vec::new();
    if let Some(cpus) = &process.exec_cpu_affinity {
        steps.extend(affinity("process.execCPUAffinity.initial", &cpus.initial)?);
    }
    steps.extend(fds_with(&context.fds, FdRole::CgroupTasks).map(Step::EnterCgroup));
    if let Some(cpus) = &process.exec_cpu_affinity {
        steps.extend(affinity("process.execCPUAffinity.final", &cpus.last)?);
    }
    steps.push(Step::Umask(0));
    // With the launcher's rights, as long as they are there.
    let limits = limits(process)?;
    if !limits.is_empty() {
        steps.push(Step::Rlimits(limits));
    }
    steps.extend(process.oom_score_adj.map(Step::OomScore));
    steps.extend(launch_attributes(process)?);
    steps.extend(session(&context.id, context.keep_keyring)?);
    steps.push(Step::Undumpable);
    let others = context.namespaces.iter().filter(|kind| **kind != NamespaceKind::Pid);
    let flags = others.map(|kind| kind.flag()).fold(0, |all, flag| all | flag);
    if flags != 0 {
        steps.push(Step::JoinProcess(container, flags));
    }
    if user_ns {
        steps.extend([Step::BecomeRoot, Step::Undumpable]);
    }
    steps.push(Step::UseRoot);
    if process.terminal {
        let size = process.console_size.unwrap_or_default();
        steps.push(Step::Console(size.width, size.height, false));
    }
    let rest = Finish {
        fds: &context.fds,
        host: context.host,
        user_ns,
        seccomp: context.seccomp.as_ref(),
        init: false,
        hooks: Vec::new(),
    };
    steps.extend(finish(process, rest, &mut warnings)?);
    let launcher_joins = context
        .namespaces
        .contains(&NamespaceKind::Pid)
        .then_some((NamespaceKind::Pid, JoinSource::Process(container)));
    Ok(LaunchPlan {
        clone_flags: 0,
        fds: context.fds.clone(),
        launcher_joins: launcher_joins.into_iter().collect(),
        user_namespace: None,
        trees: Vec::new(),
        steps,
        program: program_of(process)?,
        warnings,
    })
}

/// Kinds of namespaces in which process `pid` differs from the calling thread: what [`ExecContext::namespaces`] wants.
///
/// # Errors
/// When `/proc/PID/ns` can't be read: the process is gone.
pub fn foreign_namespaces(pid: i32) -> std::io::Result<Vec<NamespaceKind>> {
    use NamespaceKind::{Cgroup, Ipc, Mount, Net, Pid, Time, User, Uts};
    let mut foreign = Vec::new();
    for kind in [User, Mount, Pid, Net, Ipc, Uts, Cgroup, Time] {
        let theirs = match std::fs::read_link(format!("/proc/{pid}/ns/{}", kind.file())) {
            Ok(theirs) => theirs,
            // A kind that the kernel doesn't have.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && kind == Time => continue,
            Err(error) => return Err(error),
        };
        if std::fs::read_link(format!("/proc/thread-self/ns/{}", kind.file()))? != theirs {
            foreign.push(kind);
        }
    }
    Ok(foreign)
}

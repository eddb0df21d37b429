//! The order of a launch.
//!
//! 1. control groups first: they must hold before anything is allocated, and the cgroup namespace takes the place of the
//!    process as its root;
//! 2. ids of a new user namespace, then namespaces that are joined or made by the child;
//! 3. the root, mounts in the specification's order, devices, the terminal;
//! 4. hooks that want the namespaces but not yet the root; then the root is entered;
//! 5. names, kernel parameters, read-only and masked paths: what makes the container's files unwritable goes last;
//! 6. `process::finish`.

use super::process::{Finish, finish, launch_attributes, limits, program_of, session};
use super::{
    FdRole, InsideHook, JoinSource, LaunchPlan, MountAttr, NamespaceKind, PlanContext, PlanError,
    RootSource, Step, SyncPoint, UserNamespace, c_string, devices, fd_with, fds_with, invalid,
    mounts, sysctl,
};
use crate::spec::{Hook, Linux, Process, Spec};
use sys::mount::attr;

const MS_REC: u64 = 0x4000;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// Plans the first process of a container.
///
/// # Errors
/// What the specification asks for and this runtime, or this host, can't do.
pub fn plan(spec: &Spec, context: &PlanContext) -> Result<LaunchPlan, PlanError> {
    let process = spec.process.as_ref().ok_or_else(|| invalid("process", "is missing"))?;
    let linux = spec.linux();
    let namespaces = Namespaces::sort(&linux, context)?;
    let user_ns = namespaces.user.is_some();
    if !linux.net_devices.is_empty() {
        return Err(invalid("linux.netDevices", "moving network devices isn't supported"));
    }
    if linux.intel_rdt.is_some() {
        return Err(invalid("linux.intelRdt", "cache allocation isn't supported"));
    }
    let mut warnings = Vec::new();
    let user_namespace = namespaces.user_namespace(&linux, process, context)?;

    let mut steps: Vec<Step> =
        fds_with(&context.fds, FdRole::CgroupTasks).map(Step::EnterCgroup).collect();
    steps.push(Step::Umask(0));
    if user_namespace.is_some() {
        steps.extend([Step::Sync(SyncPoint::Mappings), Step::BecomeRoot]);
    }
    steps.extend(namespaces.steps(&linux)?);
    steps.extend(session(&context.id, context.keep_keyring)?);
    if namespaces.creates(NamespaceKind::Net) {
        steps.push(Step::Loopback);
    }
    let trees = file_systems(spec, context, &namespaces, &mut steps, &mut warnings)?;
    steps.extend(identity(spec, &namespaces)?);
    steps.extend(sysctl::steps(spec, &namespaces.private())?);
    steps.extend(hidden(&linux)?);
    if user_namespace.is_none() {
        let limits = limits(process)?;
        if !limits.is_empty() {
            steps.push(Step::Rlimits(limits));
        }
        steps.extend(process.oom_score_adj.map(Step::OomScore));
    }
    steps.extend(personality(&linux)?);
    steps.extend(launch_attributes(process)?);
    if linux.seccomp.is_some() != context.seccomp.is_some() {
        return Err(invalid("linux.seccomp", "the compiled filter doesn't go with it"));
    }
    let hooks = spec.hooks.clone().unwrap_or_default();
    let rest = Finish {
        fds: &context.fds,
        host: context.host,
        user_ns,
        seccomp: context.seccomp.as_ref(),
        init: context.init,
        hooks: inside_hooks("hooks.startContainer", &hooks.start_container, context)?,
    };
    steps.extend(finish(process, rest, &mut warnings)?);
    Ok(LaunchPlan {
        clone_flags: namespaces.clone_flags(),
        fds: context.fds.clone(),
        launcher_joins: namespaces.launcher_joins,
        user_namespace,
        trees,
        steps,
        program: program_of(process)?,
        warnings,
    })
}

/// Steps 3 and 4; returns the trees that the launcher prepares.
fn file_systems(
    spec: &Spec,
    context: &PlanContext,
    namespaces: &Namespaces,
    steps: &mut Vec<Step>,
    warnings: &mut Vec<String>,
) -> Result<Vec<super::Tree>, PlanError> {
    let linux = spec.linux();
    let hooks = spec.hooks.clone().unwrap_or_default();
    let source = root_source(spec, context)?;
    let has_mounts = namespaces.has(NamespaceKind::Mount);
    let inside = inside_hooks("hooks.createContainer", &hooks.create_container, context)?;
    let wait = (!hooks.prestart.is_empty() || !hooks.create_runtime.is_empty())
        .then_some(Step::Sync(SyncPoint::Created));
    if !has_mounts {
        let RootSource::Path(path) = source else {
            return Err(invalid("linux.namespaces", "an overlay root needs a mount namespace"));
        };
        if !spec.mounts.is_empty() {
            return Err(invalid("mounts", "mounts need a mount namespace"));
        }
        steps.extend(wait);
        steps.extend(inside);
        steps.push(Step::Chroot(path));
        return Ok(Vec::new());
    }
    let user_ns = namespaces.user.is_some();
    let (host, root) = root_propagation(&linux)?;
    steps.push(Step::MountRoot(source, host, root));
    let planned = mounts::plan(spec, context, &namespaces.created, user_ns)?;
    warnings.extend(planned.warnings);
    steps.extend(planned.steps);
    if !planned.dev_is_bound {
        steps.extend(devices::steps(spec, user_ns)?);
    }
    let process = spec.process.as_ref();
    if let Some(process) = process.filter(|process| process.terminal) {
        let size = process.console_size.unwrap_or_default();
        steps.push(Step::Console(size.width, size.height, true));
    }
    steps.extend(wait);
    steps.extend(inside);
    steps.push(if context.no_pivot { Step::MoveRoot } else { Step::Pivot });
    steps.extend(planned.late);
    if spec.root.as_ref().is_some_and(|root| root.readonly) {
        let readonly = MountAttr { set: attr::RDONLY, ..MountAttr::default() };
        steps.push(Step::Remount(c_string("root", "/")?, readonly));
    }
    Ok(planned.trees)
}

fn root_source(spec: &Spec, context: &PlanContext) -> Result<RootSource, PlanError> {
    if let Some(root) = &context.root {
        return Ok(root.clone());
    }
    let root = spec.root.as_ref().ok_or_else(|| invalid("root", "is missing"))?;
    if root.path.is_empty() {
        return Err(invalid("root.path", "is empty"));
    }
    let path = context.bundle.join(&root.path);
    Ok(RootSource::Path(c_string("root.path", path.as_os_str().as_encoded_bytes())?))
}

/// Propagation of the host's tree and of the root. Without a word the container follows the host's mounts and keeps its
/// own to itself.
fn root_propagation(linux: &Linux) -> Result<(u64, u64), PlanError> {
    let word = linux.rootfs_propagation.as_str();
    if word.is_empty() {
        return Ok((MS_SLAVE | MS_REC, 0));
    }
    let root = mounts::propagation(word)
        .ok_or_else(|| invalid("linux.rootfsPropagation", format!("{word:?} is unknown")))?;
    // Binds inherit from the host's tree what the word says; a shared root alone is cloned as a peer.
    let host = if root & MS_SHARED != 0 { MS_SLAVE } else { root & !MS_REC } | MS_REC;
    let host = if host & (1 << 17) != 0 { MS_SLAVE | MS_REC } else { host };
    Ok((host, root))
}

fn identity(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if (!spec.hostname.is_empty() || !spec.domainname.is_empty())
        && !namespaces.has(NamespaceKind::Uts)
    {
        return Err(invalid("hostname", "needs a uts namespace"));
    }
    if !spec.hostname.is_empty() {
        steps.push(Step::Hostname(c_string("hostname", spec.hostname.as_str())?));
    }
    if !spec.domainname.is_empty() {
        steps.push(Step::Domainname(c_string("domainname", spec.domainname.as_str())?));
    }
    Ok(steps)
}

fn hidden(linux: &Linux) -> Result<Vec<Step>, PlanError> {
    let list = |field: &str, paths: &[String]| {
        paths.iter().map(|path| c_string(field, path.as_str())).collect::<Result<Vec<_>, _>>()
    };
    let mut steps = Vec::new();
    if !linux.readonly_paths.is_empty() {
        steps.push(Step::ReadonlyPaths(list("linux.readonlyPaths", &linux.readonly_paths)?));
    }
    if !linux.masked_paths.is_empty() {
        steps.push(Step::Mask(list("linux.maskedPaths", &linux.masked_paths)?));
    }
    Ok(steps)
}

fn personality(linux: &Linux) -> Result<Option<Step>, PlanError> {
    let Some(personality) = &linux.personality else { return Ok(None) };
    if !personality.flags.is_empty() {
        return Err(invalid("linux.personality.flags", "the specification defines none"));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(Some(Step::Personality(0))),
        "LINUX32" => Ok(Some(Step::Personality(8))),
        other => Err(invalid("linux.personality.domain", format!("{other:?} is unknown"))),
    }
}

fn inside_hooks(
    field: &str,
    hooks: &[Hook],
    context: &PlanContext,
) -> Result<Vec<Step>, PlanError> {
    let one = |hook: &Hook| {
        if !hook.path.starts_with('/') {
            return Err(invalid(field, format!("path {:?} isn't absolute", hook.path)));
        }
        let words = |words: &[String]| {
            words.iter().map(|word| c_string(field, word.as_str())).collect::<Result<Vec<_>, _>>()
        };
        let argv = if hook.args.is_empty() { vec![hook.path.clone()] } else { hook.args.clone() };
        Ok(Step::Hook(InsideHook {
            path: c_string(field, hook.path.as_str())?,
            argv: words(&argv)?,
            env: words(&hook.env)?,
            timeout_ms: timeout_ms(field, hook)?,
            state_before_pid: c_string(field, context.hook_state.0.as_str())?,
            state_after_pid: c_string(field, context.hook_state.1.as_str())?,
        }))
    };
    hooks.iter().map(one).collect()
}

/// `config.md`: a timeout must be greater than zero.
pub(crate) fn timeout_ms(field: &str, hook: &Hook) -> Result<Option<u32>, PlanError> {
    let Some(seconds) = hook.timeout else { return Ok(None) };
    let ms = u32::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
    match ms {
        Some(ms) if ms > 0 => Ok(Some(ms)),
        _ => Err(invalid(field, format!("timeout {seconds} isn't a positive number of seconds"))),
    }
}

/// Namespaces of the specification by what happens to them.
struct Namespaces {
    /// Made for this container.
    created: Vec<NamespaceKind>,
    /// Joined by the child, in order.
    joins: Vec<Step>,
    joined: Vec<NamespaceKind>,
    launcher_joins: Vec<(NamespaceKind, JoinSource)>,
    /// Some: the container lives in a user namespace of its own; true if it is made for it.
    user: Option<bool>,
}

impl Namespaces {
    fn sort(linux: &Linux, context: &PlanContext) -> Result<Namespaces, PlanError> {
        let mut sorted = Namespaces {
            created: Vec::new(),
            joins: Vec::new(),
            joined: Vec::new(),
            launcher_joins: Vec::new(),
            user: None,
        };
        let mut sources: Vec<(NamespaceKind, Option<JoinSource>)> = Vec::new();
        for namespace in &linux.namespaces {
            let kind = NamespaceKind::from_name(&namespace.kind).ok_or_else(|| {
                invalid("linux.namespaces", format!("type {:?} is unknown", namespace.kind))
            })?;
            if sources.iter().any(|(known, _)| *known == kind) {
                return Err(invalid("linux.namespaces", format!("{} appears twice", kind.name())));
            }
            let source = match fd_with(&context.fds, FdRole::Namespace(kind)) {
                Some(index) => Some(JoinSource::Fd(index)),
                None if namespace.path.is_empty() => None,
                None if !namespace.path.starts_with('/') => {
                    let reason = format!("path {:?} isn't absolute", namespace.path);
                    return Err(invalid("linux.namespaces", reason));
                }
                None => {
                    let path = c_string("linux.namespaces", namespace.path.as_str())?;
                    Some(JoinSource::Path(path))
                }
            };
            sources.push((kind, source));
        }
        let user = sources.iter().find(|(kind, _)| *kind == NamespaceKind::User);
        sorted.user = user.map(|(_, source)| source.is_none());
        for (kind, source) in sources {
            sorted.place(kind, source);
        }
        // The user namespace is joined after all that the launcher's rights are needed for.
        let is_user = |step: &Step| {
            matches!(
                step,
                Step::Join(NamespaceKind::User, _) | Step::JoinPath(NamespaceKind::User, _)
            )
        };
        sorted.joins.sort_by_key(is_user);
        if sorted.user == Some(false) && sorted.created.contains(&NamespaceKind::Pid) {
            let reason = "a new pid namespace can't be made inside a joined user namespace yet";
            return Err(invalid("linux.namespaces", reason));
        }
        Ok(sorted)
    }

    fn place(&mut self, kind: NamespaceKind, source: Option<JoinSource>) {
        use NamespaceKind::{Ipc, Net, Pid, Uts};
        let Some(source) = source else {
            self.created.push(kind);
            return;
        };
        self.joined.push(kind);
        let host_owned = self.user == Some(true) && matches!(kind, Net | Ipc | Uts);
        if kind == Pid || host_owned {
            self.launcher_joins.push((kind, source));
            return;
        }
        self.joins.push(match source {
            JoinSource::Fd(index) | JoinSource::Process(index) => Step::Join(kind, index),
            JoinSource::Path(path) => Step::JoinPath(kind, path),
        });
    }

    fn creates(&self, kind: NamespaceKind) -> bool {
        self.created.contains(&kind)
    }

    fn has(&self, kind: NamespaceKind) -> bool {
        self.creates(kind) || self.joined.contains(&kind)
    }

    fn private(&self) -> Vec<NamespaceKind> {
        self.created.iter().chain(&self.joined).copied().collect()
    }

    /// Made by the clone: all but those that must wait for the control group, for offsets, or for a joined user namespace.
    fn clone_flags(&self) -> u64 {
        let later = [NamespaceKind::Cgroup, NamespaceKind::Time];
        let at_birth = self.created.iter().filter(|kind| !later.contains(kind));
        let flags = at_birth.map(|kind| kind.flag()).fold(0, |all, flag| all | flag);
        if self.user == Some(false) { 0 } else { flags }
    }

    fn steps(&self, linux: &Linux) -> Result<Vec<Step>, PlanError> {
        let mut steps = self.joins.clone();
        if self.user == Some(false) {
            steps.push(Step::BecomeRoot);
            let flags = self
                .created
                .iter()
                .filter(|kind| !matches!(kind, NamespaceKind::Cgroup | NamespaceKind::Time));
            let flags = flags.map(|kind| kind.flag()).fold(0, |all, flag| all | flag);
            if flags != 0 {
                steps.push(Step::Unshare(flags));
            }
        }
        if self.creates(NamespaceKind::Cgroup) {
            steps.push(Step::Unshare(NamespaceKind::Cgroup.flag()));
        }
        if self.creates(NamespaceKind::Time) {
            let mut lines = String::new();
            for (clock, offset) in &linux.time_offsets {
                if clock != "monotonic" && clock != "boottime" {
                    return Err(invalid(
                        "linux.timeOffsets",
                        format!("clock {clock:?} is unknown"),
                    ));
                }
                lines.push_str(&format!("{clock} {} {}\n", offset.secs, offset.nanosecs));
            }
            steps.push(Step::EnterTime(c_string("linux.timeOffsets", lines)?));
        } else if !linux.time_offsets.is_empty() {
            return Err(invalid("linux.timeOffsets", "needs a new time namespace"));
        }
        Ok(steps)
    }

    fn user_namespace(
        &self,
        linux: &Linux,
        process: &Process,
        context: &PlanContext,
    ) -> Result<Option<UserNamespace>, PlanError> {
        let has_maps = !linux.uid_mappings.is_empty() || !linux.gid_mappings.is_empty();
        if self.user != Some(true) {
            if has_maps && self.user.is_none() {
                return Err(invalid("linux.uidMappings", "needs a user namespace"));
            }
            return Ok(None);
        }
        if linux.uid_mappings.is_empty() || linux.gid_mappings.is_empty() {
            return Err(invalid("linux.uidMappings", "a new user namespace needs id mappings"));
        }
        // The kernel lets an unprivileged writer of gid_map only do so after giving up setgroups(2).
        let single = linux.gid_mappings.len() == 1 && linux.gid_mappings[0].size == 1;
        Ok(Some(UserNamespace {
            uid_map: mounts::map_lines(&linux.uid_mappings),
            gid_map: mounts::map_lines(&linux.gid_mappings),
            deny_setgroups: context.host.rootless && single,
            limits: limits(process)?,
            oom_score: process.oom_score_adj,
        }))
    }
}

//! What launch and exec have in common: session, attributes, ids, rights and the program of a process.

use super::names::{capability_mask, limit_number, policy_flag, policy_number};
use super::{
    CapabilitySets, FdIndex, FdRole, HostFacts, Limit, PlanError, Program, SchedAttr,
    SeccompProgram, Step, SyncPoint, c_string, fd_with, fds_with, invalid,
};
use crate::spec::Process;

/// Where programs are looked for when the environment doesn't say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Files that the program is looked for in, its arguments and its environment.
pub(crate) fn program_of(process: &Process) -> Result<Program, PlanError> {
    let name = process.args.first().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| invalid("process.args", "names no program"))?;
    let mut env = Vec::with_capacity(process.env.len());
    for variable in &process.env {
        // HOME= is as good as none: it is looked up then.
        if variable != "HOME=" {
            env.push(c_string("process.env", variable.as_str())?);
        }
    }
    let argv = process.args.iter().map(|word| c_string("process.args", word.as_str()));
    let argv = argv.collect::<Result<Vec<_>, _>>()?;
    let searched = !name.contains('/');
    let candidates = if searched {
        let path = process.env.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
        path.unwrap_or(DEFAULT_PATH)
            .split(':')
            // The working directory may be anybody's: relative entries don't count, as in Go's LookPath.
            .filter(|dir| dir.starts_with('/'))
            .map(|dir| c_string("process.env", format!("{}/{name}", dir.trim_end_matches('/'))))
            .collect::<Result<Vec<_>, _>>()?
    } else {
        vec![c_string("process.args", name.as_str())?]
    };
    Ok(Program { candidates, argv, env, searched })
}

/// A session and keyring of its own.
pub(crate) fn session(id: &str, keep_keyring: bool) -> Result<Vec<Step>, PlanError> {
    let mut steps = vec![Step::NewSession];
    if !keep_keyring {
        steps.push(Step::NewKeyring(c_string("id", format!("_ses.{id}"))?));
    }
    Ok(steps)
}

/// Resource limits by number.
pub(crate) fn limits(process: &Process) -> Result<Vec<Limit>, PlanError> {
    let mut limits: Vec<Limit> = Vec::with_capacity(process.rlimits.len());
    for (index, limit) in process.rlimits.iter().enumerate() {
        let field = format!("process.rlimits[{index}]");
        let resource = limit_number(&limit.kind)
            .ok_or_else(|| invalid(&field, format!("{:?} isn't a resource", limit.kind)))?;
        if limits.iter().any(|known| known.resource == resource) {
            return Err(invalid(field, format!("{} appears twice", limit.kind)));
        }
        limits.push(Limit { resource, soft: limit.soft, hard: limit.hard });
    }
    Ok(limits)
}

/// Limits, scheduling, affinity. Before anything is given up.
pub(crate) fn launch_attributes(process: &Process) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    if let Some(scheduler) = &process.scheduler {
        let policy = policy_number(&scheduler.policy).ok_or_else(|| {
            invalid("process.scheduler.policy", format!("{:?} is unknown", scheduler.policy))
        })?;
        let mut flags = 0;
        for flag in &scheduler.flags {
            flags |= policy_flag(flag).ok_or_else(|| {
                invalid("process.scheduler.flags", format!("{flag:?} is unknown"))
            })?;
        }
        let priority = u32::try_from(scheduler.priority)
            .map_err(|_| invalid("process.scheduler.priority", "is negative"))?;
        steps.push(Step::Scheduler(SchedAttr {
            policy,
            flags,
            nice: scheduler.nice,
            priority,
            runtime_ns: scheduler.runtime,
            deadline_ns: scheduler.deadline,
            period_ns: scheduler.period,
        }));
    }
    if let Some(io) = &process.io_priority {
        let class = match io.class.as_str() {
            "IOPRIO_CLASS_RT" => 1u16,
            "IOPRIO_CLASS_BE" => 2,
            "IOPRIO_CLASS_IDLE" => 3,
            other => {
                return Err(invalid("process.ioPriority.class", format!("{other:?} is unknown")));
            }
        };
        let level = u16::try_from(io.priority)
            .ok()
            .filter(|level| *level < 8)
            .ok_or_else(|| invalid("process.ioPriority.priority", "isn't between 0 and 7"))?;
        steps.push(Step::IoPriority(class << 13 | level));
    }
    Ok(steps)
}

/// `0-3,7` as words of a mask.
pub(crate) fn affinity(field: &str, list: &str) -> Result<Option<Step>, PlanError> {
    const CPU_LIMIT: usize = 8192;
    if list.is_empty() {
        return Ok(None);
    }
    let wrong = || invalid(field, format!("{list:?} isn't a list of CPUs"));
    let mut words: Vec<u64> = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last >= CPU_LIMIT {
            return Err(wrong());
        }
        for cpu in first..=last {
            if words.len() <= cpu / 64 {
                words.resize(cpu / 64 + 1, 0);
            }
            words[cpu / 64] |= 1 << (cpu % 64);
        }
    }
    Ok(Some(Step::Affinity(words)))
}

/// What [`finish`] needs beside the process.
pub(crate) struct Finish<'a> {
    pub fds: &'a [FdRole],
    pub host: HostFacts,
    pub user_ns: bool,
    pub seccomp: Option<&'a SeccompProgram>,
    pub init: bool,
    /// Hooks that run inside just before the program.
    pub hooks: Vec<Step>,
}

/// From standard streams to exec. The order is what the kernel asks for:
/// labels before exec; the bounding set while CAP_SETPCAP is effective; the working directory with the rights of root;
/// the user; then the program, seen with the user's eyes; then the gate. A filter without no-new-privileges needs
/// CAP_SYS_ADMIN, so it goes before the final capabilities; with no-new-privileges it goes last.
pub(crate) fn finish(
    process: &Process,
    finish: Finish<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Step>, PlanError> {
    let mut steps = label(process, finish.host)?;
    let stream = |role| fd_with(finish.fds, role);
    let streams = [stream(FdRole::Stdin), stream(FdRole::Stdout), stream(FdRole::Stderr)];
    steps.push(Step::Stdio(streams));
    steps.push(Step::Umask(process.user.umask.unwrap_or(0o022)));
    let sets = capabilities(process, finish.host, finish.user_ns, warnings);
    steps.push(Step::Bounding(sets.bounding));
    if !process.cwd.starts_with('/') {
        let reason = format!("{:?} isn't an absolute path", process.cwd);
        return Err(invalid("process.cwd", reason));
    }
    steps.push(Step::Cwd(c_string("process.cwd", process.cwd.as_str())?));
    let user = &process.user;
    steps.push(Step::User(user.uid, user.gid, user.additional_gids.clone()));
    let has_home =
        process.env.iter().any(|variable| variable.starts_with("HOME=") && variable != "HOME=");
    if !has_home {
        steps.push(Step::HomeFromPasswd(user.uid));
    }
    steps.push(Step::FindProgram);
    if let Some(gate) = fd_with(finish.fds, FdRole::Gate) {
        steps.push(Step::Sync(SyncPoint::Ready));
        steps.push(Step::AwaitGate(gate));
    }
    steps.extend(finish.hooks);
    let filter = finish.seccomp.map(|program| Step::Seccomp(program.clone()));
    if process.no_new_privileges {
        steps.extend([Step::Capabilities(sets), Step::NoNewPrivileges]);
        steps.extend(filter);
    } else {
        steps.extend(filter);
        steps.push(Step::Capabilities(sets));
    }
    if finish.init {
        steps.push(Step::BecomeInit);
    }
    let preserved: Vec<FdIndex> = fds_with(finish.fds, FdRole::Preserved).collect();
    if !preserved.is_empty() {
        steps.push(Step::Preserve(preserved));
    }
    steps.push(Step::Exec);
    Ok(steps)
}

fn label(process: &Process, host: HostFacts) -> Result<Vec<Step>, PlanError> {
    let mut steps = Vec::new();
    let profile = &process.apparmor_profile;
    if !profile.is_empty() && profile != "unconfined" && !host.apparmor {
        let reason = format!("profile {profile:?} is asked for, but the host has no AppArmor");
        return Err(invalid("process.apparmorProfile", reason));
    }
    if !profile.is_empty() && host.apparmor {
        let text = c_string("process.apparmorProfile", format!("exec {profile}"))?;
        steps.push(Step::ExecLabel(c_string("file", "attr/apparmor/exec")?, text));
    }
    if !process.selinux_label.is_empty() {
        if !host.selinux {
            let reason = "a label is asked for, but the host has no SELinux";
            return Err(invalid("process.selinuxLabel", reason));
        }
        let text = c_string("process.selinuxLabel", process.selinux_label.as_str())?;
        steps.push(Step::ExecLabel(c_string("file", "attr/exec")?, text));
    }
    Ok(steps)
}

/// Absent sets are empty. What can't be granted is left out with a warning (`config.md`, "Linux Process").
fn capabilities(
    process: &Process,
    host: HostFacts,
    user_ns: bool,
    warnings: &mut Vec<String>,
) -> CapabilitySets {
    let Some(asked) = &process.capabilities else { return CapabilitySets::default() };
    // A new user namespace gives all of them over itself.
    let grantable = if user_ns { u64::MAX } else { host.capabilities };
    let mut mask = |names: &[String]| {
        let mask =
            capability_mask(names, |name| warnings.push(format!("unknown capability {name:?}")));
        if mask & !grantable != 0 {
            warnings.push(format!("capabilities {:#x} can't be granted here", mask & !grantable));
        }
        mask & grantable
    };
    CapabilitySets {
        bounding: mask(&asked.bounding),
        effective: mask(&asked.effective),
        inheritable: mask(&asked.inheritable),
        permitted: mask(&asked.permitted),
        ambient: mask(&asked.ambient),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_slash_are_looked_up() {
        let process = Process {
            args: vec!["sh".into(), "-c".into()],
            env: vec!["PATH=/bin/:.:/sbin".into(), "HOME=".into(), "A=b".into()],
            ..Process::default()
        };
        let program = program_of(&process).expect("plans");
        assert_eq!(program.candidates, [c"/bin/sh".to_owned(), c"/sbin/sh".to_owned()]);
        assert_eq!(program.env, [c"PATH=/bin/:.:/sbin".to_owned(), c"A=b".to_owned()]);
        assert!(program_of(&Process::default()).is_err());
    }

    #[test]
    fn cpu_lists() {
        assert_eq!(affinity("f", "0-2,65").expect("parses"), Some(Step::Affinity(vec![7, 2])));
        assert_eq!(affinity("f", "").expect("parses"), None);
        for bad in ["a", "3-1", "0-4000000000", "-"] {
            assert!(affinity("f", bad).is_err(), "{bad}");
        }
    }
}

//! `exec`: a process in a running container, from a file (`--process`) or from words.

use std::os::fd::AsFd;
use std::path::Path;

use super::super::flags::{Flag, Flags, parse};
use super::super::launch::{Table, filter, preserved, write_pid};
use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome, console};
use super::run::Foreground;
use crate::exec::{ExecContext, foreign_namespaces, plan};
use crate::perform::launch;
use crate::plan::{FdRole, HostFacts};
use crate::spec::{Capabilities, Process};

const FLAGS: &[Flag] = &[
    Flag::value("console-socket"),
    Flag::value("pidfd-socket"),
    Flag::value("cwd"),
    Flag::value("env").or("e"),
    Flag::switch("tty").or("t"),
    Flag::value("user").or("u"),
    Flag::value("additional-gids").or("g"),
    Flag::value("process").or("p"),
    Flag::switch("detach").or("d"),
    Flag::value("pid-file"),
    Flag::value("process-label"),
    Flag::value("apparmor"),
    Flag::switch("no-new-privs"),
    Flag::value("cap").or("c"),
    Flag::value("preserve-fds"),
    Flag::value("cgroup"),
    Flag::switch("ignore-paused"),
];

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(FLAGS, &mut args)?;
    if args.is_empty() {
        return Err(CliError::usage("exec: needs a container ID"));
    }
    for name in ["pidfd-socket", "cgroup"] {
        if flags.get(name).is_some() {
            return Err(CliError::usage(format!("exec: --{name} isn't supported")));
        }
    }
    crate::sealed::ensure().map_err(CliError::Seal)?;
    let record = Record::load(global, &args.remove(0))?;
    let allowed = [Status::Running, Status::Created, Status::Paused];
    match super::expect_status(global, &record, &allowed) {
        Ok(Status::Paused) if !flags.has("ignore-paused") => {
            return Err(CliError::State("cannot exec in a paused container".into()));
        }
        Err(_) => {
            return Err(CliError::State("cannot exec in a stopped container".into()));
        }
        Ok(_) => {}
    }
    let process = process(&record, &flags, args)?;
    start(global, &record, &flags, &process)
}

fn start(global: &Global, record: &Record, flags: &Flags, process: &Process) -> Outcome {
    let container = sys::pidfd::open(record.init_process_pid)
        .map_err(CliError::kernel("open the container's process"))?;
    let namespaces = foreign_namespaces(record.init_process_pid)
        .map_err(CliError::file("read", "/proc/PID/ns"))?;
    if !record.is_alive() {
        return Err(CliError::State("cannot exec in a stopped container".into()));
    }
    let entry = match record.open_cgroup()? {
        Some(group) => Some(group.entry().map_err(CliError::Cgroup)?),
        None => None,
    };
    let preserved = preserved(flags.number("preserve-fds")?.unwrap_or(0))?;
    let mut table = Table::default();
    table.push(FdRole::Process, container.as_fd());
    table.enter(entry.as_ref());
    for fd in &preserved {
        table.push(FdRole::Preserved, fd.as_fd());
    }
    let context = ExecContext {
        id: record.id.clone(),
        fds: table.roles.clone(),
        namespaces,
        seccomp: filter(record.spec.linux().seccomp.as_ref())?,
        host: HostFacts::detect(),
        keep_keyring: record.keep_keyring,
    };
    let plan = plan(process, &context).map_err(CliError::Plan)?;
    for warning in &plan.warnings {
        global.log.warning(warning);
    }
    let detach = flags.has("detach");
    let socket = flags.get("console-socket").map(Path::new);
    if process.terminal && detach && socket.is_none() {
        return Err(CliError::usage(
            "cannot allocate tty if runc will detach without setting console socket",
        ));
    }
    if !detach {
        sys::signal::block_all();
    }
    let launched = launch(&plan, &table.fds).map_err(CliError::Launch)?;
    if let Some(path) = flags.get("pid-file") {
        write_pid(path.as_ref(), launched.pid)?;
    }
    if let (Some(master), Some(socket)) = (&launched.console, socket) {
        console::hand_over(socket, master)?;
    }
    if detach {
        return Ok(0);
    }
    Foreground::begin(launched.console.as_ref().filter(|_| socket.is_none()))?.wait(&launched)
}

/// The process as asked for: the container's own with what the flags change.
fn process(record: &Record, flags: &Flags, args: Vec<String>) -> Result<Process, CliError> {
    let mut process = match flags.get("process") {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(CliError::file("read", path))?;
            let mut process: Process = serde_json::from_slice(&bytes).map_err(|source| {
                CliError::Spec(crate::spec::SpecError::Parse { path: path.into(), source })
            })?;
            process.terminal |= flags.has("tty");
            process
        }
        None => {
            let mut process = record.spec.process.clone().unwrap_or_default();
            process.args = args;
            process.terminal = flags.has("tty");
            process.env.extend(flags.all("env").map(String::from));
            process
        }
    };
    if let Some(cwd) = flags.get("cwd") {
        process.cwd = cwd.to_owned();
    }
    if let Some(user) = flags.get("user") {
        let number = |text: &str| {
            // Numbers only, all of them: "1x" must not become 1, nor a name 0 (CVE-2026-30892).
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let value = text.parse::<u32>().ok().filter(|id| digits && *id != u32::MAX);
            value.ok_or_else(|| CliError::usage(format!("--user {user:?}: {text:?} isn't an id")))
        };
        match user.split_once(':') {
            Some((uid, gid)) => {
                (process.user.uid, process.user.gid) = (number(uid)?, number(gid)?);
            }
            None => process.user.uid = number(user)?,
        }
    }
    for gid in flags.all("additional-gids") {
        let wrong = |_| CliError::usage(format!("--additional-gids {gid:?} isn't a number"));
        process.user.additional_gids.push(gid.parse().map_err(wrong)?);
    }
    if let Some(profile) = flags.get("apparmor") {
        process.apparmor_profile = profile.to_owned();
    }
    if let Some(label) = flags.get("process-label") {
        process.selinux_label = label.to_owned();
    }
    process.no_new_privileges |= flags.has("no-new-privs");
    for capability in flags.all("cap") {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(capability.to_owned());
        }
    }
    Ok(process)
}

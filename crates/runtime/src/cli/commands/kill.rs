//! `kill`: sends a signal, TERM by default, to the first process or to all.

use super::super::flags::{Flag, parse};
use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome};
use crate::plan::signal_number;

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let mut flags = parse(&[Flag::switch("all").or("a")], &mut args)?;
    if args.len() > 1 && !flags.has("all") {
        // Callers put the switch after the id, too.
        let mut rest = args.split_off(1);
        flags = parse(&[Flag::switch("all").or("a")], &mut rest)?;
        args.extend(rest);
    }
    let (id, signal) = match args.as_slice() {
        [id] => (id, "SIGTERM"),
        [id, signal] => (id, signal.as_str()),
        _ => return Err(CliError::usage("kill: needs a container ID and at most a signal")),
    };
    let number = signal_number(signal)
        .ok_or_else(|| CliError::usage(format!("unknown signal {signal:?}")))?;
    let record = Record::load(global, id)?;
    if flags.has("all") {
        return all(&record, number).map(|()| 0);
    }
    let status =
        super::expect_status(global, &record, &[Status::Created, Status::Running, Status::Paused])?;
    let target = sys::pidfd::open(record.init_process_pid)
        .map_err(CliError::kernel("open the container's process"))?;
    // Opened, then checked: from here on the pid can't mean another process.
    if !record.is_alive() {
        return Err(CliError::State("container not running".into()));
    }
    sys::pidfd::send_signal(&target, number).map_err(CliError::kernel("send the signal"))?;
    let shares_pids =
        !record.spec.linux().namespaces.iter().any(|namespace| namespace.kind == "pid");
    if number == sys::signal::KILL && shares_pids {
        // No pid namespace dies with its first process here.
        all(&record, number)?;
    }
    if status == Status::Paused && number == sys::signal::KILL {
        record.cgroup()?.thaw().map_err(CliError::Cgroup)?;
    }
    Ok(0)
}

fn all(record: &Record, number: i32) -> Result<(), CliError> {
    let Some(group) = record.open_cgroup()? else { return Ok(()) };
    if number == sys::signal::KILL {
        return group.kill().map_err(CliError::Cgroup);
    }
    for pid in group.pids().map_err(CliError::Cgroup)? {
        match sys::signal::send(pid.cast_signed(), number) {
            Err(sys::Errno::SRCH) => {}
            result => result.map_err(CliError::kernel("send the signal"))?,
        }
    }
    Ok(())
}

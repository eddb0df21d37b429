//! `delete`: forgets a stopped or created container; `--force` kills it first.

use std::time::{Duration, Instant};

use super::super::flags::{Flag, parse};
use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome, launch};
use super::only_id;

/// The kernel needs a moment to end a process, more under load.
const KILL_LIMIT: Duration = Duration::from_secs(10);

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    const FLAGS: &[Flag] = &[Flag::switch("force").or("f")];
    let mut flags = parse(FLAGS, &mut args)?;
    if args.len() > 1 {
        let mut rest = args.split_off(1);
        flags = parse(FLAGS, &mut rest)?;
        args.extend(rest);
    }
    let id = only_id("delete", &args)?;
    let force = flags.has("force");
    let record = match Record::load(global, &id) {
        Err(CliError::Missing(_)) if force => {
            // A creation that died half way has a directory only.
            if Record::dir(global, &id).exists() {
                Record::remove(global, &id)?;
            }
            return Ok(0);
        }
        result => result?,
    };
    match record.status(global) {
        Status::Stopped | Status::Creating => {}
        Status::Created => kill(&record)?,
        Status::Running | Status::Paused if force => kill(&record)?,
        status => {
            let text =
                format!("cannot delete container {id} that is not stopped: {}", status.name());
            return Err(CliError::State(text));
        }
    }
    launch::destroy(global, &record)?;
    Ok(0)
}

fn kill(record: &Record) -> Result<(), CliError> {
    match sys::signal::send(record.init_process_pid, sys::signal::KILL) {
        Err(sys::Errno::SRCH) => {}
        result => result.map_err(CliError::kernel("kill the container"))?,
    }
    if let Some(group) = record.open_cgroup()? {
        group.kill().map_err(CliError::Cgroup)?;
        // A frozen group of v1 dies only when it is thawed.
        if group.is_frozen().map_err(CliError::Cgroup)? {
            group.thaw().map_err(CliError::Cgroup)?;
        }
    }
    let deadline = Instant::now() + KILL_LIMIT;
    while record.is_alive() {
        if Instant::now() > deadline {
            return Err(CliError::State(format!("container {} doesn't end", record.id)));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

//! `start`: lets the program of a created container go.

use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome, launch};
use super::only_id;

pub(super) fn run(global: &Global, args: Vec<String>) -> Outcome {
    let id = only_id("start", &args)?;
    let record = Record::load(global, &id)?;
    match record.status(global) {
        Status::Created => {}
        Status::Stopped => {
            return Err(CliError::State("cannot start a container that has stopped".into()));
        }
        _ => return Err(CliError::State("cannot start an already running container".into())),
    }
    if let Err(error) = launch::release(global, &record) {
        if record.is_alive() {
            // A failed poststart hook ends the container, as the specification says.
            sys::signal::send(record.init_process_pid, sys::signal::KILL)
                .map_err(CliError::kernel("kill the container"))?;
        }
        return Err(error);
    }
    Ok(0)
}

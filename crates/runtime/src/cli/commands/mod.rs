//! One file per command; this one is the table.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use super::error::CliError;
use super::record::{Record, Status};
use super::{Global, Outcome};

/// Runs `command` with its arguments.
pub(super) fn dispatch(command: &str, global: &Global, args: Vec<String>) -> Outcome {
    match command {
        "checkpoint" => checkpoint::checkpoint(global, args),
        "create" => create::run(global, args),
        "delete" => delete::run(global, args),
        "events" => events::run(global, args),
        "exec" => exec::run(global, args),
        "features" => features::run(),
        "kill" => kill::run(global, args),
        "list" => list::run(global, args),
        "pause" => pause::pause(global, args),
        "ps" => ps::run(global, args),
        "restore" => checkpoint::restore(global, args),
        "resume" => pause::resume(global, args),
        "run" => run::run(global, args),
        "spec" => spec::run(args),
        "start" => start::run(global, args),
        "state" => state::run(global, args),
        "update" => update::run(global, args),
        other => Err(CliError::usage(format!("no such command: {other}"))),
    }
}

/// The one word that must be there.
fn only_id(command: &str, args: &[String]) -> Result<String, CliError> {
    match args {
        [id] => Ok(id.clone()),
        _ => Err(CliError::usage(format!("{command}: needs exactly one container ID"))),
    }
}

/// Fails unless the container is in one of `wanted`.
fn expect_status(global: &Global, record: &Record, wanted: &[Status]) -> Result<Status, CliError> {
    let status = record.status(global);
    if wanted.contains(&status) {
        return Ok(status);
    }
    let text = match status {
        Status::Stopped => "container not running".to_owned(),
        other => format!("container {} is {}", record.id, other.name()),
    };
    Err(CliError::State(text))
}

/// Prints a JSON document on standard output.
fn print_json(value: &serde_json::Value) {
    println!("{value}");
}

//! `state`: the state document.

use super::super::record::Record;
use super::super::{CliError, Global, Outcome};
use super::only_id;

pub(super) fn run(global: &Global, args: Vec<String>) -> Outcome {
    let id = only_id("state", &args)?;
    let record = Record::load(global, &id)?;
    let state = record.state(record.status(global));
    let text =
        serde_json::to_string_pretty(&state).map_err(|source| CliError::Record { id, source })?;
    println!("{text}");
    Ok(0)
}

//! `pause` and `resume`: all processes of a container, by its control group.

use std::time::Duration;

use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome};
use super::{expect_status, only_id};

pub(super) fn pause(global: &Global, args: Vec<String>) -> Outcome {
    let record = Record::load(global, &only_id("pause", &args)?)?;
    expect_status(global, &record, &[Status::Running, Status::Created])?;
    record.cgroup()?.freeze(Duration::from_secs(10)).map_err(CliError::Cgroup)?;
    Ok(0)
}

pub(super) fn resume(global: &Global, args: Vec<String>) -> Outcome {
    let record = Record::load(global, &only_id("resume", &args)?)?;
    expect_status(global, &record, &[Status::Paused])?;
    record.cgroup()?.thaw().map_err(CliError::Cgroup)?;
    Ok(0)
}

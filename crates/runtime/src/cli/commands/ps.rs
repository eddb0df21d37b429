//! `ps`: processes of a container, as pids or filtered from the host's `ps`.

use std::process::Command;

use super::super::flags::{Flag, parse};
use super::super::record::Record;
use super::super::{CliError, Global, Outcome};

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(&[Flag::value("format").or("f")], &mut args)?;
    if args.is_empty() {
        return Err(CliError::usage("ps: needs a container ID"));
    }
    let record = Record::load(global, &args.remove(0))?;
    let pids = record.cgroup()?.pids().map_err(CliError::Cgroup)?;
    match flags.get("format").unwrap_or("table") {
        "json" => {
            super::print_json(&serde_json::json!(pids));
            return Ok(0);
        }
        "table" => {}
        other => return Err(CliError::usage(format!("invalid format option {other:?}"))),
    }
    let words = if args.is_empty() { vec!["-ef".to_owned()] } else { args };
    let output = Command::new("ps").args(&words).output().map_err(CliError::file("run", "ps"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(CliError::State(format!("ps: {text}")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let title = lines.next().unwrap_or_default();
    let column = title.split_whitespace().position(|word| word == "PID");
    let column =
        column.ok_or_else(|| CliError::State("couldn't find PID field in ps output".into()))?;
    println!("{title}");
    for line in lines {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse::<u32>().ok());
        if pid.is_some_and(|pid| pids.contains(&pid)) {
            println!("{line}");
        }
    }
    Ok(0)
}

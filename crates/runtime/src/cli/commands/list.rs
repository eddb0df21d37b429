//! `list`: containers below the root.

use serde_json::json;

use super::super::flags::{Flag, parse};
use super::super::record::{Record, Status, ids};
use super::super::{CliError, Global, Outcome};

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(&[Flag::value("format").or("f"), Flag::switch("quiet").or("q")], &mut args)?;
    let ids = ids(&global.root)?;
    if flags.has("quiet") {
        ids.iter().for_each(|id| println!("{id}"));
        return Ok(0);
    }
    // One that is deleted while we list isn't there.
    let records: Vec<Record> = ids.iter().filter_map(|id| Record::load(global, id).ok()).collect();
    match flags.get("format").unwrap_or("table") {
        "json" => {
            let states = records.iter().map(|record| {
                let mut state = record.state(record.status(global));
                state["owner"] = json!(owner(record.owner));
                state
            });
            super::print_json(&states.collect());
        }
        "table" => table(global, &records),
        other => return Err(CliError::usage(format!("invalid format option {other:?}"))),
    }
    Ok(0)
}

fn table(global: &Global, records: &[Record]) {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from)];
    rows.extend(records.iter().map(|record| {
        let status = record.status(global);
        let pid = if status == Status::Stopped { 0 } else { record.init_process_pid };
        [
            record.id.clone(),
            pid.to_string(),
            status.name().to_owned(),
            record.bundle.display().to_string(),
            record.created.clone(),
            owner(record.owner),
        ]
    }));
    let mut widths = [12; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.len());
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Name by `/etc/passwd`, or `#uid`.
fn owner(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

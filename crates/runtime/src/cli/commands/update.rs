//! `update`: changes limits of a container that exists.

use std::io::Read;

use super::super::flags::{Flag, Flags, parse};
use super::super::record::{Record, Status};
use super::super::{CliError, Global, Outcome};
use super::{expect_status, only_id};
use crate::spec::LinuxResources;

const FLAGS: &[Flag] = &[
    Flag::value("resources").or("r"),
    Flag::value("blkio-weight"),
    Flag::value("cpu-period"),
    Flag::value("cpu-quota"),
    Flag::value("cpu-burst"),
    Flag::value("cpu-share"),
    Flag::value("cpu-rt-period"),
    Flag::value("cpu-rt-runtime"),
    Flag::value("cpuset-cpus"),
    Flag::value("cpuset-mems"),
    Flag::value("cpu-idle"),
    Flag::value("kernel-memory"),
    Flag::value("kernel-memory-tcp"),
    Flag::value("memory"),
    Flag::value("memory-reservation"),
    Flag::value("memory-swap"),
    Flag::value("pids-limit"),
    Flag::value("l3-cache-schema"),
    Flag::value("mem-bw-schema"),
];

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let mut flags = parse(FLAGS, &mut args)?;
    if args.len() > 1 {
        let mut rest = args.split_off(1);
        flags = parse(FLAGS, &mut rest)?;
        args.extend(rest);
    }
    let mut record = Record::load(global, &only_id("update", &args)?)?;
    let alive = [Status::Created, Status::Running, Status::Paused];
    expect_status(global, &record, &alive)?;
    let changes = match flags.get("resources") {
        Some(path) => from_file(path)?,
        None => from_flags(&flags)?,
    };
    record.cgroup()?.apply(&changes).map_err(CliError::Cgroup)?;
    let linux = record.spec.linux.get_or_insert_default();
    merge(linux.resources.get_or_insert_default(), changes);
    record.save(global)?;
    Ok(0)
}

fn from_file(path: &str) -> Result<LinuxResources, CliError> {
    let mut text = String::new();
    let read = if path == "-" {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(CliError::file("read", path))?;
    serde_json::from_str(&text).map_err(|source| {
        CliError::Spec(crate::spec::SpecError::Parse { path: path.into(), source })
    })
}

fn from_flags(flags: &Flags) -> Result<LinuxResources, CliError> {
    for name in ["l3-cache-schema", "mem-bw-schema"] {
        if flags.get(name).is_some_and(|value| !value.is_empty()) {
            return Err(CliError::usage(format!("--{name} isn't supported")));
        }
    }
    let mut resources = LinuxResources::default();
    let cpu = resources.cpu.get_or_insert_default();
    cpu.period = flags.number("cpu-period")?;
    cpu.quota = flags.number("cpu-quota")?;
    cpu.burst = flags.number("cpu-burst")?;
    cpu.shares = flags.number("cpu-share")?;
    cpu.realtime_period = flags.number("cpu-rt-period")?;
    cpu.realtime_runtime = flags.number("cpu-rt-runtime")?;
    cpu.cpus = flags.get("cpuset-cpus").map(String::from);
    cpu.mems = flags.get("cpuset-mems").map(String::from);
    cpu.idle = flags.number("cpu-idle")?;
    let memory = resources.memory.get_or_insert_default();
    memory.kernel = bytes(flags, "kernel-memory")?;
    memory.kernel_tcp = bytes(flags, "kernel-memory-tcp")?;
    memory.limit = bytes(flags, "memory")?;
    memory.reservation = bytes(flags, "memory-reservation")?;
    memory.swap = bytes(flags, "memory-swap")?;
    if let Some(limit) = flags.number("pids-limit")? {
        resources.pids.get_or_insert_default().limit = Some(limit);
    }
    if let Some(weight) = flags.number("blkio-weight")? {
        resources.block_io.get_or_insert_default().weight = Some(weight);
    }
    Ok(resources)
}

/// `-1`, `4096`, `10m`, `1.5GB`, as Docker's units package reads memory sizes.
fn bytes(flags: &Flags, name: &str) -> Result<Option<i64>, CliError> {
    let Some(text) = flags.get(name) else { return Ok(None) };
    parse_bytes(text)
        .map(Some)
        .ok_or_else(|| CliError::usage(format!("invalid value for --{name}: {text:?}")))
}

fn parse_bytes(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = lower.split_at(digits.unwrap_or(lower.len()));
    let unit = unit.trim().trim_end_matches('b').trim_end_matches('i');
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * f64::from(2u32).powi(shift);
    (value < 9.0e18).then_some(value as i64)
}

/// What an absent value leaves as it was.
fn merge(old: &mut LinuxResources, new: LinuxResources) {
    fn take<T>(old: &mut Option<T>, new: Option<T>) {
        if new.is_some() {
            *old = new;
        }
    }
    if let Some(cpu) = new.cpu {
        let old = old.cpu.get_or_insert_default();
        take(&mut old.period, cpu.period);
        take(&mut old.quota, cpu.quota);
        take(&mut old.burst, cpu.burst);
        take(&mut old.shares, cpu.shares);
        take(&mut old.realtime_period, cpu.realtime_period);
        take(&mut old.realtime_runtime, cpu.realtime_runtime);
        take(&mut old.cpus, cpu.cpus);
        take(&mut old.mems, cpu.mems);
        take(&mut old.idle, cpu.idle);
    }
    if let Some(memory) = new.memory {
        let old = old.memory.get_or_insert_default();
        take(&mut old.kernel, memory.kernel);
        take(&mut old.kernel_tcp, memory.kernel_tcp);
        take(&mut old.limit, memory.limit);
        take(&mut old.reservation, memory.reservation);
        take(&mut old.swap, memory.swap);
    }
    take(&mut old.pids, new.pids);
    take(&mut old.block_io, new.block_io);
    old.unified.extend(new.unified);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, value) in
            [("-1", -1), ("4096", 4096), ("10m", 10 << 20), ("1.5GB", 3 << 29), ("2KiB", 2048)]
        {
            assert_eq!(parse_bytes(text), Some(value), "{text}");
        }
        for text in ["", "x", "-5", "1q", "9999999999p"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }
}

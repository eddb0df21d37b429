//! `events`: resource use every few seconds, and out-of-memory events, one JSON document a line in runc's shape.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::flags::{Flag, parse};
use super::super::record::Record;
use super::super::{CliError, Global, Outcome};
use super::only_id;
use crate::cgroup::{BlkioEntry, Usage};

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(&[Flag::value("interval"), Flag::switch("stats")], &mut args)?;
    let record = Record::load(global, &only_id("events", &args)?)?;
    let interval = interval(flags.get("interval").unwrap_or("5s"))?;
    if !record.is_alive() {
        return Err(CliError::State(format!("container with id {} is not running", record.id)));
    }
    let group = record.cgroup()?;
    let document = |kind: &str, data: Option<Value>| {
        let mut document = json!({"type": kind, "id": record.id});
        if let Some(data) = data {
            document["data"] = data;
        }
        super::print_json(&document);
    };
    if flags.has("stats") {
        document("stats", Some(stats(&group.usage().map_err(CliError::Cgroup)?)));
        return Ok(0);
    }
    let mut kills = group.oom_kills().map_err(CliError::Cgroup)?;
    let init = sys::pidfd::open(record.init_process_pid)
        .map_err(CliError::kernel("open the container's process"))?;
    let limit = rustix::event::Timespec {
        tv_sec: interval.as_secs().cast_signed(),
        tv_nsec: interval.subsec_nanos().into(),
    };
    while record.is_alive() {
        let mut wanted = [rustix::event::PollFd::new(&init, rustix::event::PollFlags::IN)];
        if rustix::event::poll(&mut wanted, Some(&limit)) != Ok(0) {
            break;
        }
        let now = group.oom_kills().map_err(CliError::Cgroup)?;
        if now > kills {
            document("oom", None);
        }
        kills = now;
        document("stats", Some(stats(&group.usage().map_err(CliError::Cgroup)?)));
    }
    Ok(0)
}

/// Go's durations, as far as they make sense here.
fn interval(text: &str) -> Result<Duration, CliError> {
    let wrong = || CliError::usage(format!("invalid duration {text:?}"));
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let found = units.iter().find_map(|(unit, factor)| {
        text.strip_suffix(unit)?.parse::<f64>().ok().map(|number| number * factor)
    });
    match found {
        Some(seconds) if seconds > 0.0 && seconds < 1.0e9 => Ok(Duration::from_secs_f64(seconds)),
        Some(_) => Err(CliError::usage("duration interval must be greater than 0")),
        None => Err(wrong()),
    }
}

fn entries(list: &[BlkioEntry]) -> Value {
    let entry = |entry: &BlkioEntry| json!({"major": entry.major, "minor": entry.minor, "op": entry.operation, "value": entry.value});
    list.iter().map(entry).collect()
}

fn stats(usage: &Usage) -> Value {
    let (cpu, memory) = (&usage.cpu, &usage.memory);
    let hugetlb = usage.hugetlb.iter().map(|(size, use_)| {
        let value = json!({"usage": use_.usage, "max": use_.max_usage, "failcnt": use_.failcnt});
        (size.clone(), value)
    });
    json!({
        "cpu": {
            "usage": {
                "total": cpu.total_ns,
                "percpu": cpu.per_cpu_ns,
                "kernel": cpu.system_ns,
                "user": cpu.user_ns,
            },
            "throttling": {
                "periods": cpu.periods,
                "throttledPeriods": cpu.throttled_periods,
                "throttledTime": cpu.throttled_ns,
            },
        },
        "memory": {
            "usage": {
                "limit": memory.limit.unwrap_or(u64::MAX),
                "usage": memory.usage,
                "max": memory.max_usage,
                "failcnt": memory.failcnt.unwrap_or(0),
            },
            "swap": {
                "limit": memory.swap_limit.unwrap_or(0),
                "usage": memory.swap_usage,
                "failcnt": 0,
            },
            "raw": memory.stat,
        },
        "pids": {"current": usage.pids.current, "limit": usage.pids.limit},
        "blkio": {
            "ioServiceBytesRecursive": entries(&usage.io_service_bytes),
            "ioServicedRecursive": entries(&usage.io_serviced),
        },
        "hugetlb": hugetlb.collect::<serde_json::Map<_, _>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(interval("5s").expect("parses"), Duration::from_secs(5));
        assert_eq!(interval("100ms").expect("parses"), Duration::from_millis(100));
        for bad in ["5", "0s", "-1s", "x"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}

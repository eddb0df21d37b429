//! `update`: change the limits of containers.

use serde_json::Value as Json;

use super::{container_path, each};
use crate::cli::container::body::{Object, restart_policy};
use crate::cli::error::CliError;
use crate::cli::flags::{Arity, Flag, Kind, Matches, command};
use crate::cli::format::units;
use crate::cli::link::Query;

static FLAGS: &[Flag] = &[
    Flag::new("blkio-weight", Kind::Uint16, "Relative weight of block I/O, 10 to 1000, 0 for none")
        .default("0"),
    Flag::new("cpu-period", Kind::Int, "Period of the processor quota, in microseconds")
        .default("0"),
    Flag::new("cpu-quota", Kind::Int, "Processor time per period, in microseconds").default("0"),
    Flag::new("cpu-rt-period", Kind::Int, "Period of real-time scheduling, in microseconds")
        .default("0"),
    Flag::new("cpu-rt-runtime", Kind::Int, "Real-time scheduling per period, in microseconds")
        .default("0"),
    Flag::new("cpu-shares", Kind::Int, "Relative weight of processor time").short('c').default("0"),
    Flag::new("cpus", Kind::Decimal, "Number of processors, such as 1.5"),
    Flag::text("cpuset-cpus", "Processors that may be used (0-3 or 0,1)"),
    Flag::text("cpuset-mems", "Memory nodes that may be used (0-3 or 0,1)"),
    Flag::new("kernel-memory", Kind::Bytes, "Limit of kernel memory").default("0").hidden(),
    Flag::new("memory", Kind::Bytes, "Limit of memory").short('m').default("0"),
    Flag::new("memory-reservation", Kind::Bytes, "Memory to keep when it gets short").default("0"),
    Flag::new("memory-swap", Kind::SignedBytes, "Limit of memory and swap together, -1 for none")
        .default("0"),
    Flag::new("pids-limit", Kind::Int, "Limit of processes, -1 for none").default("0"),
    Flag::text("restart", "What happens when it ends: no, on-failure[:N], always, unless-stopped"),
];

command! {
    /// Change the limits or the restart policy of one or more containers.
    pub static UPDATE = {
        usage: "[OPTIONS] CONTAINER [CONTAINER...]",
        flags: &[FLAGS],
        arity: Arity::AtLeast(1),
        run: |cx, m| Box::pin(async move {
            if !FLAGS.iter().any(|flag| flag.alias_of.is_empty() && m.given(flag.long)) {
                return Err(CliError::invalid("you must provide one or more flags when using this command"));
            }
            let link = cx.link()?;
            let body = &body(m)?;
            each(m.args(), async |name| {
                let reply = link.post(&container_path(name, "/update"), &Query::new(), Some(body)).await?;
                for warning in reply["Warnings"].as_array().into_iter().flatten() {
                    eprintln!("{}", warning.as_str().unwrap_or(""));
                }
                Ok(Some(name.to_owned()))
            }).await
        }),
    }
}

fn body(m: &Matches) -> Result<Json, CliError> {
    let mut body = Object::default();
    for (flag, key) in [
        ("blkio-weight", "BlkioWeight"),
        ("cpu-period", "CpuPeriod"),
        ("cpu-quota", "CpuQuota"),
        ("cpu-rt-period", "CpuRealtimePeriod"),
        ("cpu-rt-runtime", "CpuRealtimeRuntime"),
        ("cpu-shares", "CpuShares"),
    ] {
        body.number(key, m.int(flag));
    }
    for (flag, key) in [
        ("memory", "Memory"),
        ("memory-reservation", "MemoryReservation"),
        ("memory-swap", "MemorySwap"),
        ("kernel-memory", "KernelMemory"),
    ] {
        body.number(key, m.bytes(flag));
    }
    body.text("CpusetCpus", m.text("cpuset-cpus"));
    body.text("CpusetMems", m.text("cpuset-mems"));
    if m.given("cpus") {
        body.number("NanoCpus", units::parse_nano_cpus(m.text("cpus")).map_err(CliError::invalid)?);
    }
    if m.given("pids-limit") {
        body.set("PidsLimit", m.int("pids-limit"));
    }
    if m.given("restart") {
        body.set("RestartPolicy", restart_policy(m.text("restart"))?);
    }
    Ok(Json::Object(body.0))
}

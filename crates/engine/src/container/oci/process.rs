//! The process part: command line, environment, working directory, limits.

use model::resources::Ulimit;
use runtime::spec::Rlimit;

use super::super::Record;
use crate::{Error, Result};

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Program and arguments.
pub fn arguments(record: &Record) -> Vec<String> {
    let (path, rest) = record.command();
    std::iter::once(path).chain(rest).collect()
}

/// PATH, HOSTNAME and (with a terminal) TERM first, then what image and request say.
/// HOME is filled in by the runtime, which sees the container's passwd.
pub fn environment(record: &Record, host_name: &str) -> Vec<String> {
    let mut defaults = vec![DEFAULT_PATH.to_owned()];
    if !host_name.is_empty() {
        defaults.push(format!("HOSTNAME={host_name}"));
    }
    if record.spec.process.tty {
        defaults.push("TERM=xterm".to_owned());
    }
    let mut merged = super::super::merge::environment(&defaults, &record.spec.process.env);
    // A name without value asks for removal; nothing of it reaches the process.
    merged.retain(|entry| entry.contains('='));
    merged
}

/// Absolute, `/` where nothing is said.
pub fn working_dir(record: &Record) -> String {
    match record.spec.process.working_dir.as_deref() {
        None | Some("") => "/".to_owned(),
        Some(path) => path.to_owned(),
    }
}

/// Own limits, then the engine's for names that aren't set.
pub fn limits(own: &[Ulimit], defaults: &[Ulimit]) -> Result<Vec<Rlimit>> {
    let missing = defaults.iter().filter(|d| !own.iter().any(|o| o.name == d.name));
    own.iter().chain(missing).map(limit).collect()
}

fn limit(limit: &Ulimit) -> Result<Rlimit> {
    const NAMES: [&str; 16] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    if !NAMES.contains(&limit.name.as_str()) {
        return Err(Error::Invalid(format!("invalid ulimit type: {}", limit.name)));
    }
    let value = |number: i64| u64::try_from(number).unwrap_or(u64::MAX);
    if limit.hard >= 0 && (limit.soft < 0 || limit.soft > limit.hard) {
        return Err(Error::Invalid(format!(
            "ulimit soft limit must be less than or equal to hard limit: {} > {}",
            limit.soft, limit.hard
        )));
    }
    Ok(Rlimit {
        kind: format!("RLIMIT_{}", limit.name.to_uppercase()),
        hard: value(limit.hard),
        soft: value(limit.soft),
    })
}

//! Timing and counting.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::Result;

/// Durations of one side, sorted.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub fn minimum(&self) -> Duration {
        self.0[0]
    }
}

/// Runs both sides in turn `count` times after one warm-up each.
pub fn interleaved(
    count: usize,
    mut ours: impl FnMut() -> Result,
    mut theirs: impl FnMut() -> Result,
) -> Result<(Times, Times)> {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for round in 0..=count {
        let (mine, peer) = (timed(&mut ours)?, timed(&mut theirs)?);
        if round > 0 {
            own.push(mine);
            other.push(peer);
        }
    }
    own.sort_unstable();
    other.sort_unstable();
    Ok((Times(own), Times(other)))
}

/// How long one call takes.
pub fn timed(work: &mut impl FnMut() -> Result) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// Runs a command silently; failure is an error with what it said.
pub fn quiet(command: &mut Command) -> Result {
    output(command).map(drop)
}

/// Runs a command and gives its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?}: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Private memory of a process in KiB (smaps_rollup: private clean + dirty).
pub fn private_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .filter(|line| line.starts_with("Private_"))
        .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .sum()
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Process ids whose command line contains every one of `words`.
pub fn pids_with(words: &[&str]) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let text = String::from_utf8_lossy(&command).replace('\0', " ");
            words.iter().all(|word| text.contains(word))
        })
        .collect()
}

/// One line of the result table.
pub struct Row {
    pub what: String,
    pub ratio: String,
    pub ours: String,
    pub theirs: String,
}

impl Row {
    /// A comparison of times.
    pub fn times(what: &str, ours: &Times, theirs: &Times) -> Self {
        let ratio = theirs.median().as_secs_f64() / ours.median().as_secs_f64();
        let shown = |times: &Times| {
            format!(
                "{:.1} ms (min {:.1})",
                milliseconds(times.median()),
                milliseconds(times.minimum())
            )
        };
        Self {
            what: what.to_owned(),
            ratio: format!("{ratio:.1}×"),
            ours: shown(ours),
            theirs: shown(theirs),
        }
    }

    /// A comparison of other figures.
    pub fn figures(
        what: &str,
        ours: f64,
        theirs: Option<f64>,
        unit: &str,
        more_is_better: bool,
    ) -> Self {
        let ratio = theirs.map_or_else(
            || "–".to_owned(),
            |theirs| {
                let ratio = if more_is_better { ours / theirs } else { theirs / ours };
                format!("{ratio:.1}×")
            },
        );
        let shown = |figure: f64| format!("{figure:.1} {unit}");
        Self {
            what: what.to_owned(),
            ratio,
            ours: shown(ours),
            theirs: theirs.map_or_else(|| "not measured".to_owned(), shown),
        }
    }
}

/// Milliseconds with fractions.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Prints rows as a Markdown table, ratio first.
pub fn print_table(title: &str, peer: &str, rows: &[Row]) {
    println!("\n### {title}\n\n| what | better by | cale | {peer} |\n|---|---|---|---|");
    for row in rows {
        println!("| {} | **{}** | {} | {} |", row.what, row.ratio, row.ours, row.theirs);
    }
}

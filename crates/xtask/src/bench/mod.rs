//! Benchmarks against Debian's peers, both sides in one run.
//!
//! `cargo xtask bench start` measures what starting costs. Times are medians of interleaved
//! repetitions: the machine's mood meets both sides alike, so ratios hold where absolute times
//! don't. Results are printed as the table that `docs/performance.md` shows.

mod measure;
mod peers;
mod start;

use crate::Result;

/// `bench NAME [--quick]`
pub fn run(args: &[String]) -> Result {
    let quick = args.iter().any(|arg| arg == "--quick");
    match args.first().map(String::as_str) {
        Some("start") => start::run(quick),
        _ => Err("usage: cargo xtask bench start [--quick]".to_owned()),
    }
}

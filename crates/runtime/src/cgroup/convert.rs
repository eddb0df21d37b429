//! Values of the specification as the v2 files want them. Pure.

use super::{CgroupError, Result};

/// `cpu.shares` (2 to 262144) as `cpu.weight` (1 to 10000). 0 is "not set".
///
/// Not the straight line of older runtimes, on which the default of 1024 became 39 in
/// place of v2's default 100: the curve goes through (2, 1), (1024, 100) and
/// (262144, 10000), as runc and crun do since 2025 (opencontainers/cgroups #20).
pub(super) fn weight_of_shares(shares: u64) -> Option<u64> {
    match shares {
        0 => None,
        1 | 2 => Some(1),
        262_144.. => Some(10_000),
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            Some(10f64.powf(exponent).ceil() as u64)
        }
    }
}

/// A block I/O weight (10 to 1000) as `io.weight` (1 to 10000).
pub(super) fn io_weight_of_blkio(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9999 / 990
}

/// The specification's "memory and swap together" as v2's swap alone, in bytes; `None`
/// leaves it. -1 is unlimited in and out.
///
/// # Errors
/// [`CgroupError::Invalid`] if a swap limit comes without a memory limit, or is below it.
pub(super) fn swap_alone(both: i64, memory: Option<i64>) -> Result<Option<i64>> {
    let invalid = |reason| CgroupError::Invalid {
        setting: "memory.swap".into(),
        value: both.to_string(),
        reason,
    };
    match (both, memory) {
        // Docker: unlimited memory with swap not set means unlimited swap.
        (0, Some(-1)) => Ok(Some(-1)),
        (0, _) => Ok(None),
        (-1, _) => Ok(Some(-1)),
        (..-1, _) => Err(invalid("is negative")),
        (_, None | Some(..=0)) => Err(invalid("needs a memory limit")),
        (both, Some(memory)) if both < memory => Err(invalid("is below the memory limit")),
        (both, Some(memory)) => Ok(Some(both - memory)),
    }
}

/// -1 (and less) as `max`.
pub(super) fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// A pids limit, where 0 is unlimited too.
pub(super) fn pids_max(limit: i64) -> String {
    if limit <= 0 { "max".into() } else { limit.to_string() }
}

/// `cpu.max` from new values and the current line (`max 100000`): what isn't given stays.
pub(super) fn cpu_max(quota: Option<i64>, period: Option<u64>, current: &str) -> String {
    let (old_quota, old_period) = current.trim().split_once(' ').unwrap_or(("max", "100000"));
    let quota = match quota {
        None | Some(0) => old_quota.to_owned(),
        Some(quota) => or_max(quota),
    };
    match period {
        None | Some(0) => format!("{quota} {old_period}"),
        Some(period) => format!("{quota} {period}"),
    }
}

/// Block I/O weights are the same on v1 and v2; the kernel alone would round some.
///
/// # Errors
/// [`CgroupError::Invalid`].
pub(super) fn check_weight(setting: &str, weight: u16) -> Result<()> {
    if (10..=1000).contains(&weight) {
        return Ok(());
    }
    Err(CgroupError::Invalid {
        setting: setting.into(),
        value: weight.to_string(),
        reason: "is not between 10 and 1000",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_go_through_three_points() {
        let weights = [0, 1, 2, 512, 1024, 2048, 262_144, u64::MAX].map(weight_of_shares);
        let expected =
            [None, Some(1), Some(1), Some(59), Some(100), Some(174), Some(10_000), Some(10_000)];
        assert_eq!(weights, expected);
    }

    #[test]
    fn io_weights_span_the_range() {
        assert_eq!([10, 500, 1000].map(io_weight_of_blkio), [1, 4950, 10_000]);
        assert!(check_weight("w", 9).is_err() && check_weight("w", 10).is_ok());
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        assert_eq!(swap_alone(300, Some(100)).unwrap(), Some(200));
        assert_eq!(swap_alone(100, Some(100)).unwrap(), Some(0));
        assert_eq!(swap_alone(-1, Some(100)).unwrap(), Some(-1));
        assert_eq!(swap_alone(0, Some(-1)).unwrap(), Some(-1));
        assert_eq!(swap_alone(0, Some(100)).unwrap(), None);
        for (both, memory) in [(100, None), (100, Some(-1)), (50, Some(100)), (-2, Some(1))] {
            assert!(swap_alone(both, memory).is_err(), "{both} {memory:?}");
        }
    }

    #[test]
    fn cpu_max_keeps_what_is_not_given() {
        assert_eq!(cpu_max(Some(50_000), None, "max 100000\n"), "50000 100000");
        assert_eq!(cpu_max(None, Some(20_000), "5000 100000\n"), "5000 20000");
        assert_eq!(cpu_max(Some(-1), Some(20_000), "5000 100000\n"), "max 20000");
    }
}

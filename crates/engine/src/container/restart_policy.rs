//! Shall it run again, and when? Pure.
//!
//! Docker's numbers: 100 ms after the first exit, doubling up to a minute, from the start again
//! after ten seconds of running.

use std::time::Duration;

use model::container::RestartPolicy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(60);
const GOOD_RUN: Duration = Duration::from_secs(10);

/// How a run ended, as far as policy cares.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// How long it lasted.
    pub lasted: Duration,
    /// Exit code.
    pub exit_code: i64,
    /// Somebody asked for the end.
    pub by_hand: bool,
    /// Restarts so far, since the last start by hand.
    pub restarts: u32,
}

/// The delay before the next start, growing with each one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// `None`: it stays down. `Some`: it is started after this long.
    pub fn after(&mut self, policy: RestartPolicy, run: Run) -> Option<Duration> {
        if run.lasted >= GOOD_RUN {
            self.last = None;
        }
        let again = match policy {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => !run.by_hand,
            RestartPolicy::OnFailure { max_retries } => {
                !run.by_hand
                    && run.exit_code != 0
                    && (max_retries == 0 || run.restarts < max_retries)
            }
        };
        if !again {
            self.last = None;
            return None;
        }
        let delay = self.last.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.last = Some(delay);
        Some(delay)
    }
}

/// Whether a container that doesn't run is started when the engine starts. `was_running`: it ran
/// when it was last seen, and nobody saw how it ended.
pub fn revive(policy: RestartPolicy, by_hand: bool, exit_code: i64, was_running: bool) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always => true,
        RestartPolicy::UnlessStopped => !by_hand,
        RestartPolicy::OnFailure { .. } => !by_hand && was_running && exit_code != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(exit_code: i64, seconds: u64, restarts: u32) -> Run {
        Run { lasted: Duration::from_secs(seconds), exit_code, by_hand: false, restarts }
    }

    #[test]
    fn delays_double_up_to_a_minute_and_start_over() {
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        for _ in 0..12 {
            delays.push(backoff.after(RestartPolicy::Always, run(0, 0, 0)).unwrap().as_millis());
        }
        assert_eq!(&delays[..3], [100, 200, 400]);
        assert_eq!(delays[11], 60_000);
        assert_eq!(backoff.after(RestartPolicy::Always, run(0, 10, 0)), Some(FIRST));
    }

    #[test]
    fn failures_count() {
        let policy = RestartPolicy::OnFailure { max_retries: 2 };
        let mut backoff = Backoff::default();
        assert_eq!(backoff.after(policy, run(0, 0, 0)), None);
        assert!(backoff.after(policy, run(1, 0, 1)).is_some());
        assert_eq!(backoff.after(policy, run(1, 0, 2)), None);
    }

    #[test]
    fn a_stop_by_hand_holds() {
        let stopped = Run { by_hand: true, ..run(137, 5, 0) };
        for policy in [RestartPolicy::Always, RestartPolicy::UnlessStopped] {
            assert_eq!(Backoff::default().after(policy, stopped), None);
        }
        assert!(revive(RestartPolicy::Always, true, 0, false));
        assert!(!revive(RestartPolicy::UnlessStopped, true, 0, false));
    }
}

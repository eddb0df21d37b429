//! Trying again: only what may succeed, a bounded number of times, further and further apart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Tries of one transfer, the first included.
pub(crate) const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Runs `work` until it succeeds, fails for good, or the attempts are used up.
pub(crate) async fn transient<T, F>(mut work: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        match work().await {
            Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                pause(attempt, &error).await;
                attempt += 1;
            }
            done => return done,
        }
    }
}

/// Waits before the next try.
pub(crate) async fn pause(attempt: u32, error: &Error) {
    let longest = LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.saturating_pow(attempt - 1));
    let wait = jittered(longest);
    tracing::debug!(attempt, ?wait, %error, "trying again");
    tokio::time::sleep(wait).await;
}

/// Between half and all of `longest`, so that many clients don't come back at once. The clock's last
/// digits are random enough for that.
fn jittered(longest: Duration) -> Duration {
    let nanoseconds =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    longest / 2 + longest / 2 * (nanoseconds % 1000) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_in_bounds() {
        for _ in 0..100 {
            let wait = jittered(FIRST_PAUSE);
            assert!(wait >= FIRST_PAUSE / 2 && wait <= FIRST_PAUSE);
        }
    }
}

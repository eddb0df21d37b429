//! Timestamps of log records: nanoseconds since the epoch, written as RFC 3339 with nine digits of fraction.
//!
//! Go's `RFC3339Nano`, which Docker writes, drops trailing zeros of the fraction. [`Clock`] never gives a time whose last digit is zero, so
//! ours have a constant width *and* are what Go would write. The constant width makes a record that is written again after
//! a crash exactly as long as the first time: a follower in the middle of the file doesn't notice.

use std::time::{SystemTime, UNIX_EPOCH};

/// Width of a formatted time.
pub(crate) const WIDTH: usize = 30;

const DAY_S: i64 = 86_400;

/// Gives strictly increasing times, also when the machine's clock is set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    last_ns: i64,
}

impl Clock {
    /// A clock that continues after `last_ns`.
    pub fn after(last_ns: i64) -> Self {
        Clock { last_ns }
    }

    /// The next time: `now_ns`, or just after the last one given.
    pub fn tick(&mut self, now_ns: i64) -> i64 {
        let mut next = now_ns.max(self.last_ns + 1);
        if next % 10 == 0 {
            next += 1;
        }
        self.last_ns = next;
        next
    }

    /// The last time given.
    pub fn last_ns(self) -> i64 {
        self.last_ns
    }
}

/// The machine's time of day.
pub(crate) fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// `2026-11-23T08:03:36.123456789Z`. Times before 1970 or after 9999 are clamped: no log is from there.
pub(crate) fn format(time_ns: i64) -> [u8; WIDTH] {
    let time_ns = time_ns.max(0);
    let (seconds, nanos) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    let (year, month, day) = civil_from_days(seconds / DAY_S);
    let second = seconds % DAY_S;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    for (at, len, value) in [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second / 3600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
        (20, 9, nanos),
    ] {
        let mut rest = value;
        for digit in text[at..at + len].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
    }
    text
}

/// Days since 1970 to year, month, day in the proleptic Gregorian calendar (eras of 400 years that start on 1 March).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year.clamp(0, 9999), month, day)
}

/// Reads any RFC 3339 time.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_an_independent_library_does() {
        let mut time_ns = 1;
        while time_ns < 4_000_000_000_000_000_000 {
            let text = String::from_utf8(format(time_ns).to_vec()).unwrap();
            let reference = jiff::Timestamp::from_nanosecond(time_ns.into()).unwrap();
            assert_eq!(text, format!("{reference:.9}"));
            assert_eq!(parse(&text), Some(time_ns));
            time_ns += 86_399_123_456_789 * 29;
        }
    }

    #[test]
    fn the_clock_only_goes_forward_and_never_ends_in_zero() {
        let mut clock = Clock::default();
        assert_eq!(clock.tick(100), 101);
        assert_eq!(clock.tick(100), 102);
        assert_eq!(clock.tick(50), 103);
        assert_eq!(clock.tick(109), 109);
        assert_eq!(clock.tick(10), 111);
        assert_eq!(clock.tick(2000), 2001);
        assert_eq!(Clock::after(2001).tick(0), 2002);
    }
}

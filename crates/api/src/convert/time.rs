//! Times as the Engine API writes and reads them.

use jiff::{SignedDuration, Timestamp, Zoned, civil, tz::TimeZone};

use super::{Refusal, Result};
use crate::wire::ZERO_TIME;

const NANOS: i128 = 1_000_000_000;

/// Go's RFC3339Nano in UTC: trailing zeros of the fraction are left out. `None`: Go's zero time.
pub fn rfc3339_nano(time_ns: Option<i64>) -> String {
    match time_ns.and_then(|ns| Timestamp::from_nanosecond(i128::from(ns)).ok()) {
        Some(time) => time.to_string(),
        None => ZERO_TIME.to_owned(),
    }
}

/// Whole seconds since the epoch.
pub fn unix_seconds(time_ns: i64) -> i64 {
    time_ns.div_euclid(NANOS as i64)
}

/// Reads `since` and `until`: unix seconds with an optional fraction, RFC 3339 with less and less
/// precision (local zone where none is given), or a Go duration before `now_ns`.
pub fn parse_timestamp(text: &str, now_ns: i64) -> Result<i64> {
    let invalid = || Refusal::new(format!("failed to parse value as time or duration: {text:?}"));
    if let Some(ns) = unix_text(text) {
        return Ok(ns);
    }
    if let Some(duration) = go_duration(text) {
        return Ok(now_ns.saturating_sub(duration));
    }
    let ns = calendar(text).ok_or_else(invalid)?;
    i64::try_from(ns).map_err(|_| invalid())
}

/// `1136073845`, `1136073845.000000001`, also negative.
fn unix_text(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole.strip_prefix('-').unwrap_or(whole)) || !digits(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let fraction = format!("{fraction:0<9}");
    let nanos: i64 = fraction.get(..9)?.parse().ok()?;
    seconds.checked_mul(NANOS as i64)?.checked_add(nanos)
}

/// `1h30m`, `10.5s`, `100ms`: nanoseconds.
pub(crate) fn go_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let (unit, len) = match rest.as_bytes() {
            [b'n', b's', ..] => (1.0, 2),
            [b'u', b's', ..] => (1e3, 2),
            [b'm', b's', ..] => (1e6, 2),
            [b's', ..] => (1e9, 1),
            [b'm', ..] => (60e9, 1),
            [b'h', ..] => (3600e9, 1),
            _ => return None,
        };
        total += number * unit;
        rest = &rest[len..];
    }
    (total < i64::MAX as f64).then_some(sign * total as i64)
}

fn calendar(text: &str) -> Option<i128> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_nanosecond());
    }
    // `2006-01-02Z07:00` and shorter times with a zone: complete them.
    let (body, zone) = match text
        .find(['Z', '+'])
        .or_else(|| text.rfind('-').filter(|at| text.contains('T') && *at > 10))
    {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let padded = match body.len() {
        10 => format!("{body}T00:00:00"),
        13 => format!("{body}:00:00"),
        16 => format!("{body}:00"),
        _ => body.to_owned(),
    };
    if zone.is_empty() {
        let local: civil::DateTime = padded.parse().ok()?;
        let zoned: Zoned = local.to_zoned(TimeZone::system()).ok()?;
        return Some(zoned.timestamp().as_nanosecond());
    }
    let time: Timestamp = format!("{padded}{zone}").parse().ok()?;
    Some(time.as_nanosecond())
}

/// A duration in Go's text form, as error messages have it.
pub(crate) fn go_duration_text(duration: SignedDuration) -> String {
    let ns = duration.as_nanos();
    match ns {
        0 => "0s".to_owned(),
        ns if ns % 1_000_000_000 == 0 => format!("{}s", ns / 1_000_000_000),
        ns if ns % 1_000_000 == 0 => format!("{}ms", ns / 1_000_000),
        ns => format!("{ns}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_in_go() {
        assert_eq!(rfc3339_nano(None), "0001-01-01T00:00:00Z");
        assert_eq!(rfc3339_nano(Some(1_700_000_000_120_000_000)), "2023-11-14T22:13:20.12Z");
        assert_eq!(rfc3339_nano(Some(0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn times_read_in_every_form() {
        let now = 1_000_000_000_000;
        let read = |text: &str| parse_timestamp(text, now);
        assert_eq!(read("1136073845"), Ok(1_136_073_845_000_000_000));
        assert_eq!(read("1136073845.5"), Ok(1_136_073_845_500_000_000));
        assert_eq!(read("1136073845.000000001"), Ok(1_136_073_845_000_000_001));
        assert_eq!(read("10m"), Ok(now - 600_000_000_000));
        assert_eq!(read("1h30m10.5s"), Ok(now - 5_410_500_000_000));
        assert_eq!(read("2006-01-02T15:04:05Z"), Ok(1_136_214_245_000_000_000));
        assert_eq!(read("2006-01-02T15:04Z"), Ok(1_136_214_240_000_000_000));
        assert_eq!(read("2006-01-02T15:04:05.5+01:00"), Ok(1_136_210_645_500_000_000));
        assert_eq!(read("2006-01-02T15:04:05-01:00"), Ok(1_136_217_845_000_000_000));
        assert!(read("2006-01-02").is_ok());
        assert!(read("2006-01-02T15:04:05").is_ok());
        for bad in ["", "x", "1h30", "yesterday", "1.2.3"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

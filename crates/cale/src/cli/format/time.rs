//! Instants: what users type for `--since`, and what tables show.

use jiff::{Timestamp, Zoned, civil, tz::TimeZone};

use super::units;

/// Reads `--since`/`--until`: seconds since the epoch, RFC 3339 with or without zone or time, or a
/// Go duration meaning that long ago. The result is what the API takes: `seconds.nanoseconds`.
///
/// # Errors
/// A sentence with the text that can't be read.
pub fn api_timestamp(text: &str, now: Timestamp) -> Result<String, String> {
    let print = |t: Timestamp| format!("{}.{:09}", t.as_second(), t.subsec_nanosecond());
    if text.is_empty() {
        return Ok(String::new());
    }
    if let Ok(ns) = units::parse_duration_ns(text) {
        let then = now.as_nanosecond() - i128::from(ns);
        return Timestamp::from_nanosecond(then).map(print).map_err(|e| e.to_string());
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(print(instant));
    }
    if let Ok(local) = text.parse::<civil::DateTime>().or_else(|_| {
        text.parse::<civil::Date>().map(|date| date.to_datetime(civil::Time::midnight()))
    }) {
        let zoned = local.to_zoned(TimeZone::system()).map_err(|e| e.to_string())?;
        return Ok(print(zoned.timestamp()));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !whole.is_empty() && digits(whole.trim_start_matches('-')) && digits(fraction) {
        return Ok(if fraction.is_empty() {
            whole.to_owned()
        } else {
            format!("{whole}.{fraction:0<9.9}")
        });
    }
    Err(format!("failed to parse value as time or duration: {text:?}"))
}

/// Go's `2006-01-02 15:04:05 -0700 MST` in the local zone, as tables show creation times.
pub fn local_go(seconds: i64) -> String {
    let Ok(instant) = Timestamp::from_second(seconds) else { return String::new() };
    let zoned = Zoned::new(instant, TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// Reads the engine's RFC 3339 timestamps; Go's zero time and nonsense give `None`.
pub fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().filter(|t| t.as_second() > -62_135_596_800)
}

/// How long ago, in words, without "ago".
pub fn age(seconds: i64, now: Timestamp) -> String {
    units::human_duration(now.as_second() - seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_many_forms() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("valid");
        let read = |text| api_timestamp(text, now);
        assert_eq!(read("5s").as_deref(), Ok("1767323040.000000000"));
        assert_eq!(read("1767323040").as_deref(), Ok("1767323040"));
        assert_eq!(read("1767323040.5").as_deref(), Ok("1767323040.500000000"));
        assert_eq!(read("2026-01-02T03:04:00Z").as_deref(), Ok("1767323040.000000000"));
        assert_eq!(read("2026-01-02T03:04:00+00:00").as_deref(), Ok("1767323040.000000000"));
        assert!(read("yesterday").is_err());
    }
}

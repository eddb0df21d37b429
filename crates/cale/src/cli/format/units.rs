//! Sizes, durations and counts in the forms that Docker's users read and type.

/// Decimal size with four digits of precision, as in `docker images`: `7.81MB`.
pub fn human_size(bytes: f64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], 4)
}

/// Decimal size with three digits of precision, as in `docker ps -s`: `1.09kB`.
pub fn human_size_short(bytes: f64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], 3)
}

/// Binary size with four digits of precision, as in `docker stats`: `1.945MiB`.
pub fn binary_size(bytes: f64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"], 4)
}

fn scaled(mut size: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    // The sum of nothing is minus zero.
    size += 0.0;
    while size >= base && unit + 1 < units.len() {
        size /= base;
        unit += 1;
    }
    format!("{}{}", significant(size, digits), units[unit])
}

/// Go's `%.Ng`: N significant digits, no trailing zeros, an exponent when the number is larger.
pub fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs());
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A rough age: `3 minutes`, `About an hour`, `2 weeks`.
pub fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0 + 0.5) as i64);
    match seconds {
        s if s < 1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        s if s < 60 => format!("{s} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// Reads a size with an optional decimal fraction and a binary unit: `64m`, `1.5 GiB`, `100`.
///
/// # Errors
/// Docker's words for a wrong size.
pub fn parse_bytes(text: &str) -> Result<i64, String> {
    let wrong = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').ok_or_else(wrong)? + 1;
    let (number, unit) = text.split_at(end);
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    if number < 0.0 || !number.is_finite() {
        return Err(wrong());
    }
    let unit = unit.trim_start().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let shift = match unit.strip_suffix('i').filter(|u| !u.is_empty()).unwrap_or(unit) {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(format!("invalid suffix: '{}'", text[end..].trim_start())),
    };
    Ok((number * (1_i64 << shift) as f64) as i64)
}

/// Reads Go's duration text into nanoseconds: `1h30m`, `1.5s`, `100ms`.
///
/// # Errors
/// Go's words for a wrong duration.
pub fn parse_duration_ns(text: &str) -> Result<i64, String> {
    let wrong = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(|| format!("time: missing unit in duration {text:?}"))?;
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let scale = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += number * scale;
        rest = &rest[end..];
    }
    Ok((sign * total) as i64)
}

/// Reads a number of processors into billionths of one.
///
/// # Errors
/// Docker's words for a wrong number.
pub fn parse_nano_cpus(text: &str) -> Result<i64, String> {
    let wrong = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if (whole.is_empty() && fraction.is_empty())
        || !whole.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit())
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(wrong());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let negative = whole.starts_with('-');
    let digits = whole.trim_start_matches(['+', '-']);
    let whole: i64 = if digits.is_empty() { 0 } else { digits.parse().map_err(|_| wrong())? };
    let nanos: i64 = format!("{fraction:0<9}").parse().map_err(|_| wrong())?;
    let total = whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(nanos));
    total.map(|n| if negative { -n } else { n }).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_prints_them() {
        for (bytes, text) in [
            (0.0, "0B"),
            (999.0, "999B"),
            (1000.0, "1kB"),
            (7_806_539.0, "7.807MB"),
            (123_456_789.0, "123.5MB"),
            (1_999_999.0, "2MB"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
        assert_eq!(human_size_short(7_806_539.0), "7.81MB");
        assert_eq!(binary_size(2_039_808.0), "1.945MiB");
    }

    #[test]
    fn ages_as_docker_prints_them() {
        for (seconds, text) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (61, "About a minute"),
            (180, "3 minutes"),
            (3600, "About an hour"),
            (3 * 3600, "3 hours"),
            (50 * 3600, "2 days"),
            (15 * 24 * 3600, "2 weeks"),
            (90 * 24 * 3600, "3 months"),
            (800 * 24 * 3600, "2 years"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn typed_sizes() {
        assert_eq!(parse_bytes("64m"), Ok(64 << 20));
        assert_eq!(parse_bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("100"), Ok(100));
        assert_eq!(parse_bytes("32 kB"), Ok(32 << 10));
        assert_eq!(parse_bytes("foo"), Err("invalid size: 'foo'".to_owned()));
        assert!(parse_bytes("5x").is_err());
    }

    #[test]
    fn typed_durations() {
        for (text, ns) in [("1h30m0s", 5400 * 1_000_000_000), ("1.5s", 1_500_000_000), ("0s", 0)] {
            assert_eq!(parse_duration_ns(text), Ok(ns));
        }
        assert!(parse_duration_ns("5").is_err());
        assert!(parse_duration_ns("5y").is_err());
    }

    #[test]
    fn processors() {
        assert_eq!(parse_nano_cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(parse_nano_cpus(".5"), Ok(500_000_000));
        assert!(parse_nano_cpus("0.0000000001").is_err());
        assert!(parse_nano_cpus("x").is_err());
    }
}

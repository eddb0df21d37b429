//! Go's duration texts, `1m30s`, as health checks have them.

/// Reads a duration; nanoseconds. Go: time.ParseDuration.
pub fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
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
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * unit;
        rest = &rest[end..];
    }
    let total = if negative { -total } else { total };
    (total.abs() < i64::MAX as f64).then_some(total as i64)
}

/// Writes a duration as Go prints it.
pub fn show(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let n = nanoseconds.unsigned_abs();
    let fraction = |n: u64, unit: u64, name: &str| {
        let text = format!("{}.{:0width$}", n / unit, n % unit, width = unit.ilog10() as usize);
        format!("{sign}{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match n {
        0..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => fraction(n, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(n, 1_000_000, "ms"),
        _ => {
            let seconds = n / 1_000_000_000;
            let (h, m) = (seconds / 3600, seconds / 60 % 60);
            let rest = n - (seconds / 60) * 60_000_000_000;
            let tail = fraction(rest, 1_000_000_000, "s");
            let tail = tail.trim_start_matches('-');
            match (h, m) {
                (0, 0) => format!("{sign}{tail}"),
                (0, m) => format!("{sign}{m}m{tail}"),
                (h, m) => format!("{sign}{h}h{m}m{tail}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_gos() {
        for (text, nanoseconds, shown) in [
            ("30s", 30_000_000_000, "30s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("250ms", 250_000_000, "250ms"),
            ("1500us", 1_500_000, "1.5ms"),
            ("0", 0, "0s"),
            ("-2s", -2_000_000_000, "-2s"),
        ] {
            assert_eq!(parse(text), Some(nanoseconds), "{text}");
            assert_eq!(show(nanoseconds), shown);
        }
        for bad in ["", "1", "s", "1x", "1s2", "1..s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}

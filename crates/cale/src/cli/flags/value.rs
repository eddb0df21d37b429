//! Checks of flag values, with the words that Docker's users and scripts know.

use super::Kind;
use crate::cli::format::units;

/// Checks the text typed for a flag of `kind`.
///
/// # Errors
/// The reason, to be put behind `invalid argument "x" for "--flag" flag: `.
pub fn check(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::List | Kind::Strings | Kind::Fields(_) => Ok(()),
        Kind::Bool => boolean(text).map(drop),
        Kind::Int => integer(text).map(drop),
        Kind::Uint => unsigned(text, u64::MAX),
        Kind::Uint16 => unsigned(text, u64::from(u16::MAX)),
        Kind::Bytes => units::parse_bytes(text).map(drop),
        Kind::SignedBytes if text == "-1" => Ok(()),
        Kind::SignedBytes => units::parse_bytes(text).map(drop),
        Kind::Duration => units::parse_duration_ns(text).map(drop),
        Kind::Decimal => units::parse_nano_cpus(text).map(drop),
        Kind::Map => Ok(()),
        Kind::Filter if text.is_empty() || text.contains('=') => Ok(()),
        Kind::Filter => Err("bad format of filter (expected name=value)".to_owned()),
        Kind::Ulimit => ulimit(text).map(drop),
    }
}

/// Go's spellings of a truth value.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A signed integer, decimal or with a base prefix.
pub fn integer(text: &str) -> Result<i64, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let parsed = match digits.get(..2) {
        Some("0x" | "0X") => i64::from_str_radix(&digits[2..], 16),
        Some("0b" | "0B") => i64::from_str_radix(&digits[2..], 2),
        Some("0o" | "0O") => i64::from_str_radix(&digits[2..], 8),
        _ => digits.parse(),
    };
    parsed.map(|n: i64| sign * n).map_err(|e| {
        let reason = match e.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {reason}")
    })
}

fn unsigned(text: &str, max: u64) -> Result<(), String> {
    match text.parse::<u64>() {
        Ok(n) if n <= max => Ok(()),
        Ok(_) => Err(format!("strconv.ParseUint: parsing {text:?}: value out of range")),
        Err(_) => Err(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")),
    }
}

/// The elements of one comma-separated line; `"` quotes an element that contains commas.
pub fn csv(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let at_start = fields.last().is_some_and(String::is_empty);
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                if let Some(last) = fields.last_mut() {
                    last.push('"');
                }
            }
            '"' if quoted => quoted = false,
            '"' if at_start => quoted = true,
            ',' if !quoted => fields.push(String::new()),
            c => {
                if let Some(last) = fields.last_mut() {
                    last.push(c);
                }
            }
        }
    }
    fields
}

/// A resource limit: name, soft and hard value; -1 is "no limit".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// Name as in `ulimit -a` of the kernel's documentation: `nofile`.
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

const LIMIT_NAMES: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads `name=soft[:hard]`; the hard limit is the soft one if left out.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, limits) = match text.split_once('=') {
        Some((name, limits)) if !limits.is_empty() => (name, limits),
        _ => return Err(format!("invalid ulimit argument: {text}")),
    };
    if !LIMIT_NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (integer(soft)?, integer(hard)?);
    if hard != -1 && (soft == -1 || soft > hard) {
        let shown = if soft == -1 { "unlimited".to_owned() } else { soft.to_string() };
        return Err(format!(
            "ulimit soft limit must be less than or equal to hard limit: {shown} > {hard}"
        ));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_honours_quotes() {
        assert_eq!(csv("a,b"), ["a", "b"]);
        assert_eq!(csv(r#"a,"b,c",d"#), ["a", "b,c", "d"]);
        assert_eq!(csv(r#""say ""x""",y"#), [r#"say "x""#, "y"]);
    }

    #[test]
    fn limits_are_checked() {
        let both = ulimit("nofile=1024:2048").expect("valid");
        assert_eq!((both.soft, both.hard), (1024, 2048));
        assert_eq!(ulimit("core=-1").expect("valid").hard, -1);
        assert!(ulimit("nofile=3:2").is_err());
        assert!(ulimit("bogus=1").is_err());
        assert!(ulimit("nofile").is_err());
    }

    #[test]
    fn integers_take_base_prefixes() {
        assert_eq!(integer("0x10"), Ok(16));
        assert_eq!(integer("-5"), Ok(-5));
        assert!(integer("x").is_err());
    }
}

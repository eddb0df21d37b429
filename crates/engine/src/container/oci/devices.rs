//! Device rules of the control group: what everybody may, and what was asked for.

use runtime::spec::LinuxDeviceCgroup;

use crate::{Error, Result};

/// Rules for a container: everything, or nothing but the usual nodes and `asked`.
pub fn rules(privileged: bool, asked: &[LinuxDeviceCgroup]) -> Vec<LinuxDeviceCgroup> {
    if privileged {
        return vec![rule(true, None, None, None, "rwm")];
    }
    let mut rules = vec![
        rule(false, None, None, None, "rwm"),
        // Making nodes is bounded by CAP_MKNOD; using them is what the rules below bound.
        rule(true, Some("c"), None, None, "m"),
        rule(true, Some("b"), None, None, "m"),
    ];
    for (major, minor) in [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)] {
        rules.push(rule(true, Some("c"), Some(major), Some(minor), "rwm"));
    }
    rules.push(rule(true, Some("c"), Some(136), None, "rwm"));
    rules.extend_from_slice(asked);
    rules
}

/// One rule.
pub fn rule(
    allow: bool,
    kind: Option<&str>,
    major: Option<i64>,
    minor: Option<i64>,
    access: &str,
) -> LinuxDeviceCgroup {
    LinuxDeviceCgroup {
        allow,
        kind: kind.map(str::to_owned),
        major,
        minor,
        access: Some(access.to_owned()),
    }
}

/// Reads `c 42:* rmw` (`--device-cgroup-rule`).
pub fn parse_rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let invalid = || Error::Invalid(format!("invalid device cgroup rule format: '{text}'"));
    let mut words = text.split(' ');
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(invalid());
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
    let number = |text: &str| match text {
        "*" => Ok(None),
        digits => digits.parse::<u32>().map(|n| Some(i64::from(n))).map_err(|_| invalid()),
    };
    let access_ok = (1..=3).contains(&access.len()) && access.chars().all(|c| "rwm".contains(c));
    if !matches!(kind, "a" | "b" | "c") || !access_ok {
        return Err(invalid());
    }
    Ok(rule(true, Some(kind), number(major)?, number(minor)?, access))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_as_typed() {
        assert_eq!(parse_rule("c 42:* rmw").unwrap(), rule(true, Some("c"), Some(42), None, "rmw"));
        for bad in ["", "c 42 r", "x 1:1 r", "c 1:1 q", "c 1:1 r r", "c a:1 r"] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_is_denied_first() {
        assert!(!rules(false, &[])[0].allow);
        assert_eq!(rules(true, &[]).len(), 1);
    }
}

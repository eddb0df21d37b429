//! Device rules as a policy: who may open which device node. Pure.
//!
//! The rules of a bundle are a sequence in which later ones win; v1 keeps an unordered
//! list of exceptions, and v2 runs a program. Both are made from the same [`Rule`]s.

use crate::spec::LinuxDeviceCgroup;

use super::{CgroupError, Result};

/// Access bits, as `BPF_DEVCG_ACC_*` has them.
pub(super) const MKNOD: u8 = 1;
pub(super) const READ: u8 = 2;
pub(super) const WRITE: u8 = 4;
const ALL: u8 = MKNOD | READ | WRITE;

/// Character or block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block,
    Character,
}

/// A checked rule. `None` matches every kind or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    pub allow: bool,
    pub kind: Option<Kind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: u8,
}

impl Rule {
    /// Whether the rule is about every device and every access.
    pub fn is_total(&self) -> bool {
        self.kind.is_none() && self.access == ALL
    }

    /// A line of `devices.allow` and `devices.deny`.
    pub fn to_line(self) -> String {
        if self.kind.is_none() {
            return "a".into();
        }
        let kind = if self.kind == Some(Kind::Block) { 'b' } else { 'c' };
        let number = |value: Option<u32>| value.map_or("*".into(), |value| value.to_string());
        let mut line = format!("{kind} {}:{} ", number(self.major), number(self.minor));
        for (bit, letter) in [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')] {
            if self.access & bit != 0 {
                line.push(letter);
            }
        }
        line
    }

    /// A line of `devices.list`, an exception (or the default `a *:* rwm`).
    pub fn from_line(line: &str, allow: bool) -> Option<Self> {
        let mut fields = line.split([' ', ':']);
        let kind = kind(fields.next()?)?;
        let mut number = || match fields.next()? {
            "*" => Some(None),
            digits => Some(Some(digits.parse().ok()?)),
        };
        let (major, minor) = (number()?, number()?);
        Some(Self { allow, kind, major, minor, access: access(fields.next()?)? })
    }
}

/// Checks the specification's rules.
///
/// # Errors
/// [`CgroupError::Invalid`] for unknown types, letters and negative numbers.
pub(super) fn rules(list: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>> {
    list.iter().map(rule).collect()
}

fn rule(from: &LinuxDeviceCgroup) -> Result<Rule> {
    let invalid =
        |value: String, reason| CgroupError::Invalid { setting: "devices".into(), value, reason };
    let kind_text = from.kind.as_deref().filter(|text| !text.is_empty()).unwrap_or("a");
    let kind = match kind(kind_text) {
        Some(kind) => kind,
        None => return Err(invalid(kind_text.into(), "is no device type (a, b, c)")),
    };
    let access_text = from.access.as_deref().filter(|text| !text.is_empty()).unwrap_or("rwm");
    let access = match access(access_text) {
        Some(access) => access,
        None => return Err(invalid(access_text.into(), "is no access (r, w, m)")),
    };
    let number = |value: Option<i64>| match value {
        // -1 is how Go programs write "every".
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value)
            .map(Some)
            .map_err(|_| invalid(value.to_string(), "is no device number")),
    };
    // "a" is every device, whatever else the rule says: that is how v1 reads it.
    if kind.is_none() {
        return Ok(Rule { allow: from.allow, kind, major: None, minor: None, access: ALL });
    }
    let (major, minor) = (number(from.major)?, number(from.minor)?);
    Ok(Rule { allow: from.allow, kind, major, minor, access })
}

fn kind(text: &str) -> Option<Option<Kind>> {
    match text {
        "a" => Some(None),
        "b" => Some(Some(Kind::Block)),
        // "u" is mknod(1)'s unbuffered character device, which the specification lists.
        "c" | "u" => Some(Some(Kind::Character)),
        _ => None,
    }
}

fn access(text: &str) -> Option<u8> {
    text.chars().try_fold(0, |bits, letter| match letter {
        'r' => Some(bits | READ),
        'w' => Some(bits | WRITE),
        'm' => Some(bits | MKNOD),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(allow: bool, kind: &str, major: Option<i64>, access: &str) -> LinuxDeviceCgroup {
        LinuxDeviceCgroup {
            allow,
            kind: Some(kind.into()),
            major,
            minor: None,
            access: Some(access.into()),
        }
    }

    #[test]
    fn lines_go_both_ways() {
        let checked = rules(&[spec(true, "c", Some(5), "mr")]).unwrap()[0];
        assert_eq!(checked.to_line(), "c 5:* rm");
        assert_eq!(Rule::from_line("c 5:* rm", true), Some(checked));
        assert_eq!(rules(&[spec(false, "a", None, "rwm")]).unwrap()[0].to_line(), "a");
        assert!(Rule::from_line("a *:* rwm", true).unwrap().is_total());
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in
            [spec(true, "x", None, "r"), spec(true, "c", None, "q"), spec(true, "c", Some(-7), "r")]
        {
            assert!(rules(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
    }
}

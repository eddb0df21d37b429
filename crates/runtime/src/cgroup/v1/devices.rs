//! The v1 device controller: a default and a list of exceptions.

use super::super::Result;
use super::super::device_rules::{Rule, rules};
use super::V1;
use crate::spec::LinuxDeviceCgroup;

impl V1 {
    /// Brings `devices.list` to what the rules say. Of a running container only the
    /// difference is written: denying all for a moment would fail its open calls.
    pub(super) fn apply_devices(&self, list: &[LinuxDeviceCgroup]) -> Result<()> {
        if list.is_empty() {
            return Ok(());
        }
        let dir = self.dir("devices", "devices")?;
        let now = dir.read("devices.list")?;
        for (file, line) in changes(&rules(list)?, &now) {
            dir.set("devices", file, &line)?;
        }
        Ok(())
    }
}

/// `(file, line)` to write, in order.
fn changes(rules: &[Rule], now: &str) -> Vec<(&'static str, String)> {
    let file = |rule: &Rule| if rule.allow { "devices.allow" } else { "devices.deny" };
    let plain = || rules.iter().map(|rule| (file(rule), rule.to_line())).collect();
    let last_total = rules.iter().rposition(Rule::is_total);
    let denied_now = !now.starts_with("a ");
    // The difference is only simple between two allow lists.
    let Some(total) = last_total.filter(|&at| !rules[at].allow && denied_now) else {
        return plain();
    };
    let wanted = &rules[total + 1..];
    if wanted.iter().any(|rule| !rule.allow) {
        return plain();
    }
    let now: Vec<Rule> = now.lines().filter_map(|line| Rule::from_line(line, true)).collect();
    let added = wanted.iter().filter(|rule| !now.contains(rule));
    let mut changes: Vec<_> = added.map(|rule| ("devices.allow", rule.to_line())).collect();
    for old in &now {
        // Denying takes bits from an exception; those that a wanted one has must stay.
        let kept = wanted.iter().filter(|rule| same_devices(rule, old));
        let kept = kept.fold(0, |bits, rule| bits | rule.access);
        let access = old.access & !kept;
        if access != 0 {
            changes.push(("devices.deny", Rule { access, ..*old }.to_line()));
        }
    }
    changes
}

fn same_devices(one: &Rule, other: &Rule) -> bool {
    (one.kind, one.major, one.minor) == (other.kind, other.major, other.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(line: &str, allow: bool) -> Rule {
        Rule::from_line(line, allow).unwrap()
    }

    #[test]
    fn a_fresh_group_gets_the_rules_as_they_are() {
        let rules = [rule("a *:* rwm", false), rule("c 1:3 rwm", true)];
        let expected = [("devices.deny", "a".into()), ("devices.allow", "c 1:3 rwm".into())];
        assert_eq!(changes(&rules, "a *:* rwm\n"), expected);
    }

    #[test]
    fn a_running_one_gets_the_difference() {
        let rules = [rule("a *:* rwm", false), rule("c 1:3 rw", true), rule("c 1:5 rwm", true)];
        assert_eq!(
            changes(&rules, "c 1:3 rwm\nc 1:5 rwm\nb 8:0 r\n"),
            [
                ("devices.allow", "c 1:3 rw".to_owned()),
                ("devices.deny", "c 1:3 m".to_owned()),
                ("devices.deny", "b 8:0 r".to_owned())
            ]
        );
        assert_eq!(changes(&rules, "c 1:3 rw\nc 1:5 rwm\n"), []);
    }
}

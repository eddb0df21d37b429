//! What `/proc/<pid>/stat` says about a process: which one it is, and how it ended while nobody has reaped it.
//!
//! See proc_pid_stat(5).

use std::fs;

/// The fields that the keeper needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Whether it has ended and waits to be reaped.
    pub zombie: bool,
    /// When it started, clock ticks since boot. No two processes have the same pid and start.
    pub start_ticks: u64,
    /// Its status as wait(2) will give it, once it is a zombie (0 for others, and without the right to trace it).
    pub exit_status: i32,
}

/// Reads the fields; `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(line: &str) -> Option<Stat> {
    // The name is in parentheses and may contain anything, parentheses and spaces included.
    let after_name = &line[line.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    let exit_status = fields.nth(29)?.parse().ok()?;
    Some(Stat { zombie: matches!(state, "Z" | "X"), start_ticks, exit_status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let first = stat(pid).unwrap();
        assert!(!first.zombie && first.start_ticks > 0);
        assert_eq!(stat(pid), Some(first));
        assert_eq!(stat(0), None);
    }

    #[test]
    fn a_zombie_shows_its_status() {
        let mut child = std::process::Command::new("sh").args(["-c", "exit 42"]).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let seen = loop {
            let seen = stat(pid).unwrap();
            if seen.zombie {
                break seen;
            }
            std::thread::yield_now();
        };
        assert_eq!(seen.exit_status, 42 << 8);
        child.wait().unwrap();
        assert_eq!(stat(pid), None);
    }

    #[test]
    fn names_may_contain_anything() {
        let mut line = String::from("12 (a) Z (b c) S 3");
        for field in 5..=52 {
            line.push_str(&format!(" {field}"));
        }
        assert_eq!(parse(&line), Some(Stat { zombie: false, start_ticks: 22, exit_status: 52 }));
    }
}

//! Top: the processes of a container, as the host's ps(1) shows them.
//!
//! Docker runs the host's `ps` and picks the lines of the container's processes; so does this,
//! because people pass ps's own options and read its columns. Without options that need it the
//! default table is read from /proc, so that a host without ps works too.

use std::{collections::HashSet, process::Command};

use super::{Containers, Top};
use crate::{Error, Result, blocking, container::start};

impl Containers<'_> {
    /// Its processes; `arguments` as for ps(1), `-ef` where empty.
    pub async fn top(&self, container: &str, arguments: &str) -> Result<Top> {
        let handle = self.engine.registry().find(container)?;
        let snapshot = handle.snapshot();
        if !snapshot.state.is_running() {
            return Err(Error::Conflict(format!("container {} is not running", handle.id)));
        }
        let path = start::group_path(self.engine, &snapshot.record)?;
        let groups = self.engine.groups().clone();
        let arguments = arguments.to_owned();
        blocking::spawn(move || {
            let pids = groups
                .open(&path)
                .and_then(|group| group.pids())
                .map_err(|error| start::group_error("list the processes of", error))?;
            if arguments.is_empty() || arguments == "-ef" {
                return Ok(table(&pids));
            }
            filtered(&ps(&arguments)?, &pids)
        })
        .await
    }
}

fn ps(arguments: &str) -> Result<String> {
    let output = Command::new("ps")
        .args(arguments.split_whitespace())
        .output()
        .map_err(|source| Error::File { action: "run", path: "ps".to_owned(), source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Invalid(format!("Error running ps: {text}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines whose PID column is one of ours.
fn filtered(output: &str, pids: &[u32]) -> Result<Top> {
    let mut lines = output.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| Error::Invalid("Couldn't find PID field in ps output".to_owned()))?;
    let pids: HashSet<u32> = pids.iter().copied().collect();
    let mut processes = Vec::new();
    for line in lines {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = fields
            .get(column)
            .and_then(|field| field.parse::<u32>().ok())
            .is_some_and(|pid| pids.contains(&pid));
        if !ours || fields.len() < titles.len() {
            continue;
        }
        let (head, tail) = fields.split_at(titles.len() - 1);
        let mut row: Vec<String> = head.iter().map(|field| (*field).to_owned()).collect();
        row.push(tail.join(" "));
        processes.push(row);
    }
    Ok(Top { titles, processes })
}

/// `ps -ef` of these processes.
fn table(pids: &[u32]) -> Top {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
    Top {
        titles: titles.map(str::to_owned).to_vec(),
        processes: pids.iter().filter_map(|pid| row(*pid)).collect(),
    }
}

fn row(pid: u32) -> Option<Vec<String>> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let stat = read("stat")?;
    // The name may have blanks and parentheses; the numbers follow the last one.
    let numbers: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let name = stat.split_once('(')?.1.rsplit_once(')')?.0.to_owned();
    let number = |index: usize| numbers.get(index).and_then(|n| n.parse::<u64>().ok());
    let uid = read("status")?.lines().find_map(|line| {
        line.strip_prefix("Uid:")?.split_whitespace().next()?.parse::<u32>().ok()
    })?;
    let ticks = number(11)? + number(12)?;
    let started_s = boot_time()? + number(19)? / TICKS;
    let arguments = read("cmdline")?.trim_end_matches('\0').replace('\0', " ");
    let command = if arguments.is_empty() { format!("[{name}]") } else { arguments };
    let tty = match number(4)? {
        0 => "?".to_owned(),
        device if (136..=143).contains(&(device >> 8 & 0xfff)) => format!("pts/{}", device & 0xff),
        _ => "?".to_owned(),
    };
    let age_s = u64::try_from(crate::moment::now_ns() / 1_000_000_000)
        .unwrap_or(0)
        .saturating_sub(started_s);
    let load = (ticks * 100 / TICKS).checked_div(age_s).map_or(0, |percent| percent.min(99));
    let seconds = ticks / TICKS;
    Some(vec![
        user_name(uid),
        pid.to_string(),
        number(1)?.to_string(),
        load.to_string(),
        clock(started_s),
        tty,
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        command,
    ])
}

/// USER_HZ, fixed for user space on every architecture we run on.
const TICKS: u64 = 100;

fn boot_time() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

fn clock(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    match jiff::Timestamp::from_second(seconds) {
        Ok(time) => time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M").to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// The host's name for a user, as ps shows it: not through the C library, whose static form
/// would load code at run time.
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse::<u32>() == Ok(uid)).then(|| name.to_owned())
    });
    found.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_in_the_table() {
        let top = table(&[std::process::id()]);
        assert_eq!(top.processes.len(), 1);
        assert_eq!(top.processes[0].len(), top.titles.len());
        assert_eq!(top.processes[0][1], std::process::id().to_string());
    }

    #[test]
    fn lines_are_picked_by_pid() {
        let output = "PID USER COMMAND\n 1 root init -x\n 7 web serve a b\n";
        let top = filtered(output, &[7]).unwrap();
        assert_eq!(top.processes, [["7", "web", "serve a b"]]);
        assert!(filtered("USER COMMAND\n", &[7]).is_err());
    }
}

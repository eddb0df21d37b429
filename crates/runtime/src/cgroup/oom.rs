//! Notification of out-of-memory kills: an fd to poll, and a counter to read.
//!
//! v1 signals an eventfd that was registered with `cgroup.event_control`; v2 changes
//! `memory.events`, which inotify sees. Both only say "look": the truth is the kernel's
//! `oom_kill` counter, so that a wake-up too many does no harm.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::{CgroupError, Result};

/// A running watch. Dropping it ends the notification.
#[derive(Debug)]
pub struct OomWatch {
    pub(super) signal: OwnedFd,
    pub(super) counter: PathBuf,
    pub(super) seen: u64,
}

impl OomWatch {
    /// Kills since the last call (or since the watch began). Clears the readiness of
    /// the fd; never blocks. 0 when the group is gone.
    ///
    /// # Errors
    /// [`CgroupError::Read`] when the counter can't be read for another reason.
    pub fn kills(&mut self) -> Result<u64> {
        sys::notify::drain(self.signal.as_fd())
            .map_err(|source| CgroupError::Watch { path: self.counter.clone(), source })?;
        let text = match fs::read_to_string(&self.counter) {
            Ok(text) => text,
            // The directory went away (ENOENT) or does so right now (ENODEV).
            Err(error) if matches!(error.raw_os_error(), Some(2 | 19)) => return Ok(0),
            Err(source) => return Err(CgroupError::Read { path: self.counter.clone(), source }),
        };
        let total = kill_count(&text);
        let new = total.saturating_sub(self.seen);
        self.seen = total;
        Ok(new)
    }
}

impl AsFd for OomWatch {
    /// Readable when something may have happened; for poll and epoll.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

/// The `oom_kill` line of `memory.oom_control` (v1) and `memory.events` (v2).
pub(super) fn kill_count(text: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_both_formats() {
        assert_eq!(kill_count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), 3);
        assert_eq!(kill_count("low 0\nhigh 1\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(kill_count(""), 0);
    }
}

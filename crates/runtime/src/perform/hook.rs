//! Hooks that run inside the container's namespaces: a child of the child, with the state document as its standard input.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek};
use sys::Errno;
use sys::pidfd::{self, Ended};
use sys::process::StringArray;

use super::child::{Child, Failure};
use super::error::Detail;
use crate::plan::{InsideHook, LaunchPlan, Step};

/// A hook with its arrays made.
pub(super) struct PreparedHook<'a> {
    path: &'a CStr,
    argv: StringArray<'a>,
    env: StringArray<'a>,
    timeout_ms: Option<u32>,
    before_pid: &'a CString,
    after_pid: &'a CString,
}

/// All hooks of a plan, in the order of its steps.
pub(super) fn prepare(plan: &LaunchPlan) -> Vec<PreparedHook<'_>> {
    plan.steps
        .iter()
        .filter_map(|step| if let Step::Hook(hook) = step { Some(prepare_one(hook)) } else { None })
        .collect()
}

fn prepare_one(hook: &InsideHook) -> PreparedHook<'_> {
    PreparedHook {
        path: &hook.path,
        argv: StringArray::new(&hook.argv, 0),
        env: StringArray::new(&hook.env, 0),
        timeout_ms: hook.timeout_ms,
        before_pid: &hook.state_before_pid,
        after_pid: &hook.state_after_pid,
    }
}

impl Child<'_> {
    pub(super) fn hook(&mut self) -> Result<(), Failure> {
        let hook = self.hooks.get(self.next_hook).ok_or(Errno::INVAL)?;
        self.next_hook += 1;
        let state = state_document(hook)?;
        let child = sys::clone::clone_process(0, None, || {
            if sys::process::duplicate_to(state.as_fd(), 0).is_err() {
                return 126;
            }
            sys::process::execute(hook.path, &hook.argv, &hook.env);
            127
        })?;
        if !ends_in_time(&child.pidfd, hook.timeout_ms)? {
            pidfd::send_signal(&child.pidfd, sys::signal::KILL)?;
            pidfd::wait(&child.pidfd)?;
            return Err(Failure { errno: Errno::TIMEDOUT, detail: Detail::HookTimeout });
        }
        match pidfd::wait(&child.pidfd)? {
            Ended::Exited(0) => Ok(()),
            Ended::Exited(127) => Err(Failure { errno: Errno::NOENT, detail: Detail::HookFailed }),
            _ => Err(Failure { errno: Errno::CANCELED, detail: Detail::HookFailed }),
        }
    }
}

/// The state as a readable file, with our own pid as the container sees it.
fn state_document(hook: &PreparedHook<'_>) -> Result<OwnedFd, Errno> {
    let file = memfd_create(c"state", MemfdFlags::CLOEXEC)?;
    let mut digits = [0u8; 12];
    let pid = decimal(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs(), &mut digits);
    for part in [hook.before_pid.to_bytes(), pid, hook.after_pid.to_bytes()] {
        let mut rest = part;
        while !rest.is_empty() {
            let written = rustix::io::write(&file, rest)?;
            rest = &rest[written..];
        }
    }
    seek(&file, SeekFrom::Start(0))?;
    Ok(file)
}

/// Decimal digits of a number, without allocating.
pub(super) fn decimal(mut number: u32, buffer: &mut [u8; 12]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

/// Whether the process ends before the time is over.
fn ends_in_time(pidfd: &OwnedFd, timeout_ms: Option<u32>) -> Result<bool, Errno> {
    let limit = timeout_ms.map(|ms| Timespec {
        tv_sec: (ms / 1000).into(),
        tv_nsec: (u64::from(ms % 1000) * 1_000_000) as _,
    });
    loop {
        let mut wanted = [PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut wanted, limit.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            // The limit starts anew: signals are all at their defaults here, so this doesn't repeat.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written() {
        for number in [0, 7, 10, 4_294_967_295] {
            assert_eq!(decimal(number, &mut [0; 12]), number.to_string().as_bytes());
        }
    }
}

//! Hooks in the runtime's namespaces: state document on standard input, their own environment and nothing of ours
//! (an image's variables must not reach programs of the host: CVE-2025-23266).

use std::io::{Seek, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::error::CliError;
use crate::spec::Hook;

/// Runs hooks in order; the first failure ends it.
pub(crate) fn run(kind: &'static str, hooks: &[Hook], state: &Value) -> Result<(), CliError> {
    hooks.iter().try_for_each(|hook| run_one(kind, hook, state))
}

fn run_one(kind: &'static str, hook: &Hook, state: &Value) -> Result<(), CliError> {
    let failed = |reason: String| CliError::Hook { kind, path: hook.path.clone(), reason };
    let timeout = crate::plan::timeout_ms(kind, hook).map_err(CliError::Plan)?;
    let input = state_file(state).map_err(|error| failed(error.to_string()))?;
    let variables = hook.env.iter().filter_map(|variable| variable.split_once('='));
    let mut command = Command::new(&hook.path);
    command.args(hook.args.iter().skip(1)).env_clear().envs(variables).stdin(input);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(name) = hook.args.first() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let deadline = timeout.map(|ms| Instant::now() + Duration::from_millis(ms.into()));
    let Some(deadline) = deadline else {
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        return judge(output.status, &output.stderr).map_err(failed);
    };
    let pidfd =
        sys::pidfd::open(child.id().cast_signed()).map_err(|errno| failed(errno.to_string()))?;
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = rustix::event::Timespec {
        tv_sec: left.as_secs().cast_signed(),
        tv_nsec: left.subsec_nanos().into(),
    };
    let mut wanted = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    if rustix::event::poll(&mut wanted, Some(&limit)) == Ok(0) {
        let killed = child.kill().and_then(|()| child.wait());
        killed.map_err(|error| failed(error.to_string()))?;
        return Err(failed(format!("timed out after {} s", hook.timeout.unwrap_or_default())));
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    judge(output.status, &output.stderr).map_err(failed)
}

fn judge(status: std::process::ExitStatus, stderr: &[u8]) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    Err(format!("{status}, stderr: {}", String::from_utf8_lossy(stderr).trim()))
}

/// A file: a hook that doesn't read must not make us wait, nor kill us.
fn state_file(state: &Value) -> std::io::Result<std::fs::File> {
    let memory = rustix::fs::memfd_create(c"state", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = std::fs::File::from(memory);
    file.write_all(state.to_string().as_bytes())?;
    file.rewind()?;
    Ok(file)
}

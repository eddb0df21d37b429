//! Id mappings of user namespaces, written by the launcher: `user_namespaces(7)`.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Command;

use super::error::LaunchError;
use crate::plan::UserNamespace;

fn failed(action: String) -> impl FnOnce(std::io::Error) -> LaunchError {
    |source| LaunchError::Launcher { action, source }
}

/// Writes the mappings of process `pid`.
pub(super) fn write(pid: i32, namespace: &UserNamespace) -> Result<(), LaunchError> {
    if namespace.deny_setgroups {
        let path = format!("/proc/{pid}/setgroups");
        fs::write(&path, "deny").map_err(failed(format!("write {path}")))?;
    }
    write_one(pid, "uid_map", "newuidmap", &namespace.uid_map)?;
    write_one(pid, "gid_map", "newgidmap", &namespace.gid_map)?;
    for limit in &namespace.limits {
        sys::process::set_limit_of(pid, limit.resource, limit.soft, limit.hard)
            .map_err(|errno| LaunchError::launcher("set resource limits", errno))?;
    }
    if let Some(score) = namespace.oom_score {
        let path = format!("/proc/{pid}/oom_score_adj");
        fs::write(&path, score.to_string()).map_err(failed(format!("write {path}")))?;
    }
    Ok(())
}

/// The kernel takes a map in one write. Who lacks the right over the ids asks the setuid tools of shadow-utils, which
/// know `/etc/subuid`.
fn write_one(pid: i32, file: &str, tool: &str, map: &str) -> Result<(), LaunchError> {
    let path = format!("/proc/{pid}/{file}");
    let mut target =
        fs::OpenOptions::new().write(true).open(&path).map_err(failed(format!("open {path}")))?;
    match target.write(map.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let status = Command::new(tool)
                .arg(pid.to_string())
                .args(map.split_whitespace())
                .status()
                .map_err(failed(format!("run {tool}")))?;
            if status.success() { Ok(()) } else { Err(failed(format!("write {path}"))(error)) }
        }
        Err(error) => Err(failed(format!("write {path}"))(error)),
    }
}

/// A user namespace that only carries a mapping, for idmapped mounts.
pub(super) fn namespace(uids: &str, gids: &str) -> Result<OwnedFd, LaunchError> {
    let action = "make a user namespace for id-mapped mounts";
    let child = sys::clone::clone_process(sys::namespace::flag::USER, None, || {
        // Until the launcher has opened the namespace and kills it; it goes with its launcher too.
        let _ = sys::credentials::set_parent_death_signal(sys::signal::KILL.unsigned_abs());
        loop {
            sys::signal::block_all();
            let _ = sys::signal::wait();
        }
    })
    .map_err(|errno| LaunchError::launcher(action, errno))?;
    let map = UserNamespace {
        uid_map: uids.to_owned(),
        gid_map: gids.to_owned(),
        deny_setgroups: false,
        limits: Vec::new(),
        oom_score: None,
    };
    let opened = write(child.pid, &map).and_then(|()| {
        let path = format!("/proc/{}/ns/user", child.pid);
        fs::File::open(&path).map(OwnedFd::from).map_err(failed(format!("open {path}")))
    });
    sys::pidfd::send_signal(&child.pidfd, sys::signal::KILL)
        .map_err(|errno| LaunchError::launcher(action, errno))?;
    sys::pidfd::wait(&child.pidfd).map_err(|errno| LaunchError::launcher(action, errno))?;
    opened
}

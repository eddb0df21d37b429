//! Kernel parameters that a container may set: only those that its own namespaces keep apart from the host's
//! (a value for anything else would change the host: CVE-2022-0811).

use super::{NamespaceKind, PlanError, Step, c_string, invalid};
use crate::spec::Spec;

/// Steps for `linux.sysctl`; `private` are the kinds of namespaces that the container doesn't share with its launcher.
pub(super) fn steps(spec: &Spec, private: &[NamespaceKind]) -> Result<Vec<Step>, PlanError> {
    let linux = spec.linux();
    let mut steps = Vec::with_capacity(linux.sysctl.len());
    for (name, value) in &linux.sysctl {
        let path = path_of(name);
        check(name, &path, private)?;
        if value.contains('\n') {
            return Err(invalid(format!("linux.sysctl.{name}"), "value has more than one line"));
        }
        steps.push(Step::Sysctl(c_string("linux.sysctl", path)?, c_string(name, value.as_str())?));
    }
    Ok(steps)
}

/// sysctl(8): whichever of `.` and `/` comes first separates; the other one is part of a name.
fn path_of(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes()[at] == b'.' => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn check(name: &str, path: &str, private: &[NamespaceKind]) -> Result<(), PlanError> {
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    let refuse = |reason: &str| Err(invalid(format!("linux.sysctl.{name}"), reason));
    if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return refuse("isn't the name of a kernel parameter");
    }
    let needed = if IPC.contains(&path) || path.starts_with("fs/mqueue/") {
        NamespaceKind::Ipc
    } else if path.starts_with("net/") {
        NamespaceKind::Net
    } else if path == "kernel/domainname" {
        NamespaceKind::Uts
    } else if path == "kernel/hostname" {
        return refuse("conflicts with the hostname field");
    } else if path.starts_with("user/") {
        NamespaceKind::User
    } else {
        return refuse("is not in a separate kernel namespace");
    };
    if private.contains(&needed) {
        return Ok(());
    }
    refuse(&format!("needs a {} namespace of the container's own", needed.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_namespaces_keep_apart() {
        use NamespaceKind::{Ipc, Net};
        let ok =
            |name: &str, private: &[NamespaceKind]| check(name, &path_of(name), private).is_ok();
        assert!(ok("net.ipv4.ip_forward", &[Net]));
        assert!(!ok("net.ipv4.ip_forward", &[Ipc]));
        assert!(ok("kernel.shm_rmid_forced", &[Ipc]));
        for bad in
            ["kernel.core_pattern", "vm.swappiness", "net/../kernel/core_pattern", "net..x", ""]
        {
            assert!(!ok(bad, &[Ipc, Net]), "{bad}");
        }
        assert_eq!(path_of("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path_of("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}

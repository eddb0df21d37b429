//! `--security-opt`, and the paths hidden from everybody.

use crate::{Error, Result};

/// Paths hidden by default.
pub const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Paths read-only by default.
pub const READONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Which system call filter is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// The engine's.
    #[default]
    Default,
    /// None at all.
    Unconfined,
    /// A profile in Docker's JSON form.
    Profile(String),
}

/// Security options, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// `None`: the engine's choice.
    pub no_new_privileges: Option<bool>,
    /// System call filter.
    pub seccomp: Seccomp,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// SELinux process label.
    pub label: Option<String>,
    /// Nothing hidden below /proc and /sys.
    pub system_paths_unconfined: bool,
    /// The control group tree is writable.
    pub writable_cgroups: bool,
}

/// Reads the options as typed.
pub fn read(options: &[String]) -> Result<Security> {
    let mut security = Security::default();
    for option in options {
        let invalid = || Error::Invalid(format!("invalid --security-opt: {option:?}"));
        // Docker takes `key=value`, and `key:value` of old.
        let (key, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
            Some((key, value)) => (key, Some(value)),
            None => (option.as_str(), None),
        };
        match (key, value) {
            ("no-new-privileges", None) => security.no_new_privileges = Some(true),
            ("no-new-privileges", Some(value)) => {
                security.no_new_privileges = Some(value.parse().map_err(|_| invalid())?);
            }
            ("seccomp", Some("unconfined")) => security.seccomp = Seccomp::Unconfined,
            ("seccomp", Some("builtin")) => security.seccomp = Seccomp::Default,
            ("seccomp", Some(profile)) => security.seccomp = Seccomp::Profile(profile.to_owned()),
            ("apparmor", Some("unconfined")) => security.apparmor = None,
            ("apparmor", Some(profile)) => security.apparmor = Some(profile.to_owned()),
            ("label", Some("disable")) => security.label = None,
            ("label", Some(label)) => security.label = Some(label.to_owned()),
            ("systempaths", Some("unconfined")) => security.system_paths_unconfined = true,
            ("writable-cgroups", Some(value)) => {
                security.writable_cgroups = value.parse().map_err(|_| invalid())?;
            }
            _ => return Err(invalid()),
        }
    }
    Ok(security)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_read_as_docker_writes_them() {
        let read = |options: &[&str]| {
            read(&options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(read(&["no-new-privileges"]).unwrap().no_new_privileges, Some(true));
        assert_eq!(read(&["no-new-privileges:true"]).unwrap().no_new_privileges, Some(true));
        assert_eq!(read(&["seccomp=unconfined"]).unwrap().seccomp, Seccomp::Unconfined);
        assert!(read(&["no-new-privileges=maybe"]).is_err());
        assert!(read(&["magic=1"]).is_err());
    }
}

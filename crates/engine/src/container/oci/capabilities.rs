//! Which capabilities a container has (capabilities(7)).

use runtime::spec::Capabilities;

use crate::{Error, Result};

/// The set that Docker gives to everybody.
pub const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Every capability by its number.
pub const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The names of the bits in `mask`.
pub fn names(mask: u64) -> Vec<String> {
    ALL.iter()
        .enumerate()
        .filter(|(bit, _)| mask & (1 << bit) != 0)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

/// The set for one container, in the kernel's order. Nothing that the engine itself lacks is in
/// it, also not by `ALL`: asking for such a one by name is an error at the launch.
pub fn choose(
    privileged: bool,
    add: &[String],
    drop: &[String],
    available: &[String],
) -> Result<Vec<String>> {
    let add: Vec<String> = add.iter().map(|name| normal(name)).collect::<Result<_>>()?;
    let drop: Vec<String> = drop.iter().map(|name| normal(name)).collect::<Result<_>>()?;
    let has = |list: &[String], name: &str| list.iter().any(|entry| entry == name);
    let wanted = |name: &str| {
        if privileged {
            return true;
        }
        let by_default = DEFAULT.contains(&name) && !has(&drop, "ALL");
        let from_all = has(&add, "ALL") && !has(&drop, name);
        // Naming one in both lists means that it is wanted.
        has(&add, name) || ((from_all || by_default) && !has(&drop, name))
    };
    Ok(ALL
        .iter()
        .filter(|name| wanted(name) && (has(available, name) || has(&add, name)))
        .map(|name| (*name).to_owned())
        .collect())
}

fn normal(text: &str) -> Result<String> {
    let upper = text.to_uppercase();
    if upper == "ALL" {
        return Ok(upper);
    }
    let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    if ALL.contains(&name.as_str()) {
        Ok(name)
    } else {
        Err(Error::Invalid(format!("unknown capability: {text:?}")))
    }
}

/// The five sets: another user than root starts without effective ones, as after setuid(2).
pub fn sets(names: &[String], uid: u32) -> Capabilities {
    let own = if uid == 0 { names.to_vec() } else { Vec::new() };
    Capabilities {
        bounding: names.to_vec(),
        effective: own.clone(),
        permitted: own,
        ..Capabilities::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn chosen(privileged: bool, add: &[&str], drop: &[&str]) -> Vec<String> {
        choose(privileged, &list(add), &list(drop), &list(&ALL)).unwrap()
    }

    #[test]
    fn dockers_rules() {
        assert_eq!(chosen(false, &[], &[]).len(), 14);
        assert_eq!(chosen(false, &[], &["ALL"]), list(&[]));
        assert_eq!(chosen(false, &["net_admin"], &["all"]), ["CAP_NET_ADMIN"]);
        assert_eq!(chosen(false, &["ALL"], &["CAP_SYS_ADMIN"]).len(), 40);
        assert_eq!(chosen(true, &[], &["ALL"]).len(), 41);
        assert!(!chosen(false, &[], &["CHOWN"]).contains(&"CAP_CHOWN".to_owned()));
        assert!(choose(false, &list(&["FLY"]), &[], &[]).is_err());
    }

    #[test]
    fn nothing_is_given_that_is_not_there() {
        let have = list(&["CAP_CHOWN", "CAP_KILL"]);
        assert_eq!(choose(true, &[], &[], &have).unwrap(), have);
        assert_eq!(names(0b100001), ["CAP_CHOWN", "CAP_KILL"]);
    }
}

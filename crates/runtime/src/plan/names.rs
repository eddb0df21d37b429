//! Names of the specification for the kernel's numbers: capabilities, limits, scheduling, signals.

/// Names by number, without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Number of `CAP_CHOWN` (in any case).
pub fn capability_number(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_")?;
    CAPABILITIES.iter().position(|known| *known == bare).map(|number| number as u32)
}

/// `CAP_…` names of all known capabilities, by number.
pub fn capability_names() -> impl Iterator<Item = String> {
    CAPABILITIES.iter().map(|name| format!("CAP_{name}"))
}

/// Mask of some names; unknown ones are told to `unknown`.
pub(super) fn capability_mask(names: &[String], mut unknown: impl FnMut(&str)) -> u64 {
    let mut mask = 0;
    for name in names {
        match capability_number(name) {
            Some(number) => mask |= 1 << number,
            None => unknown(name),
        }
    }
    mask
}

/// Number of `RLIMIT_NOFILE`, as in asm-generic/resource.h.
pub(super) fn limit_number(name: &str) -> Option<u32> {
    const LIMITS: [&str; 16] = [
        "CPU",
        "FSIZE",
        "DATA",
        "STACK",
        "CORE",
        "RSS",
        "NPROC",
        "NOFILE",
        "MEMLOCK",
        "AS",
        "LOCKS",
        "SIGPENDING",
        "MSGQUEUE",
        "NICE",
        "RTPRIO",
        "RTTIME",
    ];
    let bare = name.strip_prefix("RLIMIT_")?;
    LIMITS.iter().position(|known| *known == bare).map(|number| number as u32)
}

/// Number of a scheduling policy, sched(7).
pub(super) fn policy_number(name: &str) -> Option<u32> {
    Some(match name {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        _ => return None,
    })
}

/// Bit of a scheduling flag, sched_setattr(2).
pub(super) fn policy_flag(name: &str) -> Option<u64> {
    Some(match name {
        "SCHED_FLAG_RESET_ON_FORK" => 0x01,
        "SCHED_FLAG_RECLAIM" => 0x02,
        "SCHED_FLAG_DL_OVERRUN" => 0x04,
        "SCHED_FLAG_KEEP_POLICY" => 0x08,
        "SCHED_FLAG_KEEP_PARAMS" => 0x10,
        "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
        "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
        _ => return None,
    })
}

/// Number of a signal by number, `SIGTERM` or `TERM`.
pub fn signal_number(text: &str) -> Option<i32> {
    const SIGNALS: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    if let Ok(number) = text.parse::<i32>() {
        return (0..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = SIGNALS.iter().position(|known| *known == bare) {
        return Some(index as i32 + 1);
    }
    match bare {
        "IOT" => return Some(6),
        "CLD" => return Some(17),
        "POLL" => return Some(29),
        _ => {}
    }
    // glibc keeps 32 and 33 for itself.
    let (base, sign, rest) = if let Some(rest) = bare.strip_prefix("RTMIN") {
        (34, 1, rest.strip_prefix('+').unwrap_or(rest))
    } else {
        let rest = bare.strip_prefix("RTMAX")?;
        (64, -1, rest.strip_prefix('-').unwrap_or(rest))
    };
    let offset = if rest.is_empty() { 0 } else { rest.parse::<i32>().ok()? };
    (0..=30).contains(&offset).then_some(base + sign * offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(capability_number("CAP_SYS_ADMIN"), Some(21));
        assert_eq!(capability_number("cap_checkpoint_restore"), Some(40));
        assert_eq!(capability_number("SYS_ADMIN"), None);
        assert_eq!(limit_number("RLIMIT_NOFILE"), Some(7));
        assert_eq!(limit_number("NOFILE"), None);
        for (text, number) in
            [("9", 9), ("SIGTERM", 15), ("usr2", 12), ("SYS", 31), ("RTMIN+1", 35), ("RTMAX-2", 62)]
        {
            assert_eq!(signal_number(text), Some(number), "{text}");
        }
        for text in ["-1", "65", "SIGNOPE", "RTMIN+99", ""] {
            assert_eq!(signal_number(text), None, "{text}");
        }
    }
}

//! v1 memory limits, and the order in which the kernel takes them.

use crate::spec::LinuxMemory;

use super::super::convert::swap_alone;
use super::super::files::Dir;
use super::super::{CgroupError, Result};
use super::V1;

const LIMIT: &str = "memory.limit_in_bytes";
const BOTH: &str = "memory.memsw.limit_in_bytes";

impl V1 {
    pub(super) fn apply_memory(&self, memory: &LinuxMemory) -> Result<()> {
        if *memory == LinuxMemory::default() {
            return Ok(());
        }
        let dir = self.dir("memory", "memory")?;
        if let Some(use_hierarchy) = memory.use_hierarchy {
            // Always on since Linux 5.11; writing 1 is still accepted, 0 refused.
            let value = if use_hierarchy { "1" } else { "0" };
            dir.set("memory.useHierarchy", "memory.use_hierarchy", value)?;
        }
        check_before_update(dir, memory)?;
        apply_limits(dir, memory)?;
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        let settings = [
            ("memory.reservation", "memory.soft_limit_in_bytes", number(memory.reservation)),
            // Gone since Linux 5.16; "unlimited" is then what there is.
            (
                "memory.kernel",
                "memory.kmem.limit_in_bytes",
                number(memory.kernel.filter(|limit| *limit != -1)),
            ),
            ("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", number(memory.kernel_tcp)),
            (
                "memory.swappiness",
                "memory.swappiness",
                memory.swappiness.map(|value| value.to_string()),
            ),
            (
                "memory.disableOOMKiller",
                "memory.oom_control",
                memory.disable_oom_killer.map(|off| u8::from(off).to_string()),
            ),
        ];
        for (setting, file, value) in settings {
            if let Some(value) = value {
                dir.set(setting, file, &value)?;
            }
        }
        Ok(())
    }
}

fn check_before_update(dir: &Dir, memory: &LinuxMemory) -> Result<()> {
    let (Some(true), Some(limit)) = (memory.check_before_update, memory.limit) else {
        return Ok(());
    };
    let usage = dir.number("memory.usage_in_bytes")?.unwrap_or(0);
    match u64::try_from(limit) {
        Ok(limit) if limit < usage => Err(CgroupError::Invalid {
            setting: "memory.limit".into(),
            value: limit.to_string(),
            reason: "is below the current usage",
        }),
        _ => Ok(()),
    }
}

/// The kernel keeps `limit <= both` at every moment: raise `both` first, lower it last.
fn apply_limits(dir: &Dir, memory: &LinuxMemory) -> Result<()> {
    let limit = memory.limit.filter(|limit| *limit != 0);
    let mut both = memory.swap.filter(|swap| *swap != 0);
    if let Some(value) = both {
        // Checks the pair; an update may give only one of them.
        swap_alone(value, limit.or(Some(i64::MAX).filter(|_| value == -1)).or(current(dir)?))?;
    }
    // As Docker: lifting the memory limit lifts the other one, if the kernel counts swap.
    if limit == Some(-1) && both.is_none() && dir.has(BOTH) {
        both = Some(-1);
    }
    let set_limit = || match limit {
        Some(limit) => dir.set("memory.limit", LIMIT, &limit.to_string()),
        None => Ok(()),
    };
    let set_both = || match both {
        Some(both) => dir.set("memory.swap", BOTH, &both.to_string()),
        None => Ok(()),
    };
    let raises = match both {
        Some(-1) => true,
        Some(both) => {
            dir.number(BOTH)?.is_some_and(|now| u64::try_from(both).is_ok_and(|both| both > now))
        }
        None => false,
    };
    if raises {
        set_both()?;
        return set_limit();
    }
    set_limit()?;
    set_both()
}

fn current(dir: &Dir) -> Result<Option<i64>> {
    Ok(dir.number(LIMIT)?.and_then(|limit| i64::try_from(limit).ok()))
}

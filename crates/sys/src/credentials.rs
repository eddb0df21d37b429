//! Ids, capabilities and the process attributes that go with them, for the calling thread only: libc's wrappers tell all
//! threads, which a forked child doesn't have. Nothing allocates.

use rustix::io::Errno;

use crate::raw::check;

fn prctl(option: i32, a: u64, b: u64) -> Result<i64, Errno> {
    // SAFETY: only options that take plain integers are used here.
    check(unsafe { libc::prctl(option, a, b, 0u64, 0u64) }.into())
}

/// Real, effective and saved user id.
///
/// # Errors
/// `EINVAL` for an id without mapping, `EPERM`.
pub fn set_user(uid: u32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// Real, effective and saved group id.
///
/// # Errors
/// `EINVAL` for an id without mapping, `EPERM`.
pub fn set_group(gid: u32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    Ok(())
}

/// Supplementary groups.
///
/// # Errors
/// `EPERM` where a user namespace denies setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: pointer and length of one slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    Ok(())
}

/// Keep permitted capabilities over a change of the user id.
///
/// # Errors
/// As prctl(2).
pub fn keep_capabilities(keep: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, keep.into(), 0).map(drop)
}

/// Whether capability number `capability` is in the bounding set; `EINVAL` tells that the kernel doesn't know it.
///
/// # Errors
/// `EINVAL`.
pub fn is_bounded(capability: u32) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, capability.into(), 0).map(|answer| answer == 1)
}

/// Drops every capability from the bounding set that isn't in `mask`.
///
/// # Errors
/// `EPERM` without CAP_SETPCAP.
pub fn limit_bounding(mask: u64) -> Result<(), Errno> {
    for capability in 0..64 {
        if mask & (1 << capability) == 0 {
            match prctl(libc::PR_CAPBSET_DROP, capability, 0) {
                // Beyond the kernel's last one.
                Err(Errno::INVAL) => break,
                result => result.map(drop)?,
            }
        }
    }
    Ok(())
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Default, Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Effective, permitted and inheritable sets, as masks.
///
/// # Errors
/// As capget(2).
pub fn capabilities() -> Result<(u64, u64, u64), Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 reads and writes two Data records.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok((
        join(data[0].effective, data[1].effective),
        join(data[0].permitted, data[1].permitted),
        join(data[0].inheritable, data[1].inheritable),
    ))
}

/// Sets effective, permitted and inheritable sets.
///
/// # Errors
/// `EPERM` for more than is permitted.
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads two Data records.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) })?;
    Ok(())
}

/// Makes the ambient set exactly `mask`.
///
/// # Errors
/// `EPERM` for one that isn't permitted and inheritable.
pub fn set_ambient(mask: u64) -> Result<(), Errno> {
    // Old kernels without ambient capabilities answer EINVAL: nothing to clear then.
    match prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0) {
        Err(Errno::INVAL) if mask == 0 => return Ok(()),
        result => result.map(drop)?,
    }
    for capability in (0..64).filter(|number| mask & (1 << number) != 0) {
        prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, capability)?;
    }
    Ok(())
}

/// `no_new_privs`, for good.
///
/// # Errors
/// As prctl(2).
pub fn no_new_privileges() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

/// Whether others may trace the process and open its `/proc` files.
///
/// # Errors
/// As prctl(2).
pub fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, dumpable.into(), 0).map(drop)
}

/// Signal that the process gets when its parent thread ends.
///
/// # Errors
/// As prctl(2).
pub fn set_parent_death_signal(signal: u32) -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, signal.into(), 0).map(drop)
}

/// Orphans of descendants become children of the calling process.
///
/// # Errors
/// As prctl(2).
pub fn become_subreaper() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map(drop)
}

/// Name of the thread, as `ps` shows it; at most 15 bytes count.
///
/// # Errors
/// As prctl(2).
pub fn set_name(name: &std::ffi::CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads at most 16 bytes up to the end of the C string.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }.into())?;
    Ok(())
}

//! bpf(2), as far as device programs of control groups need it.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Errno;
use crate::raw::check;

/// One eBPF instruction, laid out as `struct bpf_insn` (linux/bpf.h).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u8,
    /// Source register in the high half, destination in the low one (little-endian).
    pub registers: u8,
    /// Distance of a jump or a load.
    pub offset: i16,
    /// Constant operand.
    pub immediate: i32,
}

// enum bpf_cmd, bpf_prog_type, bpf_attach_type, and flags of linux/bpf.h.
const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// The head of `union bpf_attr` for each command; the kernel takes a short one as
/// zero-filled.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
}

#[repr(C)]
struct Query {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
}

#[repr(C)]
struct ById {
    id: u32,
    next: u32,
    flags: u32,
}

/// Loads a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`; the fd is close-on-exec.
///
/// # Errors
/// `EINVAL` or `EACCES` if the verifier refuses it, `EPERM` without `CAP_BPF` and
/// `CAP_NET_ADMIN` (or `CAP_SYS_ADMIN`), `E2BIG` above 4096 instructions before Linux
/// 5.2. bpf(2).
pub fn load_device_program(code: &[Instruction]) -> Result<OwnedFd, Errno> {
    // Only programs that call GPL-only helpers need another licence; this calls none.
    let license = c"Apache-2.0";
    let mut attr = Load {
        kind: TYPE_CGROUP_DEVICE,
        count: code.len() as u32,
        instructions: code.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
    };
    // SAFETY: the attribute's pointers are alive, and only read.
    let fd = unsafe { bpf(PROG_LOAD, &mut attr) }?;
    // SAFETY: PROG_LOAD answers with a new fd nobody owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Attaches `program` to the v2 group whose directory is `group`, beside others, or in
/// place of `replaced`, at once. The group keeps the program after the fd is closed.
///
/// # Errors
/// `EINVAL` before Linux 5.6 for a replacement, `EPERM` if an ancestor forbids it,
/// `E2BIG` above 64 programs.
pub fn attach_device_program(
    group: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut attr = Attach {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: if replaced.is_some() { ALLOW_MULTI | REPLACE } else { ALLOW_MULTI },
        replace: replaced.map_or(0, |fd| fd.as_raw_fd() as u32),
    };
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf(PROG_ATTACH, &mut attr) }.map(drop)
}

/// Detaches one program.
///
/// # Errors
/// `ENOENT` if it isn't attached there.
pub fn detach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut attr = Attach {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        flags: 0,
        replace: 0,
    };
    // SAFETY: the attribute holds no pointers.
    unsafe { bpf(PROG_DETACH, &mut attr) }.map(drop)
}

/// Device programs attached to the group itself. One that goes away meanwhile is left out.
///
/// # Errors
/// `EINVAL` before Linux 4.15; as bpf(2).
pub fn device_programs(group: BorrowedFd<'_>) -> Result<Vec<OwnedFd>, Errno> {
    // The kernel's limit on programs of a group (BPF_CGROUP_MAX_PROGS).
    let mut ids = [0u32; 64];
    let mut attr = Query {
        target: group.as_raw_fd() as u32,
        kind: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
    };
    // SAFETY: the kernel writes at most `count` ids, and the count.
    unsafe { bpf(PROG_QUERY, &mut attr) }?;
    let mut programs = Vec::new();
    for &id in &ids[..attr.count as usize] {
        let mut attr = ById { id, next: 0, flags: 0 };
        // SAFETY: the attribute holds no pointers.
        match unsafe { bpf(PROG_GET_FD_BY_ID, &mut attr) } {
            // SAFETY: the answer is a new fd nobody owns.
            Ok(fd) => programs.push(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}

/// # Safety
/// `attr` must be the head of `union bpf_attr` for `command`, its pointers valid for
/// what the command does with them.
unsafe fn bpf<T>(command: i32, attr: &mut T) -> Result<libc::c_long, Errno> {
    // SAFETY: the caller's promise; the size is the value's own.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attr, size_of::<T>()) })
}

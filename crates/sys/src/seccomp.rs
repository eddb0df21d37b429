//! seccomp(2): installing a filter, and asking what the kernel knows.

use std::os::fd::{FromRawFd, OwnedFd};

use crate::Errno;

/// One classic BPF instruction, laid out as `struct sock_filter` (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jump_true: u8,
    /// Instructions to skip if not.
    pub jump_false: u8,
    /// Constant operand.
    pub operand: u32,
}

/// `SECCOMP_FILTER_FLAG_*`, linux/seccomp.h.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FilterFlags(pub u32);

impl FilterFlags {
    /// Every thread of the process gets the filter.
    pub const TSYNC: Self = Self(1);
    /// Actions other than allow are logged.
    pub const LOG: Self = Self(1 << 1);
    /// No speculative-store-bypass mitigation.
    pub const SPEC_ALLOW: Self = Self(1 << 2);
    /// A notify fd is made.
    pub const NEW_LISTENER: Self = Self(1 << 3);
    /// A failed [`Self::TSYNC`] is `ESRCH`; needed with [`Self::NEW_LISTENER`].
    pub const TSYNC_ESRCH: Self = Self(1 << 4);
    /// A notified call can only be killed once the listener has it.
    pub const WAIT_KILLABLE_RECV: Self = Self(1 << 5);

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Installs `program` on the calling thread (all threads with [`FilterFlags::TSYNC`]),
/// and returns the notify fd, close-on-exec, if one was asked for. It can't be undone.
/// Allocates nothing, so a forked child may call it.
///
/// # Errors
/// `EACCES` without no_new_privs and without `CAP_SYS_ADMIN`; `EINVAL` for a program the
/// kernel's checker refuses, an empty one, or an unknown flag; `ESRCH` if a thread can't
/// be brought in line; `EBUSY` for a second listener. seccomp(2).
pub fn load(program: &[Instruction], flags: FilterFlags) -> Result<Option<OwnedFd>, Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let fprog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: fprog points at `len` instructions with the layout of sock_filter, alive
    // and only read during the call.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::c_ulong::from(flags.0),
            &raw const fprog,
        )
    };
    match answer {
        -1 => Err(last_error()),
        fd if flags.contains(FilterFlags::NEW_LISTENER) => {
            // SAFETY: with NEW_LISTENER a non-negative answer is a new fd nobody owns.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
        }
        0 => Ok(None),
        // TSYNC without TSYNC_ESRCH answers with the thread that refused.
        _ => Err(Errno::SRCH),
    }
}

/// Whether the kernel knows the action, given as `SECCOMP_RET_*`.
pub fn knows_action(action: u32) -> bool {
    // SAFETY: the kernel reads one u32.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    answer == 0
}

fn last_error() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

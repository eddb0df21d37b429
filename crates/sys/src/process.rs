//! Attributes and the last act of a process: limits, scheduling, keyring, descriptors, `execve(2)`.
//!
//! For the calling process; nothing allocates, but [`StringArray::new`], which is for before the fork.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::raw::check;

/// A null-terminated array of C strings, with one spare slot that can be filled without allocating.
pub struct StringArray<'a> {
    pointers: Vec<*const libc::c_char>,
    len: usize,
    spare: Vec<u8>,
    owner: std::marker::PhantomData<&'a CStr>,
}

impl<'a> StringArray<'a> {
    /// Lists `strings`, with room for one more of `spare` bytes.
    pub fn new(strings: &'a [CString], spare: usize) -> StringArray<'a> {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        let len = pointers.len();
        pointers.resize(len + 2, std::ptr::null());
        StringArray { pointers, len, spare: vec![0; spare], owner: std::marker::PhantomData }
    }

    /// Appends the concatenation of `parts` in the spare slot.
    ///
    /// # Errors
    /// `NAMETOOLONG` when there is no room, or no more.
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<(), Errno> {
        let mut at = 0;
        for part in parts {
            let place = self.spare.get_mut(at..at + part.len()).ok_or(Errno::NAMETOOLONG)?;
            place.copy_from_slice(part);
            at += part.len();
        }
        *self.spare.get_mut(at).ok_or(Errno::NAMETOOLONG)? = 0;
        if self.len + 2 > self.pointers.len() {
            return Err(Errno::NAMETOOLONG);
        }
        self.pointers[self.len] = self.spare.as_ptr().cast();
        self.len += 1;
        Ok(())
    }
}

/// Replaces the program. Returns only on failure.
pub fn execute(path: &CStr, argv: &StringArray<'_>, env: &StringArray<'_>) -> Errno {
    // SAFETY: both arrays end in null and their strings outlive them.
    let result = check(
        unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr()) }
            .into(),
    );
    result.err().unwrap_or(Errno::IO)
}

/// Replaces the program by an open file (`execveat(2)`, empty path). Returns only on failure.
pub fn execute_fd(file: impl AsFd, argv: &StringArray<'_>, env: &StringArray<'_>) -> Errno {
    // SAFETY: both arrays end in null and their strings outlive them.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_fd().as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            env.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    });
    result.err().unwrap_or(Errno::IO)
}

/// Makes every descriptor from `first` on close on exec.
///
/// # Errors
/// `ENOSYS` before Linux 5.11.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 4) })?;
    Ok(())
}

/// Makes `number` refer to what `fd` refers to, open over exec.
///
/// # Errors
/// As dup2(2).
pub fn duplicate_to(fd: BorrowedFd<'_>, number: i32) -> Result<(), Errno> {
    if fd.as_raw_fd() == number {
        // SAFETY: plain integers; clears close-on-exec.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into())?;
        return Ok(());
    }
    // SAFETY: what `number` was is dropped on purpose: the child renumbers its standard streams just before exec.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into())?;
    Ok(())
}

/// One resource limit, by its number.
///
/// # Errors
/// As setrlimit(2): `EPERM` for raising a ceiling without CAP_SYS_RESOURCE.
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    set_limit_of(0, resource, soft, hard)
}

/// One resource limit of another process.
///
/// # Errors
/// As prlimit(2).
pub fn set_limit_of(pid: i32, resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` outlives the call.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, 0usize) })?;
    Ok(())
}

/// Execution domain.
///
/// # Errors
/// As personality(2).
pub fn set_personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: plain integers.
    check(unsafe { libc::syscall(libc::SYS_personality, domain) })?;
    Ok(())
}

/// Scheduling parameters of sched_setattr(2).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
#[allow(missing_docs)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime_ns: u64,
    pub deadline_ns: u64,
    pub period_ns: u64,
}

/// Sets them.
///
/// # Errors
/// As sched_setattr(2).
pub fn set_scheduler(mut attr: SchedAttr) -> Result<(), Errno> {
    attr.size = size_of::<SchedAttr>() as u32;
    // SAFETY: `attr` outlives the call and carries its size.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) })?;
    Ok(())
}

/// CPUs that the process may run on, as words of a mask.
///
/// # Errors
/// `EINVAL` when none of them is there.
pub fn set_affinity(mask: &[u64]) -> Result<(), Errno> {
    // SAFETY: pointer and length of one slice.
    check(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr())
    })?;
    Ok(())
}

/// I/O priority: class << 13 | level.
///
/// # Errors
/// As ioprio_set(2).
pub fn set_io_priority(priority: u16) -> Result<(), Errno> {
    // SAFETY: plain integers: who = process, 0 = the caller.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, i32::from(priority)) })?;
    Ok(())
}

/// A new, empty session keyring.
///
/// # Errors
/// `ENOSYS` without keys in the kernel, `EDQUOT` for too many.
pub fn new_session_keyring(name: &CStr) -> Result<(), Errno> {
    // SAFETY: 1 = KEYCTL_JOIN_SESSION_KEYRING; the string outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, 1, name.as_ptr()) })?;
    Ok(())
}

/// Brings up `lo` in the present network namespace.
///
/// # Errors
/// As the ioctl SIOCSIFFLAGS of netdevice(7).
pub fn loopback_up() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // SAFETY: ifreq is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: the request outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(result.into())?;
    Ok(())
}

/// Sets the file mode mask.
pub fn set_umask(mask: u32) {
    // SAFETY: can't fail, plain integer.
    unsafe { libc::umask(mask) };
}

/// Changes the root directory.
///
/// # Errors
/// As chroot(2).
pub fn change_root(path: &CStr) -> Result<(), Errno> {
    // SAFETY: a C string that outlives the call.
    check(unsafe { libc::chroot(path.as_ptr()) }.into())?;
    Ok(())
}

/// Working directory as the kernel names it, without libc's interpretation: a directory outside of the root starts with
/// `(unreachable)`.
///
/// # Errors
/// As getcwd(2).
pub fn working_directory(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    // SAFETY: pointer and length of one buffer.
    let len = check(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) })?;
    buffer.get(..(len as usize).saturating_sub(1)).ok_or(Errno::RANGE)
}

/// Ends the process at once.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: runs nothing.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from `first` on.
///
/// # Errors
/// As close_range(2).
pub fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: for a forked child that uses none of them afterwards.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })?;
    Ok(())
}

/// Where the kernel finds arguments and environment of this process (`/proc/self/stat`, fields 48 to 51).
#[derive(Debug, Clone, Copy)]
pub struct TitleArea {
    start: usize,
    len: usize,
}

impl TitleArea {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When `/proc` isn't there.
    pub fn find() -> std::io::Result<TitleArea> {
        let stat = std::fs::read_to_string("/proc/self/stat")?;
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let number = |index: usize| {
            fields.split_whitespace().nth(index - 3).and_then(|field| field.parse::<usize>().ok())
        };
        match (number(48), number(51)) {
            (Some(start), Some(end)) if start != 0 && end > start => {
                Ok(TitleArea { start, len: end - start })
            }
            _ => Err(std::io::ErrorKind::Unsupported.into()),
        }
    }

    /// Overwrites them with `title` in this process: for a forked child that stays, whose parent's command line and
    /// environment are nobody's business inside the container. The child must not use its environment afterwards.
    pub fn overwrite(self, title: &CStr) {
        let title = title.to_bytes();
        // SAFETY: the area is this process's own initial stack, writable, found before the fork in the same image; the
        // child reads neither arguments nor environment any more.
        unsafe {
            std::ptr::write_bytes(self.start as *mut u8, 0, self.len);
            let count = title.len().min(self.len - 1);
            std::ptr::copy_nonoverlapping(title.as_ptr(), self.start as *mut u8, count);
        }
    }
}

/// Closes one descriptor by number: for a forked child whose copy belongs to nobody.
pub fn close_one(number: i32) {
    // SAFETY: the child's copy; the owner lives in the parent.
    unsafe { libc::close(number) };
}

/// A close-on-exec copy of a descriptor that the process was started with, by number.
///
/// # Errors
/// `EBADF` when there is none.
pub fn copy_of(number: i32) -> Result<std::os::fd::OwnedFd, Errno> {
    use std::os::fd::FromRawFd;
    // SAFETY: plain integers; a number that isn't open is an error.
    let copy = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }.into())?;
    // SAFETY: a new descriptor.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(copy as i32) })
}

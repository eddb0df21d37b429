//! The one place where a raw result becomes a `Result`.

use rustix::io::Errno;

/// Turns the result of a libc call into a value or the thread's errno. Allocates nothing.
pub(crate) fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 {
        // SAFETY: errno's location is valid for the life of the thread.
        let code = unsafe { *libc::__errno_location() };
        return Err(Errno::from_raw_os_error(code));
    }
    Ok(result)
}

//! Stopping a child at each of its system calls, with ptrace(2): how tests kill a process at every place where it can leave something half done.
//!
//! The calling thread is the tracer; all calls must come from it.

use rustix::io::Errno;

use crate::raw::check;

/// A traced, single-threaded child.
#[derive(Debug)]
pub struct Tracee {
    pid: i32,
}

impl Tracee {
    /// Starts tracing a child and stops it. It is killed when the tracer ends.
    ///
    /// # Errors
    /// As ptrace(2): `ESRCH`, `EPERM`.
    pub fn seize(pid: i32) -> Result<Tracee, Errno> {
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        ptrace(libc::PTRACE_SEIZE, pid, options as usize)?;
        ptrace(libc::PTRACE_INTERRUPT, pid, 0)?;
        let tracee = Tracee { pid };
        tracee.wait()?;
        Ok(tracee)
    }

    /// Runs the child to the next start or end of a system call, where it stays; `false` when it is gone.
    ///
    /// # Errors
    /// As ptrace(2) and waitpid(2).
    pub fn step(&self) -> Result<bool, Errno> {
        let mut signal = 0;
        loop {
            match ptrace(libc::PTRACE_SYSCALL, self.pid, signal) {
                Ok(()) => {}
                Err(Errno::SRCH) => return Ok(false),
                Err(errno) => return Err(errno),
            }
            let status = self.wait()?;
            if !libc::WIFSTOPPED(status) {
                return Ok(false);
            }
            match libc::WSTOPSIG(status) {
                stop if stop == libc::SIGTRAP | 0x80 => return Ok(true),
                libc::SIGTRAP => signal = 0,
                other => signal = other as usize,
            }
        }
    }

    fn wait(&self) -> Result<i32, Errno> {
        let mut status = 0;
        // SAFETY: status is a valid place.
        check(unsafe { libc::waitpid(self.pid, &raw mut status, libc::__WALL) }.into())?;
        Ok(status)
    }
}

fn ptrace(request: libc::c_uint, pid: i32, data: usize) -> Result<(), Errno> {
    // SAFETY: the requests used here take integers only; nothing of this process is written.
    check(unsafe { libc::ptrace(request as _, pid, 0usize, data) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stops_twice_for_each_call() {
        let child = crate::clone::clone_process(0, None, || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            for _ in 0..3 {
                let _parent = rustix::process::getppid();
            }
            9
        })
        .expect("clones");
        let tracee = Tracee::seize(child.pid).expect("seizes");
        let mut stops = 0;
        while tracee.step().expect("steps") {
            stops += 1;
        }
        // The rest of the sleep, three calls, and the exit, which has no end.
        assert!(stops >= 7, "{stops}");
    }
}

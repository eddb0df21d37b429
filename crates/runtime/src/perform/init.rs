//! `--init`: pid 1 is the forked child itself.
//!
//! It starts the program as its child, hands signals on, reaps what ends, and exits with the program's code. It is not an
//! exec of anything: nothing of the container's file system runs as init, nothing of ours appears in it, and no exec is
//! paid for. By then it has the container's user, capabilities and filter, like any init in the image would have.
//! It isn't dumpable, so the copied memory stays out of reach, and its command line is overwritten.

use sys::Errno;
use sys::pidfd::Ended;
use sys::{credentials, pidfd, process, signal};

use super::child::{Child, Failure};

impl Child<'_> {
    /// Goes on as the program's future process; pid 1 stays behind and never returns.
    pub(super) fn become_init(&mut self) -> Result<(), Failure> {
        signal::block_all();
        if let Some(program) = sys::clone::fork_here()? {
            self.prepare_init();
            process::exit_now(serve(program));
        }
        signal::unblock_all();
        // Its own process group, so that a signal to the terminal's foreground group reaches it and not init.
        rustix::process::setpgid(None, None)?;
        if self.terminal.is_some() {
            // With SIGTTOU blocked a background group may take the foreground.
            signal::block_all();
            let group = rustix::process::getpgrp();
            let taken = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), group);
            signal::unblock_all();
            taken?;
        }
        Ok(())
    }

    fn prepare_init(&mut self) {
        // Failures leave a name or a descriptor behind, nothing more.
        let _ = credentials::set_name(c"cale-init");
        if let Some(title) = self.title {
            title.overwrite(c"cale-init");
        }
        let _ = credentials::set_dumpable(false);
        let _ = process::close_from(3);
    }
}

/// Serves until the program `main` has ended: its exit code.
fn serve(main: i32) -> i32 {
    let mut result = None;
    loop {
        match signal::wait() {
            Ok(signal::CHILD) => {}
            Ok(number) => {
                // It may have ended just now.
                let _ = signal::send(main, number);
                continue;
            }
            Err(_) => continue,
        }
        loop {
            match pidfd::reap_any() {
                Ok(Some((pid, ended))) if pid == main => result = Some(ended),
                Ok(Some(_)) => {}
                Ok(None) | Err(Errno::CHILD) => break,
                Err(_) => break,
            }
        }
        if let Some(ended) = result {
            return match ended {
                Ended::Exited(code) => code,
                Ended::Signaled(number) => 128 + number,
            };
        }
    }
}

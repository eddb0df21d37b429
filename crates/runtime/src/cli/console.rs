//! Terminals on the runtime's side: handing a master over (`--console-socket`), or standing between it and our own
//! terminal (`run`, `exec` in the foreground).

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::error::CliError;

/// Sends the master to whoever listens at `path`; the message is its name, as runc does.
pub(crate) fn hand_over(path: &Path, master: &OwnedFd) -> Result<(), CliError> {
    let socket = sys::channel::connect_stream(path)
        .map_err(|errno| CliError::file("connect to the console socket", path)(errno.into()))?;
    sys::channel::send(&socket, b"/dev/ptmx", Some(master.as_fd()))
        .map_err(CliError::kernel("send the terminal"))
}

/// Our terminal in raw mode, given back when dropped.
struct Raw {
    before: Option<Termios>,
}

impl Raw {
    fn enter() -> Raw {
        let stdin = rustix::stdio::stdin();
        let Ok(before) = tcgetattr(stdin) else { return Raw { before: None } };
        let mut raw = before.clone();
        raw.make_raw();
        let changed = tcsetattr(stdin, OptionalActions::Now, &raw).is_ok();
        Raw { before: changed.then_some(before) }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // Nobody to tell: the process is about to end.
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Copies between our standard streams and a container's terminal until its other side is closed.
pub(crate) struct Relay {
    master: OwnedFd,
    output: Option<std::thread::JoinHandle<()>>,
    _raw: Raw,
}

impl Relay {
    pub(crate) fn start(master: OwnedFd) -> Result<Relay, CliError> {
        let copy = || master.try_clone().map(File::from);
        let failed = |source| CliError::Kernel { action: "copy the terminal's descriptor", source };
        let (mut from, mut to) = (copy().map_err(failed)?, copy().map_err(failed)?);
        // The reader of our input is left behind at the end: it waits for input that may never come.
        std::thread::spawn(move || pump(&mut std::io::stdin(), &mut to));
        let output = std::thread::spawn(move || pump(&mut from, &mut std::io::stdout()));
        let relay = Relay { master, output: Some(output), _raw: Raw::enter() };
        relay.resize();
        Ok(relay)
    }

    /// Gives our terminal's size to the container's.
    pub(crate) fn resize(&self) {
        if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
            // A terminal that is gone has no size to set.
            let _ = sys::tty::set_size(&self.master, size.ws_col, size.ws_row);
        }
    }

    /// Waits for the last output.
    pub(crate) fn finish(mut self) {
        if let Some(output) = self.output.take() {
            // A panic there has printed itself.
            let _ = output.join();
        }
    }
}

fn pump(from: &mut dyn Read, to: &mut dyn Write) {
    let mut buffer = [0; 8192];
    // A closed terminal is EIO: the end like any other.
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

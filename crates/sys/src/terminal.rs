//! The user's terminal: raw mode with restoration, window size.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Mutex;

use rustix::termios::{self, OptionalActions, Termios};

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    termios::isatty(fd)
}

/// Columns and rows of a terminal; `None` if it isn't one or has no size.
pub fn window_size(fd: impl AsFd) -> Option<(u16, u16)> {
    let size = termios::tcgetwinsize(fd).ok()?;
    (size.ws_col > 0 || size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// Settings to go back to if the process panics while in raw mode.
static SAVED: Mutex<Option<(RawFd, Termios)>> = Mutex::new(None);

/// Keeps a terminal in raw mode until dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
    fd: RawFd,
}

impl RawMode {
    /// Puts standard input's terminal into raw mode (`cfmakeraw(3)`). A panic restores it too.
    ///
    /// # Errors
    /// The errno of `tcgetattr` or `tcsetattr`.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
        let fd = stdin.as_raw_fd();
        if let Ok(mut saved) = SAVED.lock() {
            *saved = Some((fd, before.clone()));
        }
        restore_on_panic();
        Ok(RawMode { before, fd })
    }
}

fn restore_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if let Some((_, before)) = SAVED.lock().ok().and_then(|mut saved| saved.take()) {
                let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
            }
            previous(info);
        }));
    });
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let stdin = io::stdin();
        debug_assert_eq!(stdin.as_raw_fd(), self.fd);
        let fd: BorrowedFd<'_> = stdin.as_fd();
        // The terminal may be gone (hang-up): nothing is left to restore then.
        let _ = termios::tcsetattr(fd, OptionalActions::Now, &self.before);
        if let Ok(mut saved) = SAVED.lock() {
            *saved = None;
        }
    }
}

/// Keeps standard input's terminal from showing what is typed, until dropped.
#[derive(Debug)]
pub struct NoEcho {
    before: Termios,
}

impl NoEcho {
    /// Switches the echo off.
    ///
    /// # Errors
    /// The errno of `tcgetattr` or `tcsetattr`.
    pub fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(stdin.as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(termios::LocalModes::ECHO);
        termios::tcsetattr(stdin.as_fd(), OptionalActions::Now, &silent)?;
        Ok(NoEcho { before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // The terminal may be gone (hang-up): nothing is left to restore then.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

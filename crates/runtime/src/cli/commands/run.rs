//! `run`: create and start; in the foreground also wait, forward signals, and delete.

use std::os::fd::OwnedFd;

use super::super::console::Relay;
use super::super::flags::parse;
use super::super::launch::{create, destroy, release};
use super::super::{CliError, Global, Outcome, console};
use super::create::{FLAGS, options};
use super::only_id;
use crate::perform::Launched;

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(FLAGS, &mut args)?;
    let id = only_id("run", &args)?;
    crate::sealed::ensure().map_err(CliError::Seal)?;
    let detach = flags.has("detach");
    if !detach && !flags.has("no-subreaper") {
        sys::credentials::become_subreaper().map_err(CliError::kernel("become a subreaper"))?;
    }
    let created = create(global, &id, &options(&flags)?)?;
    let (record, launched) = (created.record, created.launched);
    let socket = flags.get("console-socket");
    let waited = (|| {
        if let (Some(master), Some(socket)) = (&launched.console, socket) {
            console::hand_over(socket.as_ref(), master)?;
        } else if launched.console.is_some() && detach {
            return Err(CliError::usage(
                "cannot allocate tty if runc will detach without setting console socket",
            ));
        }
        if detach {
            release(global, &record)?;
            return Ok(None);
        }
        let foreground = Foreground::begin(launched.console.as_ref().filter(|_| socket.is_none()))?;
        release(global, &record)?;
        foreground.wait(&launched).map(Some)
    })();
    match waited {
        Ok(None) => Ok(0),
        Ok(Some(code)) => {
            if !flags.has("keep") {
                destroy(global, &record)?;
            }
            Ok(code)
        }
        Err(error) => {
            // What can't be waited for isn't left running.
            let _ = sys::pidfd::send_signal(&launched.pidfd, sys::signal::KILL);
            let _ = sys::pidfd::wait(&launched.pidfd);
            destroy(global, &record)?;
            Err(error)
        }
    }
}

/// Signals blocked and the terminal relayed, from before the program runs.
pub(super) struct Foreground {
    relay: Option<Relay>,
}

impl Foreground {
    pub(super) fn begin(terminal: Option<&OwnedFd>) -> Result<Foreground, CliError> {
        sys::signal::block_all();
        let copy = |terminal: &OwnedFd| {
            let failed =
                |source| CliError::Kernel { action: "copy the terminal's descriptor", source };
            Relay::start(terminal.try_clone().map_err(failed)?)
        };
        Ok(Foreground { relay: terminal.map(copy).transpose()? })
    }

    /// Hands signals on until the process has ended: its code as the shell has it.
    pub(super) fn wait(self, launched: &Launched) -> Result<u8, CliError> {
        const WINCH: i32 = 28;
        const URG: i32 = 23;
        let ended = loop {
            if let Some(ended) = sys::pidfd::try_wait(&launched.pidfd)
                .map_err(CliError::kernel("wait for the container"))?
            {
                break ended;
            }
            match sys::signal::wait() {
                Ok(WINCH) => {
                    if let Some(relay) = &self.relay {
                        relay.resize();
                    }
                }
                Ok(sys::signal::CHILD | URG) | Err(_) => {}
                // It may have ended just now.
                Ok(signal) => drop(sys::pidfd::send_signal(&launched.pidfd, signal)),
            }
        };
        if let Some(relay) = self.relay {
            relay.finish();
        }
        Ok(u8::try_from(ended.code()).unwrap_or(255))
    }
}

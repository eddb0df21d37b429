//! `create`: a container whose program waits for `start`.

use std::path::PathBuf;

use super::super::flags::{Flag, Flags, parse};
use super::super::launch::{Options, create};
use super::super::{CliError, Global, Outcome, console};
use super::only_id;

pub(super) const FLAGS: &[Flag] = &[
    Flag::value("bundle").or("b"),
    Flag::value("console-socket"),
    Flag::value("pidfd-socket"),
    Flag::value("pid-file"),
    Flag::switch("no-pivot"),
    Flag::switch("no-new-keyring"),
    Flag::value("preserve-fds"),
    Flag::switch("detach").or("d"),
    Flag::switch("keep"),
    Flag::switch("no-subreaper"),
];

pub(super) fn options(flags: &Flags) -> Result<Options, CliError> {
    if flags.get("pidfd-socket").is_some() {
        return Err(CliError::usage("--pidfd-socket isn't supported"));
    }
    Ok(Options {
        bundle: PathBuf::from(flags.get("bundle").unwrap_or(".")),
        pid_file: flags.get("pid-file").map(PathBuf::from),
        no_pivot: flags.has("no-pivot"),
        keep_keyring: flags.has("no-new-keyring"),
        preserve_fds: flags.number("preserve-fds")?.unwrap_or(0),
    })
}

pub(super) fn run(global: &Global, mut args: Vec<String>) -> Outcome {
    let flags = parse(FLAGS, &mut args)?;
    let id = only_id("create", &args)?;
    crate::sealed::ensure().map_err(CliError::Seal)?;
    let created = create(global, &id, &options(&flags)?)?;
    let handed = match (&created.launched.console, flags.get("console-socket")) {
        (Some(master), Some(socket)) => console::hand_over(socket.as_ref(), master),
        (Some(_), None) => Err(CliError::usage(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (None, _) => Ok(()),
    };
    if let Err(error) = handed {
        // Nobody will ever start it.
        let _ = sys::pidfd::send_signal(&created.launched.pidfd, sys::signal::KILL);
        let _ = sys::pidfd::wait(&created.launched.pidfd);
        super::super::launch::destroy(global, &created.record)?;
        return Err(error);
    }
    Ok(0)
}

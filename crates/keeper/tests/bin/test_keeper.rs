//! The keeper for this crate's tests: the very one, or one for plain processes, where a plan is the program's arguments, separated by NUL.
//!
//! Arguments: `plain` or `containers`, exec-root, idle time in seconds.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use keeper::protocol::{Failure, Plan, StartFailure};
use keeper::{Config, Launcher, Started};

struct PlainLauncher;

fn failed(errno: sys::Errno) -> Failure {
    let kind = match errno {
        sys::Errno::NOENT => StartFailure::NotFound,
        sys::Errno::ACCESS => StartFailure::NotExecutable,
        _ => StartFailure::Setup,
    };
    Failure::Start { report: errno.to_string(), kind, errno: errno.raw_os_error() }
}

impl Launcher for PlainLauncher {
    fn launch(&mut self, plan: &Plan, fds: &[BorrowedFd<'_>]) -> Result<Started, Failure> {
        let (Plan::Container(bytes) | Plan::Exec(bytes)) = plan;
        let argv: Result<Vec<CString>, _> = bytes.split(|b| *b == 0).map(CString::new).collect();
        let argv = argv.map_err(|_nul| Failure::PlanUnreadable)?;
        let terminal = if fds.is_empty() { Some(open_terminal().map_err(failed)?) } else { None };
        let (report, child_report) =
            sys::fifo::pipe().map_err(|_no_pipe| Failure::PlanUnreadable)?;
        sys::fifo::set_nonblocking(&report, false).map_err(|_fd| Failure::PlanUnreadable)?;

        let started = sys::clone::clone_process(0, None, || {
            let errno = run_child(&argv, terminal.as_ref(), fds);
            let bytes = errno.raw_os_error().to_le_bytes();
            let _told = sys::fifo::write(&child_report, &bytes);
            127
        })
        .map_err(failed)?;
        drop(child_report);
        let mut bytes = [0; 4];
        match sys::fifo::read(&report, &mut bytes) {
            Ok(sys::fifo::Moved::Bytes(4)) => {
                let _status = sys::pidfd::wait(&started.pidfd);
                Err(failed(sys::Errno::from_raw_os_error(i32::from_le_bytes(bytes))))
            }
            _ => Ok(Started {
                pid: started.pid,
                pidfd: started.pidfd,
                console: terminal.map(|(master, _)| master),
            }),
        }
    }
}

fn open_terminal() -> Result<(OwnedFd, OwnedFd), sys::Errno> {
    let master = std::fs::File::options().read(true).write(true).open("/dev/ptmx");
    let master = OwnedFd::from(master.map_err(|_no_pty| sys::Errno::NODEV)?);
    let peer = sys::tty::open_peer(&master)?;
    Ok((master, peer))
}

fn run_child(
    argv: &[CString],
    terminal: Option<&(OwnedFd, OwnedFd)>,
    fds: &[BorrowedFd<'_>],
) -> sys::Errno {
    let stdio = match terminal {
        Some((_, peer)) => {
            let _own_session = sys::session::detach();
            if let Err(errno) = sys::tty::take_control(peer) {
                return errno;
            }
            [peer.as_fd(); 3]
        }
        None => [fds[0], fds[1], fds[2]],
    };
    for (number, fd) in stdio.into_iter().enumerate() {
        if let Err(errno) = sys::process::duplicate_to(fd, i32::try_from(number).unwrap_or(0)) {
            return errno;
        }
    }
    let env = [c"PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()];
    let argv_array = sys::process::StringArray::new(argv, 0);
    sys::process::execute(&argv[0], &argv_array, &sys::process::StringArray::new(&env, 0))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(kind), Some(exec_root), Some(idle)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        eprintln!("usage: test-keeper plain|containers EXEC_ROOT IDLE_SECONDS");
        return ExitCode::from(2);
    };
    let idle = idle.to_str().and_then(|text| text.parse().ok()).unwrap_or(30.0);
    let mut config = Config::new(exec_root);
    config.idle = Duration::from_secs_f64(idle);
    if kind == "containers" {
        return ExitCode::from(keeper::run(&config));
    }
    ExitCode::from(keeper::run_with(&config, PlainLauncher))
}

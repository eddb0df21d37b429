//! Seeing a task end: which way to ask, what to do with the answer. [`crate::supervise`] decides; this performs.

use sys::epoll::Interest;
use sys::pidfd::{self, Ended};

use super::launcher::Launcher;
use super::slab::Key;
use super::task::Task;
use super::{Role, Server};
use crate::client::Anchors;
use crate::log::time::now_ns;
use crate::process;
use crate::protocol::{Event, ExitRecord, Failure};
use crate::supervise::{self, Action, Event as Happening, State};
use model::state::ExitStatus;

/// An exit status and whether core was dumped.
type Status = (ExitStatus, bool);

impl<L: Launcher> Server<L> {
    pub(super) fn on_pidfd(&mut self, key: Key) {
        self.happen(key, Happening::PidfdReady, None);
    }

    /// Feeds the table and performs its action, until nothing follows from it.
    fn happen(&mut self, key: Key, happening: Happening, status: Option<Status>) {
        let mut next = Some((happening, status));
        while let Some((happening, status)) = next.take() {
            let Some(task) = self.tasks.get_mut(key) else { return };
            let (state, action) = supervise::step(task.state, happening);
            task.state = state;
            match action {
                Action::Nothing | Action::Refuse | Action::SendSignal | Action::Remove => {}
                Action::Reap => next = Some(reap(task)),
                Action::Inquire => next = Some(inquire(task)),
                Action::AwaitReaping => self.await_reaping(key),
                Action::Watch => self.watch_task(key),
                Action::Finish => {
                    self.finish(key, status.unwrap_or((ExitStatus::Unknown, false)));
                }
                Action::FinishUnknown => self.finish(key, (ExitStatus::Unknown, false)),
            }
        }
    }

    /// A pidfd stays readable once its process has exited; only the hang-up is news then.
    fn await_reaping(&mut self, key: Key) {
        let Some(task) = self.tasks.get(key) else { return };
        let Some(pidfd) = &task.pidfd else { return };
        if self.epoll.modify(pidfd, Role::Pidfd.token(key), Interest::HANG_UP).is_err() {
            eprintln!("keeper: cannot watch {}", task.id);
        }
    }

    /// The last bytes, the record on disk, the announcement: in this order.
    fn finish(&mut self, key: Key, (status, core_dumped): Status) {
        self.resume_outputs(key);
        self.copy_last_words(key);
        let Some(task) = self.tasks.get_mut(key) else { return };
        let exit = ExitRecord {
            id: task.id.clone(),
            status,
            core_dumped,
            at_ns: now_ns(),
            oom_killed: None,
        };
        if let Err(error) = task.dir.write_exit(&exit) {
            // Announced all the same: the daemon stores it, too.
            eprintln!("keeper: cannot record the exit of {}: {error}", task.id);
        }
        task.exit = Some(exit.clone());
        task.stdin = None;
        if let Some(sink) = &mut task.sink
            && let Err(error) = sink.writer.trim()
        {
            eprintln!("keeper: cannot trim the log of {}: {error}", task.id);
        }
        if let Some(pidfd) = task.pidfd.take() {
            self.unwatch(&pidfd);
        }
        self.close_attaches(key);
        self.announce(&Event::Exited(exit));
    }

    /// Takes over what the daemon kept of a task.
    pub(super) fn adopt(&mut self, key: Key, anchors: Anchors) -> Result<(), Failure> {
        let Some(task) = self.tasks.get_mut(key) else { return Ok(()) };
        if task.state == State::Ended {
            return Ok(());
        }
        if task.stdin.is_none()
            && let Some(fd) = anchors.stdin
        {
            task.stdin = Some(super::task::Stdin::new(fd));
        }
        if task.console.is_none()
            && let Some(master) = anchors.tty
        {
            let made = super::task::make_console(&task.dir, master)
                .map_err(|error| super::launch::keeper("copy the terminal", &error))?;
            (task.console, task.stdin) = (Some(made.0), Some(made.1));
        }
        let happening = match anchors.pidfd {
            Some(pidfd) if task.pidfd.is_none() => {
                task.pidfd = Some(pidfd);
                Happening::PidfdGiven
            }
            Some(_) => Happening::PidfdGiven,
            None => Happening::NoPidfd,
        };
        self.resume_outputs(key);
        self.happen(key, happening, None);
        Ok(())
    }

    pub(super) fn signal(&mut self, key: Key, signal: u8) -> Result<(), Failure> {
        let Some(task) = self.tasks.get(key) else { return Ok(()) };
        let refused = Failure::WrongPhase { id: task.id.clone(), phase: task.phase() };
        match (supervise::step(task.state, Happening::Signal).1, &task.pidfd) {
            (Action::SendSignal, Some(pidfd)) => match pidfd::send_signal(pidfd, signal.into()) {
                Ok(()) => Ok(()),
                // It has exited and we haven't looked yet.
                Err(sys::Errno::SRCH) => Err(refused),
                Err(errno) => Err(super::launch::keeper("send the signal", &errno.into())),
            },
            _ => Err(refused),
        }
    }

    pub(super) fn forget(&mut self, key: Key) -> Result<(), Failure> {
        let Some(task) = self.tasks.get(key) else { return Ok(()) };
        if supervise::step(task.state, Happening::Forget).1 != Action::Remove {
            return Err(Failure::WrongPhase { id: task.id.clone(), phase: task.phase() });
        }
        task.dir
            .remove()
            .map_err(|error| super::launch::keeper("remove the task's directory", &error))?;
        if let Some(task) = self.tasks.remove(key) {
            self.names.remove(&task.id);
            self.journal.release(task.slot);
            for output in task.outputs.iter().flatten() {
                self.unwatch(output);
            }
        }
        Ok(())
    }
}

fn known(ended: (Ended, bool)) -> (Happening, Option<Status>) {
    let status = match ended.0 {
        Ended::Exited(code) => ExitStatus::Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
        Ended::Signaled(signal) => ExitStatus::Signal(u8::try_from(signal).unwrap_or(0)),
    };
    (Happening::StatusKnown, Some((status, ended.1)))
}

fn reap(task: &Task) -> (Happening, Option<Status>) {
    let Some(pidfd) = &task.pidfd else { return (Happening::StatusNever, None) };
    match pidfd::reap(pidfd) {
        Ok(Some(ended)) => known(ended),
        Ok(None) => (Happening::StatusLater, None),
        Err(_not_our_child) => (Happening::StatusNever, None),
    }
}

/// Asks the pidfd, which knows once somebody has reaped the process (Linux 6.15); and before that `/proc`, which knows as long as nobody has.
fn inquire(task: &Task) -> (Happening, Option<Status>) {
    let Some(pidfd) = &task.pidfd else { return (Happening::StatusNever, None) };
    let from_pidfd = pidfd::exit_info(pidfd);
    if let Ok(Some(ended)) = from_pidfd {
        return known(ended);
    }
    match process::stat(task.pid) {
        Some(stat) if stat.start_ticks == task.start_ticks && stat.zombie => {
            known(pidfd::from_wait_status(stat.exit_status))
        }
        Some(stat) if stat.start_ticks == task.start_ticks => (Happening::StatusLater, None),
        // Reaped between the two questions; the first now has an answer, if this kernel ever has.
        Some(_) | None => match pidfd::exit_info(pidfd) {
            Ok(Some(ended)) => known(ended),
            Ok(None) | Err(_) => (Happening::StatusNever, None),
        },
    }
}

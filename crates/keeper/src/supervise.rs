//! The life of a task as a table: what happens in a state decides the next state and one action.
//!
//! Pure: reads no clock, touches no process. The server feeds it events and performs the actions.
//!
//! ```text
//!            launch                         exit seen, status known
//!   (none) ─────────▶ Running ─────────────────────────────────────▶ Ended ──forget──▶ (none)
//!                                                                     ▲
//!   a new keeper finds the task file:                                 │
//!     its process lives      ▶ Orphaned ── reaped by init, pidfd ─────┤
//!     its process is gone    ▶ Missing ─── daemon gives the pidfd ────┤
//!                                 └──────── daemon has none: unknown ─┘
//! ```

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Its process is our child.
    Running,
    /// Its process lives, but is a child of the init process since an earlier keeper died.
    Orphaned,
    /// Its process is gone and only a pidfd that somebody else holds can say how it ended.
    Missing,
    /// Its exit is recorded.
    Ended,
}

/// What may happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The pidfd is readable: the process has exited.
    PidfdReady,
    /// The kernel told the exit status.
    StatusKnown,
    /// The kernel can't tell yet: the process isn't reaped.
    StatusLater,
    /// The kernel will never tell.
    StatusNever,
    /// The daemon handed a pidfd back.
    PidfdGiven,
    /// The daemon says that it has no pidfd.
    NoPidfd,
    /// The daemon wants to signal the process.
    Signal,
    /// The daemon has stored the exit.
    Forget,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Nothing,
    /// `waitid`: it is our child.
    Reap,
    /// Ask the pidfd, then `/proc`, how it ended.
    Inquire,
    /// Wait for the hang-up that the pidfd gives when the process is reaped.
    AwaitReaping,
    /// Copy the last output, record the status, announce it.
    Finish,
    /// The same, with an unknown status.
    FinishUnknown,
    /// Watch the pidfd given.
    Watch,
    /// Send the signal.
    SendSignal,
    /// Remove the task.
    Remove,
    /// Tell the client that this can't be done now.
    Refuse,
}

/// The table.
#[rustfmt::skip]
pub(crate) const fn step(state: State, event: Event) -> (State, Action) {
    use {Action as A, Event as E, State as S};
    match (state, event) {
        (S::Running,  E::PidfdReady)  => (S::Running,  A::Reap),
        (S::Running,  E::StatusKnown) => (S::Ended,    A::Finish),
        (S::Running,  E::StatusLater) => (S::Running,  A::Nothing), // a spurious wake-up
        (S::Running,  E::StatusNever) => (S::Orphaned, A::Inquire), // ECHILD: somebody else reaped our child
        (S::Running,  E::PidfdGiven)  => (S::Running,  A::Nothing), // ours is as good
        (S::Running,  E::NoPidfd)     => (S::Running,  A::Nothing),
        (S::Running,  E::Signal)      => (S::Running,  A::SendSignal),
        (S::Running,  E::Forget)      => (S::Running,  A::Refuse),

        (S::Orphaned, E::PidfdReady)  => (S::Orphaned, A::Inquire),
        (S::Orphaned, E::StatusKnown) => (S::Ended,    A::Finish),
        (S::Orphaned, E::StatusLater) => (S::Orphaned, A::AwaitReaping),
        (S::Orphaned, E::StatusNever) => (S::Ended,    A::FinishUnknown),
        (S::Orphaned, E::PidfdGiven)  => (S::Orphaned, A::Nothing),
        (S::Orphaned, E::NoPidfd)     => (S::Orphaned, A::Nothing),
        (S::Orphaned, E::Signal)      => (S::Orphaned, A::SendSignal),
        (S::Orphaned, E::Forget)      => (S::Orphaned, A::Refuse),

        (S::Missing,  E::PidfdReady)  => (S::Missing,  A::Nothing), // it has no pidfd to be ready
        (S::Missing,  E::StatusKnown) => (S::Ended,    A::Finish),
        (S::Missing,  E::StatusLater) => (S::Orphaned, A::Watch),
        (S::Missing,  E::StatusNever) => (S::Ended,    A::FinishUnknown),
        (S::Missing,  E::PidfdGiven)  => (S::Missing,  A::Inquire),
        (S::Missing,  E::NoPidfd)     => (S::Ended,    A::FinishUnknown),
        (S::Missing,  E::Signal)      => (S::Missing,  A::Refuse),
        (S::Missing,  E::Forget)      => (S::Missing,  A::Refuse),

        (S::Ended,    E::PidfdReady)  => (S::Ended,    A::Nothing),
        (S::Ended,    E::StatusKnown) => (S::Ended,    A::Nothing),
        (S::Ended,    E::StatusLater) => (S::Ended,    A::Nothing),
        (S::Ended,    E::StatusNever) => (S::Ended,    A::Nothing),
        (S::Ended,    E::PidfdGiven)  => (S::Ended,    A::Nothing),
        (S::Ended,    E::NoPidfd)     => (S::Ended,    A::Nothing),
        (S::Ended,    E::Signal)      => (S::Ended,    A::Refuse),
        (S::Ended,    E::Forget)      => (S::Ended,    A::Remove),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 4] = [State::Running, State::Orphaned, State::Missing, State::Ended];
    const EVENTS: [Event; 8] = [
        Event::PidfdReady,
        Event::StatusKnown,
        Event::StatusLater,
        Event::StatusNever,
        Event::PidfdGiven,
        Event::NoPidfd,
        Event::Signal,
        Event::Forget,
    ];

    #[test]
    fn an_ended_task_stays_ended_and_is_recorded_once() {
        for event in EVENTS {
            let (next, action) = step(State::Ended, event);
            assert_eq!(next, State::Ended);
            assert!(!matches!(action, Action::Finish | Action::FinishUnknown), "{event:?}");
        }
    }

    #[test]
    fn entering_ended_and_finishing_are_the_same_thing() {
        for state in STATES {
            for event in EVENTS {
                let (next, action) = step(state, event);
                let enters = state != State::Ended && next == State::Ended;
                let finishes = matches!(action, Action::Finish | Action::FinishUnknown);
                assert_eq!(enters, finishes, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn only_an_ended_task_is_removed() {
        for state in STATES {
            let expected = if state == State::Ended { Action::Remove } else { Action::Refuse };
            assert_eq!(step(state, Event::Forget).1, expected);
        }
    }

    #[test]
    fn a_process_that_may_be_gone_is_never_signalled() {
        for state in STATES {
            let alive = matches!(state, State::Running | State::Orphaned);
            let expected = if alive { Action::SendSignal } else { Action::Refuse };
            assert_eq!(step(state, Event::Signal).1, expected);
        }
    }

    #[test]
    fn from_every_state_a_known_status_ends_the_task() {
        for state in STATES {
            assert_eq!(step(state, Event::StatusKnown).0, State::Ended);
        }
    }

    #[test]
    fn every_path_without_a_reply_from_the_kernel_ends_as_unknown_not_as_success() {
        assert_eq!(
            step(State::Orphaned, Event::StatusNever),
            (State::Ended, Action::FinishUnknown)
        );
        assert_eq!(step(State::Missing, Event::StatusNever), (State::Ended, Action::FinishUnknown));
        assert_eq!(step(State::Missing, Event::NoPidfd), (State::Ended, Action::FinishUnknown));
    }
}

//! May this request happen now? Pure: a phase and a request give a verdict.
//!
//! ```text
//!            start                      exit
//! created ─────────▶ running ─────────────────────▶ exited ──rm──▶ removing ──▶ (gone)
//!    ▲                │  ▲  ▲ pause/unpause           │  ▲             │
//!    │                │  └──┴──▶ paused               │  │             └─▶ dead (left-overs)
//!    │           stop │        start (policy, by hand)│  │ stop
//!    │                ▼            ▲──────────────────┘  │
//!    │            stopping ──exit──┴────▶ restarting ────┘
//! ```
//! Deliberately doesn't know how anything is done; `actor.rs` asks here before it acts.

use crate::{Error, Result};

/// Where a container is, as far as requests care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Never started, or its last start failed before it ran.
    Created,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It was told to end and hasn't yet.
    Stopping,
    /// It has ended and its policy will start it again.
    Restarting,
    /// It has ended.
    Exited,
    /// Its removal failed half-way; only another removal is possible.
    Dead,
    /// It is being removed.
    Removing,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Restarting,
        Self::Exited,
        Self::Dead,
        Self::Removing,
    ];

    /// A process exists.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Stopping)
    }

    /// The word in Docker's sentences.
    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running | Self::Stopping => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Dead => "dead",
            Self::Removing => "removing",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Run it.
    Start,
    /// Let it end.
    Stop,
    /// Let it end and run it again.
    Restart,
    /// Send a signal.
    Kill,
    /// Freeze.
    Pause,
    /// Thaw.
    Unpause,
    /// Change its record: name, policy, limits, connections.
    Change,
    /// Remove it, if it doesn't run.
    Remove,
    /// Remove it even if it runs.
    ForceRemove,
}

#[cfg(test)]
impl Request {
    /// Every request.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Stop,
        Self::Restart,
        Self::Kill,
        Self::Pause,
        Self::Unpause,
        Self::Change,
        Self::Remove,
        Self::ForceRemove,
    ];
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Do it.
    Now,
    /// End the process first; do it when it has ended.
    AfterExit,
    /// Don't end it again; answer when it has ended.
    JoinExit,
    /// Nothing to do.
    Already,
    /// Not in this phase.
    Refused,
}

/// The table: one line a phase, columns in the order of [`Request`].
pub fn judge(phase: Phase, request: Request) -> Verdict {
    use Verdict::{AfterExit as E, Already as A, JoinExit as J, Now as N, Refused as R};
    //                      start stop restart kill pause unpause change remove force
    let row = match phase {
        Phase::Created => [N, A, N, R, R, R, N, N, N],
        Phase::Running => [A, E, E, N, N, R, N, R, E],
        Phase::Paused => [R, E, E, N, R, N, N, R, E],
        Phase::Stopping => [E, J, E, N, R, R, N, R, E],
        Phase::Restarting => [N, N, N, R, R, R, N, R, N],
        Phase::Exited => [N, A, N, R, R, R, N, N, N],
        Phase::Dead => [R, A, R, R, R, R, R, N, N],
        Phase::Removing => [R, A, R, R, R, R, R, R, R],
    };
    row[request as usize]
}

/// The sentence for a refusal, or for nothing to do.
pub fn refusal(phase: Phase, request: Request, id: &str, name: &str) -> Error {
    let not_running = || format!("container {id} is not running");
    match (request, phase) {
        (Request::Start, Phase::Running) => {
            Error::NotModified("Container is already started".to_owned())
        }
        (Request::Stop, _) => Error::NotModified("Container is already stopped".to_owned()),
        (Request::Start, Phase::Paused) => {
            Error::Conflict("cannot start a paused container, try unpause instead".to_owned())
        }
        (Request::Remove | Request::ForceRemove, Phase::Removing) => {
            Error::Conflict(format!("removal of container {name} is already in progress"))
        }
        (_, Phase::Dead | Phase::Removing) => Error::Conflict(
            "container is marked for removal and cannot be started or changed".to_owned(),
        ),
        (Request::Kill, _) => {
            Error::Conflict(format!("cannot kill container: {name}: {}", not_running()))
        }
        (Request::Pause, Phase::Paused) => {
            Error::Conflict(format!("container {id} is already paused"))
        }
        (Request::Pause, Phase::Restarting) => Error::Conflict(format!(
            "Container {id} is restarting, wait until the container is running"
        )),
        (Request::Unpause, Phase::Running) => {
            Error::Conflict(format!("Container {id} is not paused"))
        }
        (Request::Pause | Request::Unpause, _) => Error::Conflict(not_running()),
        (Request::Remove, Phase::Paused) => Error::Conflict(format!(
            "cannot remove container \"/{name}\": container is paused and must be unpaused first"
        )),
        (Request::Remove, _) => Error::Conflict(format!(
            "cannot remove container \"/{name}\": container is {}: stop the container before removing or force remove",
            phase.word()
        )),
        (_, _) => Error::Conflict(format!("container {id} is {}", phase.word())),
    }
}

/// [`judge`], with refusals as errors.
pub fn admit(phase: Phase, request: Request, id: &str, name: &str) -> Result<Verdict> {
    match judge(phase, request) {
        Verdict::Already | Verdict::Refused => Err(refusal(phase, request, id, name)),
        verdict => Ok(verdict),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use model::ErrorKind;

    fn phases() -> impl Strategy<Value = Phase> {
        proptest::sample::select(Phase::ALL.to_vec())
    }

    fn requests() -> impl Strategy<Value = Request> {
        proptest::sample::select(Request::ALL.to_vec())
    }

    #[test]
    fn the_columns_are_in_order() {
        for (index, request) in Request::ALL.into_iter().enumerate() {
            assert_eq!(request as usize, index);
        }
    }

    #[test]
    fn dockers_sentences() {
        let text = |phase, request| refusal(phase, request, "0123", "web").to_string();
        insta::assert_snapshot!([
            text(Phase::Running, Request::Remove),
            text(Phase::Paused, Request::Remove),
            text(Phase::Exited, Request::Kill),
            text(Phase::Running, Request::Start),
            text(Phase::Exited, Request::Stop),
            text(Phase::Exited, Request::Pause),
            text(Phase::Paused, Request::Pause),
            text(Phase::Running, Request::Unpause),
            text(Phase::Removing, Request::ForceRemove),
        ].join("\n"), @r#"
        cannot remove container "/web": container is running: stop the container before removing or force remove
        cannot remove container "/web": container is paused and must be unpaused first
        cannot kill container: web: container 0123 is not running
        Container is already started
        Container is already stopped
        container 0123 is not running
        container 0123 is already paused
        Container 0123 is not paused
        removal of container web is already in progress
        "#);
    }

    proptest! {
        /// Waiting for an exit makes sense only where a process exists, and signals only there.
        #[test]
        fn only_the_living_end(phase in phases(), request in requests()) {
            let verdict = judge(phase, request);
            if matches!(verdict, Verdict::AfterExit | Verdict::JoinExit) {
                prop_assert!(phase.is_alive());
            }
            if request == Request::Kill {
                prop_assert_eq!(verdict == Verdict::Now, phase.is_alive());
            }
        }

        /// Whatever happens, a forced removal is possible unless one is under way.
        #[test]
        fn everything_can_be_removed(phase in phases()) {
            let verdict = judge(phase, Request::ForceRemove);
            prop_assert_eq!(verdict == Verdict::Refused, phase == Phase::Removing);
        }

        /// A refusal is a conflict, and "nothing to do" is told apart from it.
        #[test]
        fn refusals_have_the_right_kind(phase in phases(), request in requests()) {
            match (judge(phase, request), admit(phase, request, "i", "n")) {
                (Verdict::Already, Err(error)) => prop_assert_eq!(error.kind(), ErrorKind::NotModified),
                (Verdict::Refused, Err(error)) => prop_assert_eq!(error.kind(), ErrorKind::Conflict),
                (verdict, Ok(admitted)) => prop_assert_eq!(verdict, admitted),
                (verdict, Err(error)) => prop_assert!(false, "{:?} {}", verdict, error),
            }
        }

        /// No request turns a living container into a started one without an exit between.
        #[test]
        fn one_process_at_a_time(phase in phases()) {
            for request in [Request::Start, Request::Restart] {
                if phase.is_alive() {
                    prop_assert_ne!(judge(phase, request), Verdict::Now);
                }
            }
        }
    }
}

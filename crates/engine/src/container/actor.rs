//! The one task that changes a container.
//!
//! Takes messages one by one, asks `queue.rs` whether each may happen now, does it (`start.rs`,
//! `exit.rs`, `remove.rs`), writes the record and publishes the snapshot. Nothing else writes
//! either. It rests (ends) when no process, timer or client is left.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use model::state::Status;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Record, RemoveRequest, Snapshot, State, StopRequest,
    attach::Expected,
    handle::{Ask, Handle, Message},
    queue::{self, Phase, Request, Verdict},
    restart_policy::Backoff,
    start::Live,
};
use crate::{Engine, Result, records::Weight};

pub(super) type Reply = oneshot::Sender<Result<()>>;

/// The actor's state; each verb's file adds its part.
#[derive(Debug)]
pub(super) struct Actor {
    pub engine: Arc<Engine>,
    pub handle: Arc<Handle>,
    pub record: Record,
    pub state: State,
    /// What the running process holds.
    pub live: Option<Live>,
    /// It was told to end.
    pub ending: Option<Ending>,
    /// When policy starts it again.
    pub revive_at: Option<Instant>,
    pub backoff: Backoff,
    /// Clients that wait for the next start.
    pub expected: Vec<Expected>,
    /// Ends the health probes of the present run.
    pub probing: CancellationToken,
    /// Counts starts, so that late news of an earlier run are told apart.
    pub run: u64,
    /// The engine ends it: what `stopped_by_hand` goes back to.
    pub shutting_down: Option<bool>,
    /// It is removed; the task ends.
    pub gone: bool,
}

/// An end under way.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// When patience ends.
    pub kill_at: Option<Instant>,
    /// What happens after it, in order.
    pub then: VecDeque<(Then, Reply)>,
}

/// What a request wants of an exit.
#[derive(Debug)]
pub(super) enum Then {
    /// Only to know.
    Answer,
    /// Run it again.
    Start,
    /// Remove it.
    Remove(RemoveRequest),
}

impl Phase {
    /// The phase that a stored or published state means.
    pub fn of(state: &State) -> Self {
        match state.status {
            Status::Created => Self::Created,
            Status::Running => Self::Running,
            Status::Paused => Self::Paused,
            Status::Restarting => Self::Restarting,
            Status::Removing => Self::Removing,
            Status::Exited => Self::Exited,
            Status::Dead => Self::Dead,
        }
    }
}

/// Serves one container until it rests.
pub async fn run(
    engine: Arc<Engine>,
    handle: Arc<Handle>,
    mut inbox: mpsc::UnboundedReceiver<Message>,
) {
    let snapshot = handle.snapshot();
    let mut actor = Actor {
        record: (*snapshot.record).clone(),
        state: snapshot.state.clone(),
        engine,
        handle,
        live: None,
        ending: None,
        revive_at: None,
        backoff: Backoff::default(),
        expected: Vec::new(),
        probing: CancellationToken::new(),
        run: 0,
        shutting_down: None,
        gone: false,
    };
    let stop = actor.engine.stopping();
    loop {
        let alarm = actor.alarm();
        tokio::select! {
            biased;
            message = inbox.recv() => match message {
                Some(message) => actor.take(message).await,
                None => break,
            },
            () = sleep_until(alarm) => actor.on_alarm().await,
            () = stop.cancelled() => break,
        }
        if actor.at_rest() && actor.handle.retire(&mut inbox) {
            break;
        }
    }
    actor.probing.cancel();
}

async fn sleep_until(alarm: Option<Instant>) {
    match alarm {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Actor {
    pub fn phase(&self) -> Phase {
        match Phase::of(&self.state) {
            Phase::Running if self.ending.is_some() => Phase::Stopping,
            phase => phase,
        }
    }

    pub fn at_rest(&self) -> bool {
        self.gone
            || (self.live.is_none()
                && self.revive_at.is_none()
                && self.ending.is_none()
                && self.expected.is_empty())
    }

    fn alarm(&self) -> Option<Instant> {
        let kill_at = self.ending.as_ref().and_then(|ending| ending.kill_at);
        match (kill_at, self.revive_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    async fn on_alarm(&mut self) {
        let now = Instant::now();
        if let Some(ending) = &mut self.ending
            && ending.kill_at.is_some_and(|at| at <= now)
        {
            ending.kill_at = None;
            self.kill_all().await;
        }
        if self.revive_at.is_some_and(|at| at <= now) {
            self.revive_at = None;
            self.record.restart_count += 1;
            if let Err(error) = self.start().await {
                tracing::warn!(container = %self.record.name, error = error.text(), "restart failed");
                self.after_failed_restart().await;
            }
        }
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Ask(ask, reply) => self.ask(ask, reply).await,
            Message::Exited(exit) => self.exited(exit).await,
            Message::Adopt(pid) => self.adopt(pid).await,
            Message::Probed { run, probe } if run == self.run => self.probed(probe),
            Message::Probed { .. } => {}
            Message::Expect(expected) => self.expected.push(expected),
            Message::OutOfMemory => self.out_of_memory(),
            Message::Revive => self.revive().await,
        }
    }

    async fn ask(&mut self, ask: Ask, reply: Reply) {
        let request = match &ask {
            Ask::Start => Request::Start,
            Ask::Stop(_) | Ask::Shutdown(..) => Request::Stop,
            Ask::Restart(_) => Request::Restart,
            Ask::Kill(_) => Request::Kill,
            Ask::Pause => Request::Pause,
            Ask::Unpause => Request::Unpause,
            Ask::Rename(_) | Ask::Update(_) | Ask::Connect(_) | Ask::Disconnect(..) => {
                Request::Change
            }
            Ask::Remove(how) if how.force => Request::ForceRemove,
            Ask::Remove(_) => Request::Remove,
        };
        let (id, name) = (self.record.id.to_string(), self.record.name.to_string());
        let verdict = match queue::admit(self.phase(), request, &id, &name) {
            Ok(verdict) => verdict,
            Err(error) => {
                // A caller that went away doesn't care.
                let _ = reply.send(Err(error));
                return;
            }
        };
        match (verdict, ask) {
            (Verdict::AfterExit | Verdict::JoinExit, ask) => self.end_first(ask, reply).await,
            (_, ask) => {
                let answer = self.act(ask).await;
                let _ = reply.send(answer);
            }
        }
    }

    async fn act(&mut self, ask: Ask) -> Result<()> {
        match ask {
            Ask::Start | Ask::Restart(_) => {
                self.revive_at = None;
                self.record.restart_count = 0;
                self.record.stopped_by_hand = false;
                self.backoff = Backoff::default();
                self.start().await
            }
            Ask::Stop(_) | Ask::Shutdown(..) => self.stay_down(),
            Ask::Kill(signal) => self.kill(signal).await,
            Ask::Pause => self.pause().await,
            Ask::Unpause => self.unpause().await,
            Ask::Rename(name) => self.rename(name),
            Ask::Update(request) => self.update(*request).await,
            Ask::Remove(request) => self.remove(request).await,
            Ask::Connect(joining) => self.connect(*joining).await,
            Ask::Disconnect(network, force) => self.disconnect(&network, force).await,
        }
    }

    /// Told to stop while waiting for a restart.
    fn stay_down(&mut self) -> Result<()> {
        self.revive_at = None;
        self.record.stopped_by_hand = true;
        self.state.status = Status::Exited;
        self.save(Weight::Lazy)
    }

    async fn end_first(&mut self, ask: Ask, reply: Reply) {
        let was_by_hand = match &ask {
            Ask::Shutdown(_, by_hand) => Some(*by_hand),
            _ => None,
        };
        let (then, stop) = match ask {
            Ask::Shutdown(stop, _) => (Then::Answer, stop),
            Ask::Start => (Then::Start, StopRequest::default()),
            Ask::Restart(stop) => (Then::Start, stop),
            Ask::Stop(stop) => (Then::Answer, stop),
            Ask::Remove(how) => {
                (Then::Remove(how), StopRequest { timeout_s: Some(0), ..StopRequest::default() })
            }
            // The table sends no others here.
            Ask::Kill(_)
            | Ask::Pause
            | Ask::Unpause
            | Ask::Rename(_)
            | Ask::Update(_)
            | Ask::Connect(_)
            | Ask::Disconnect(..) => return,
        };
        match self.end(&stop, matches!(then, Then::Remove(_))).await {
            Ok(()) => {
                if let Some(by_hand) = was_by_hand {
                    self.shutting_down = Some(by_hand);
                }
                let ending = self.ending.get_or_insert_default();
                ending.then.push_back((then, reply));
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    /// Writes the record and publishes what readers see.
    pub fn save(&mut self, weight: Weight) -> Result<()> {
        self.save_with(weight, Vec::new())
    }

    /// The same with events, in one transaction.
    pub fn save_with(&mut self, weight: Weight, events: Vec<crate::event::Draft>) -> Result<()> {
        self.publish();
        let (record, state) = (&self.record, &self.state);
        self.engine.records().save_container(record, state, events, weight)
    }

    /// Publishes without writing, for what may be lost with the daemon.
    pub fn publish(&self) {
        let snapshot =
            Snapshot { record: Arc::new(self.record.clone()), state: self.state.clone() };
        self.handle.publish(Arc::new(snapshot));
    }

    /// An event about this container.
    pub fn event(&self, action: &str, more: &[(&str, &str)]) -> crate::event::Draft {
        crate::event::Draft::container(&self.record, action, more)
    }
}

/// How long a stop waits before SIGKILL; `None`: for ever.
pub(super) fn patience(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

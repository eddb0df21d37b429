//! What everybody but the actor holds of a container: its snapshot, and a way to its actor.
//!
//! A container without a process has no task. The first message starts one; it ends when the
//! container is at rest and its inbox is empty.

use std::sync::{Arc, Mutex, PoisonError};

use model::ContainerId;
use tokio::sync::{mpsc, oneshot, watch};

use super::{Record, Snapshot, State, actor, attach::Expected, queue::Phase};
use crate::{Engine, Error, Result, container::StopRequest, network};

/// A container, shared.
#[derive(Debug)]
pub struct Handle {
    /// For ever.
    pub id: ContainerId,
    snapshot: watch::Sender<Arc<Snapshot>>,
    inbox: Mutex<Option<mpsc::UnboundedSender<Message>>>,
}

/// Something for the actor.
#[derive(Debug)]
pub enum Message {
    /// A request, and where its answer goes.
    Ask(Ask, oneshot::Sender<Result<()>>),
    /// The keeper says that the process has ended.
    Exited(keeper::protocol::ExitRecord),
    /// It runs already: found when the engine started.
    Adopt(u32),
    /// A health probe of start number `run` has ended.
    Probed {
        /// Which start of the container it belongs to.
        run: u64,
        /// Its outcome.
        probe: super::Probe,
    },
    /// A client that will wait for the next start.
    Expect(Expected),
    /// The kernel killed processes for lack of memory.
    OutOfMemory,
    /// Somebody looks whether policy wants it to run (at the engine's start).
    Revive,
}

/// A request to change something.
#[derive(Debug)]
pub enum Ask {
    /// Run it.
    Start,
    /// Let it end.
    Stop(StopRequest),
    /// Let it end and run it again.
    Restart(StopRequest),
    /// Let it end because the engine does; whether it counts as stopped by hand stays as it was.
    Shutdown(StopRequest, bool),
    /// Send this signal.
    Kill(u8),
    /// Freeze.
    Pause,
    /// Thaw.
    Unpause,
    /// Take another name (already reserved).
    Rename(model::name::ContainerName),
    /// Change limits and policy.
    Update(Box<super::UpdateRequest>),
    /// Remove.
    Remove(super::RemoveRequest),
    /// Join a network.
    Connect(Box<network::Joining>),
    /// Leave a network: its id; also when that fails.
    Disconnect(String, bool),
}

impl Handle {
    /// A container as read from the store, or new.
    pub fn new(record: Record, state: State) -> Arc<Self> {
        let id = record.id.clone();
        let snapshot = Arc::new(Snapshot { record: Arc::new(record), state });
        Arc::new(Self { id, snapshot: watch::Sender::new(snapshot), inbox: Mutex::new(None) })
    }

    /// It, now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// It, as it changes. The sender is gone when the container is.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// For the actor alone.
    pub(super) fn publish(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.send_replace(snapshot);
    }

    /// Where it is, as far as others can tell.
    pub fn phase(&self) -> Phase {
        Phase::of(&self.snapshot().state)
    }

    /// Hands a message to the actor, starting it if it rests.
    pub fn send(self: &Arc<Self>, engine: &Arc<Engine>, message: Message) {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let message = match inbox.as_ref() {
            Some(sender) => match sender.send(message) {
                Ok(()) => return,
                Err(returned) => returned.0,
            },
            None => message,
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        // The receiver is right here.
        let _ = sender.send(message);
        *inbox = Some(sender);
        engine.tasks().spawn(actor::run(engine.clone(), self.clone(), receiver));
    }

    /// Asks, and waits for the answer.
    pub async fn ask(self: &Arc<Self>, engine: &Arc<Engine>, ask: Ask) -> Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.send(engine, Message::Ask(ask, sender));
        receiver
            .await
            .unwrap_or_else(|_| Err(Error::Unavailable("the engine is shutting down".to_owned())))
    }

    /// The actor wants to rest: true, and messages start a new one, unless some have arrived.
    pub(super) fn retire(&self, receiver: &mut mpsc::UnboundedReceiver<Message>) -> bool {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if receiver.is_empty() {
            *inbox = None;
            true
        } else {
            false
        }
    }
}

//! Wait: for an exit or for the end of the container itself.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Containers, Snapshot, WaitCondition, WaitOutcome};
use crate::Result;

/// A wait that has begun.
#[derive(Debug)]
pub struct Waiting {
    watch: watch::Receiver<Arc<Snapshot>>,
    condition: WaitCondition,
    /// Exits seen when the wait began.
    exits: u64,
}

impl Containers<'_> {
    /// Starts waiting now: what happens after this returns is seen by [`Waiting::outcome`].
    pub async fn wait(&self, container: &str, condition: WaitCondition) -> Result<Waiting> {
        let watch = self.engine.registry().find(container)?.watch();
        let exits = watch.borrow().state.exits;
        Ok(Waiting { watch, condition, exits })
    }
}

impl Waiting {
    /// The outcome, when it is there.
    pub async fn outcome(mut self) -> WaitOutcome {
        let (condition, exits) = (self.condition, self.exits);
        let done = |snapshot: &Arc<Snapshot>| {
            let state = &snapshot.state;
            let has_ended = state.exits > exits;
            match condition {
                WaitCondition::NotRunning => has_ended || !state.is_running(),
                WaitCondition::NextExit => has_ended,
                // Removed containers have no sender any more.
                WaitCondition::Removed => false,
            }
        };
        let found = self.watch.wait_for(done).await.map(|snapshot| snapshot.state.exit_code);
        // When it is gone, the last state stays readable.
        let exit_code = found.unwrap_or_else(|_| self.watch.borrow().state.exit_code);
        WaitOutcome { exit_code, error: None }
    }
}

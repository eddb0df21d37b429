//! Events: a durable log of what happened, and its followers.

mod types;

pub use types::*;

use std::sync::Arc;

use model::event::Event;

use crate::{Engine, Result, error::pending};

/// The event log.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Events<'_> {
    /// Past events from `since`, then new ones until `until`.
    pub async fn follow(&self, request: EventsRequest) -> Result<EventStream> {
        pending("follow")
    }
}

/// Events in order.
#[derive(Debug)]
pub struct EventStream {
    receiver: tokio::sync::mpsc::Receiver<Event>,
}

impl EventStream {
    /// The next event; `None` at `until`, or when the reader was too slow.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

//! What a build tells while it goes on.

use tokio::sync::mpsc;

use crate::graph::VertexId;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step is being looked at or carried out.
    Started(VertexId),
    /// Output of a step.
    Log {
        /// Whose.
        vertex: VertexId,
        /// Which stream.
        stream: Stream,
        /// Bytes as they came.
        bytes: Vec<u8>,
    },
    /// A step is ready.
    Completed {
        /// Which.
        vertex: VertexId,
        /// It was known.
        cached: bool,
    },
    /// A step failed.
    Failed {
        /// Which.
        vertex: VertexId,
        /// Why.
        message: String,
    },
    /// Why a step wasn't taken from the cache, or that it was.
    Explained {
        /// Which.
        vertex: VertexId,
        /// A sentence.
        reason: String,
    },
}

/// A stream of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes events; a slow reader slows the build down.
pub type Sender = mpsc::Sender<Event>;

/// Takes the output of one step.
#[derive(Clone, Debug)]
pub struct Log {
    vertex: VertexId,
    events: Sender,
}

impl Log {
    /// The log of a vertex.
    pub fn new(vertex: VertexId, events: Sender) -> Self {
        Self { vertex, events }
    }

    /// Hands output on. Nobody listening is no error: the build goes on.
    pub async fn write(&self, stream: Stream, bytes: &[u8]) {
        let event = Event::Log { vertex: self.vertex, stream, bytes: bytes.to_vec() };
        let _ = self.events.send(event).await;
    }
}

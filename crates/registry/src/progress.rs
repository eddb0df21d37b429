//! What a transfer tells about itself while it goes on, in the words that Docker's clients know.

use std::sync::Arc;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A sentence about a thing; `id` may be empty.
    Status {
        /// Layer's short digest or tag.
        id: String,
        /// The sentence.
        text: String,
    },
    /// Bytes of one thing.
    Bytes {
        /// Layer's short digest.
        id: String,
        /// `Downloading`, `Pushing`.
        text: &'static str,
        /// Done.
        current: u64,
        /// Of.
        total: u64,
    },
}

/// Takes the messages; must not block.
pub type Sink = Arc<dyn Fn(Progress) + Send + Sync>;

/// Sends a sentence.
pub(crate) fn status(sink: &Sink, id: &str, text: impl Into<String>) {
    sink(Progress::Status { id: id.to_owned(), text: text.into() });
}

/// A counter that speaks at most every `STEP` bytes, so that a fast transfer isn't slowed by talk.
pub(crate) struct Counter {
    sink: Sink,
    id: String,
    text: &'static str,
    current: u64,
    said: u64,
    total: u64,
}

const STEP: u64 = 512 * 1024;

impl Counter {
    pub(crate) fn new(sink: &Sink, id: &str, text: &'static str, from: u64, total: u64) -> Self {
        Self { sink: sink.clone(), id: id.to_owned(), text, current: from, said: from, total }
    }

    pub(crate) fn add(&mut self, bytes: usize) {
        self.current += bytes as u64;
        if self.current - self.said >= STEP || self.current == self.total {
            self.said = self.current;
            (self.sink)(Progress::Bytes {
                id: self.id.clone(),
                text: self.text,
                current: self.current,
                total: self.total,
            });
        }
    }
}

//! The engine's own objects, as bytes, and the durable log of events.
//!
//! The store knows no object's meaning: a kind and an id name some JSON. A [`Batch`] is applied
//! whole or not at all.

use model::event::Event;

use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::store::Store;

/// Changes that belong together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: String, bytes: Vec<u8> },
    Delete { key: String },
    Event(Box<Event>),
}

impl Batch {
    /// No changes yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the object `id` of `kind` (which has no `/`).
    #[must_use]
    pub fn put(mut self, kind: &str, id: &str, bytes: Vec<u8>) -> Self {
        self.steps.push(Step::Put { key: key(kind, id), bytes });
        self
    }

    /// Removes the object `id` of `kind`; absence is no error.
    #[must_use]
    pub fn delete(mut self, kind: &str, id: &str) -> Self {
        self.steps.push(Step::Delete { key: key(kind, id) });
        self
    }

    /// Appends an event; its sequence number is set by the store.
    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.steps.push(Step::Event(Box::new(event)));
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

fn key(kind: &str, id: &str) -> String {
    debug_assert!(!kind.contains('/'), "a kind is one word");
    format!("{kind}/{id}")
}

impl Store {
    /// Applies a batch in one transaction, and gives its events with their sequence numbers.
    ///
    /// # Errors
    /// The database's; then nothing was applied.
    pub fn apply(&self, batch: Batch, durability: Durability) -> Result<Vec<Event>> {
        let kept = self.inner.options.events_kept;
        self.inner.write(durability, move |tx| {
            let mut events = Vec::new();
            for step in &batch.steps {
                match step {
                    Step::Put { key, bytes } => tx.put_bytes(Table::Objects, key, bytes)?,
                    Step::Delete { key } => {
                        tx.delete(Table::Objects, key)?;
                    }
                    Step::Event(event) => {
                        let mut event = (**event).clone();
                        tx.append_event(kept, |sequence| {
                            event.sequence = sequence;
                            serde_json::to_vec(&event).map_err(|e| event_record(sequence, e))
                        })?;
                        events.push(event);
                    }
                }
            }
            Ok(events)
        })
    }

    /// One object.
    ///
    /// # Errors
    /// The database's.
    pub fn get(&self, kind: &str, id: &str) -> Result<Option<Vec<u8>>> {
        self.inner.read(|snapshot| snapshot.get_bytes(Table::Objects, &key(kind, id)))
    }

    /// All objects of a kind with their ids, sorted by id.
    ///
    /// # Errors
    /// The database's.
    pub fn list(&self, kind: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let prefix = key(kind, "");
        let mut found = Vec::new();
        self.inner.read(|snapshot| {
            snapshot.scan(Table::Objects, &prefix, |key, bytes| {
                found.push((key[prefix.len()..].to_owned(), bytes.to_vec()));
                Ok(())
            })
        })?;
        Ok(found)
    }

    /// Up to `limit` events after the one with sequence number `cursor`, oldest first. If the
    /// first is not `cursor + 1`, those between were dropped.
    ///
    /// # Errors
    /// The database's; a damaged record.
    pub fn events_since(&self, cursor: u64, limit: usize) -> Result<Vec<Event>> {
        let rows = self.inner.read(|snapshot| snapshot.events_after(cursor, limit))?;
        rows.into_iter()
            .map(|(sequence, bytes)| {
                serde_json::from_slice(&bytes).map_err(|error| event_record(sequence, error))
            })
            .collect()
    }

    /// Sequence numbers of the oldest and the newest event that are kept.
    ///
    /// # Errors
    /// The database's.
    pub fn event_bounds(&self) -> Result<Option<(u64, u64)>> {
        self.inner.read(crate::db::Snapshot::event_bounds)
    }
}

fn event_record(sequence: u64, source: serde_json::Error) -> Error {
    Error::Record { what: "events", key: sequence.to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Options;
    use model::event::EventType;

    fn event(action: &str) -> Event {
        Event {
            sequence: 0,
            kind: EventType::Container,
            action: action.to_owned(),
            actor_id: "x".to_owned(),
            attributes: Default::default(),
            time_ns: 1,
        }
    }

    #[test]
    fn objects_and_events_go_together() {
        let temp = tempfile::tempdir().unwrap();
        let store = Store::open(temp.path(), Options::default()).unwrap();
        let batch = Batch::new()
            .put("container", "a", b"1".to_vec())
            .put("container", "b", b"2".to_vec())
            .put("containers", "c", b"3".to_vec())
            .event(event("create"));
        let events = store.apply(batch, Durability::Durable).unwrap();
        assert_eq!(events[0].sequence, 1);
        assert_eq!(
            store.list("container").unwrap(),
            vec![("a".to_owned(), b"1".to_vec()), ("b".to_owned(), b"2".to_vec())]
        );
        store.apply(Batch::new().delete("container", "a"), Durability::Lazy).unwrap();
        assert_eq!(store.get("container", "a").unwrap(), None);
        assert_eq!(store.events_since(0, 10).unwrap(), events);
    }

    #[test]
    fn the_event_log_is_bounded_and_the_gap_shows() {
        let temp = tempfile::tempdir().unwrap();
        let options = Options { events_kept: 100, ..Options::default() };
        let store = Store::open(temp.path(), options).unwrap();
        for _ in 0..10 {
            let mut batch = Batch::new();
            for n in 0..100 {
                batch = batch.event(event(&n.to_string()));
            }
            store.apply(batch, Durability::Lazy).unwrap();
        }
        let (first, last) = store.event_bounds().unwrap().unwrap();
        assert_eq!(last, 1000);
        assert!(last - first < 100 + 256, "{first}");
        assert_eq!(store.events_since(0, 1).unwrap()[0].sequence, first);
        drop(store);
        let store = Store::open(temp.path(), options).unwrap();
        let events = store.apply(Batch::new().event(event("x")), Durability::Lazy).unwrap();
        assert_eq!(events[0].sequence, 1001);
    }
}

//! What may not be collected although nothing refers to it yet, and who is working on what.
//!
//! A [`Lease`] lives in memory: after a crash nobody is in flight. A pin is durable and named.
//! Every operation leases a thing *before* it looks whether the thing is there; the collector
//! decides under the same lock. So either it sees the lease, or the operation sees the thing gone.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use model::Digest;
use serde::{Deserialize, Serialize};

/// Something that can be kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// A blob by its digest.
    Blob(Digest),
    /// An unpacked layer by its diff id.
    Layer(Digest),
    /// An image by its id, with all that belongs to it.
    Image(Digest),
}

#[derive(Default)]
pub(crate) struct Leases {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    held: HashMap<u64, HashSet<Resource>>,
}

/// Keeps everything touched under it from being collected, until it is dropped.
#[must_use = "a lease that is dropped at once keeps nothing"]
pub struct Lease {
    leases: Arc<Leases>,
    id: u64,
}

/// All that is leased now; nothing can be leased while this exists.
pub(crate) struct Frozen<'a>(MutexGuard<'a, Table>);

impl Leases {
    pub(crate) fn begin(self: &Arc<Self>) -> Lease {
        let mut table = lock(&self.table);
        table.next += 1;
        let id = table.next;
        table.held.insert(id, HashSet::new());
        Lease { leases: self.clone(), id }
    }

    pub(crate) fn freeze(&self) -> Frozen<'_> {
        Frozen(lock(&self.table))
    }
}

impl Frozen<'_> {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Resource> {
        self.0.held.values().flatten()
    }
}

impl Lease {
    /// Keeps `resource`, there or not.
    pub fn keep(&self, resource: Resource) {
        let mut table = lock(&self.leases.table);
        if let Some(held) = table.held.get_mut(&self.id) {
            held.insert(resource);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.leases.table).held.remove(&self.id);
    }
}

/// A poisoned lock's data is whole: no code panics between two changes that belong together.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One worker per key: the second waits for the first.
#[derive(Default)]
pub(crate) struct Flights {
    busy: Mutex<HashSet<Resource>>,
    landed: Condvar,
}

/// The right to work on a key, until it is dropped.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    key: Resource,
}

impl Flights {
    /// Waits until nobody works on `key`, and takes it.
    pub(crate) fn begin(self: &Arc<Self>, key: Resource) -> Flight {
        let mut busy = lock(&self.busy);
        while !busy.insert(key.clone()) {
            busy = self.landed.wait(busy).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        Flight { flights: self.clone(), key }
    }

    /// Waits until nobody works on `key`.
    pub(crate) fn wait(&self, key: &Resource) {
        let mut busy = lock(&self.busy);
        while busy.contains(key) {
            busy = self.landed.wait(busy).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    pub(crate) fn is_busy(&self, key: &Resource) -> bool {
        lock(&self.busy).contains(key)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        lock(&self.flights.busy).remove(&self.key);
        self.flights.landed.notify_all();
    }
}

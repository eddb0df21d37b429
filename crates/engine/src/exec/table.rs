//! The execs of an engine, in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::{ContainerId, ExecId};
use tokio::sync::watch;

use super::{Phase, Snapshot};
use crate::{Error, Result};

/// Ended execs kept for those who ask how they ended.
const ENDED_KEPT: usize = 1024;

/// All execs by id.
#[derive(Debug, Default)]
pub struct Table {
    entries: Mutex<HashMap<String, watch::Sender<Snapshot>>>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Snapshot>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one.
    pub fn insert(&self, snapshot: Snapshot) {
        let mut entries = self.lock();
        if entries.len() > ENDED_KEPT {
            forget_oldest(&mut entries);
        }
        entries.insert(snapshot.id.to_string(), watch::Sender::new(snapshot));
    }

    /// The one with this id, or the only one whose id begins so.
    pub fn find(&self, text: &str) -> Result<Snapshot> {
        let entries = self.lock();
        if let Some(entry) = entries.get(text) {
            return Ok(entry.borrow().clone());
        }
        let mut matches = entries.iter().filter(|(id, _)| text.len() >= 4 && id.starts_with(text));
        match (matches.next(), matches.next()) {
            (Some((_, entry)), None) => Ok(entry.borrow().clone()),
            (Some(_), Some(_)) => Err(Error::Ambiguous(text.to_owned())),
            _ => Err(Error::NoSuchExec(text.to_owned())),
        }
    }

    /// Follows one.
    pub fn watch(&self, id: &ExecId) -> Option<watch::Receiver<Snapshot>> {
        self.lock().get(id.as_str()).map(watch::Sender::subscribe)
    }

    /// Changes one; false if it isn't there.
    pub fn change(&self, id: &str, change: impl FnOnce(&mut Snapshot)) -> bool {
        match self.lock().get(id) {
            Some(entry) => {
                entry.send_modify(change);
                true
            }
            None => false,
        }
    }

    /// Takes the right to start one: only the first caller gets it.
    pub fn claim(&self, id: &str) -> Result<Snapshot> {
        let entries = self.lock();
        let entry = entries.get(id).ok_or_else(|| Error::NoSuchExec(id.to_owned()))?;
        let snapshot = entry.borrow().clone();
        match snapshot.phase {
            Phase::Prepared => {
                entry.send_modify(|snapshot| snapshot.phase = Phase::Running);
                Ok(snapshot)
            }
            Phase::Running => Err(Error::Conflict(format!("exec {id} has already started"))),
            Phase::Ended { .. } => {
                Err(Error::Conflict(format!("exec command {id} has already exited")))
            }
        }
    }

    /// Removes one.
    pub fn remove(&self, id: &ExecId) {
        self.lock().remove(id.as_str());
    }

    /// Those of a container that run.
    pub fn running_in(&self, container: &ContainerId) -> Vec<Snapshot> {
        let entries = self.lock();
        let all = entries.values().map(|entry| entry.borrow().clone());
        all.filter(|exec| exec.container == *container && exec.phase == Phase::Running).collect()
    }

    /// Ids of those that run in a container.
    pub fn of_container(&self, container: &ContainerId) -> Vec<String> {
        self.running_in(container).into_iter().map(|exec| exec.id.to_string()).collect()
    }

    /// The container is gone, and its execs with it.
    pub fn drop_container(&self, container: &ContainerId) {
        self.lock().retain(|_, entry| entry.borrow().container != *container);
    }
}

fn forget_oldest(entries: &mut HashMap<String, watch::Sender<Snapshot>>) {
    let ended = entries
        .values()
        .map(|entry| entry.borrow().clone())
        .filter(|exec| matches!(exec.phase, Phase::Ended { .. }))
        .min_by_key(|exec| exec.created_ns);
    if let Some(exec) = ended {
        entries.remove(exec.id.as_str());
    }
}

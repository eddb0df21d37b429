//! All containers by id and by name, and what a text typed by somebody means.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use model::{ContainerId, name::ContainerName};

use super::handle::Handle;
use crate::{Error, Result};

/// The containers of an engine.
#[derive(Debug, Default)]
pub struct Registry {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: BTreeMap<String, Arc<Handle>>,
    names: HashMap<ContainerName, ContainerId>,
}

impl Registry {
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name for a container, or says who has it.
    pub fn reserve(&self, name: &ContainerName, id: &ContainerId) -> Result<()> {
        let mut inner = self.write();
        match inner.names.get(name) {
            Some(owner) if owner != id => {
                Err(Error::NameInUse { name: name.to_string(), id: owner.to_string() })
            }
            _ => {
                inner.names.insert(name.clone(), id.clone());
                Ok(())
            }
        }
    }

    /// Gives a name back, if `id` has it.
    pub fn release(&self, name: &ContainerName, id: &ContainerId) {
        let mut inner = self.write();
        if inner.names.get(name) == Some(id) {
            inner.names.remove(name);
        }
    }

    /// Adds a container, whose name is reserved.
    pub fn insert(&self, handle: Arc<Handle>) {
        self.write().by_id.insert(handle.id.to_string(), handle);
    }

    /// Takes a container and its name out.
    pub fn remove(&self, id: &ContainerId) {
        let mut inner = self.write();
        inner.by_id.remove(id.as_str());
        inner.names.retain(|_, owner| owner != id);
    }

    /// The container with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<Handle>> {
        self.read().by_id.get(id).cloned()
    }

    /// The container that `text` means: whole id, then name, then unique prefix of an id.
    pub fn find(&self, text: &str) -> Result<Arc<Handle>> {
        let inner = self.read();
        let missing = || Error::NoSuchContainer(text.to_owned());
        if let Some(handle) = inner.by_id.get(text) {
            return Ok(handle.clone());
        }
        let bare = text.strip_prefix('/').unwrap_or(text);
        if let Ok(name) = bare.parse::<ContainerName>()
            && let Some(id) = inner.names.get(&name)
        {
            return inner.by_id.get(id.as_str()).cloned().ok_or_else(missing);
        }
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.is_empty() || !text.bytes().all(hex) {
            return Err(missing());
        }
        let mut matches =
            inner.by_id.range(text.to_owned()..).take_while(|(id, _)| id.starts_with(text));
        match (matches.next(), matches.next()) {
            (Some((_, handle)), None) => Ok(handle.clone()),
            (Some(_), Some(_)) => Err(Error::Ambiguous(text.to_owned())),
            _ => Err(missing()),
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Handle>> {
        self.read().by_id.values().cloned().collect()
    }
}

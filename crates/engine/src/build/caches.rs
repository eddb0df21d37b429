//! Cache mounts: folders that live on between builds, and who may use them at once.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use build::error::WorkerError;
use dockerfile::instruction::Sharing;
use model::Digest;
use sys::{dir::Dir, file};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::{Area, fault};

/// Locks of all cache mounts of a process.
#[derive(Debug, Default)]
pub struct Caches {
    locks: Mutex<HashMap<String, Arc<AsyncMutex<()>>>>,
}

/// A cache mount in use.
#[derive(Debug)]
pub struct Used {
    /// The folder.
    pub path: PathBuf,
    /// It was made just now.
    pub fresh: bool,
    _guard: Option<OwnedMutexGuard<()>>,
}

/// What a new folder is like.
#[derive(Clone, Copy, Debug)]
pub struct Like {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Caches {
    fn lock(&self, name: &str) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(name.to_owned()).or_default().clone()
    }

    /// Takes the cache `id`. A locked one is waited for; of a private one in use another copy is
    /// taken.
    pub async fn take(
        &self,
        area: &Area,
        id: &str,
        sharing: Sharing,
        like: Like,
    ) -> Result<Used, WorkerError> {
        // The name is a client's text: hashed, it is a safe path component (E1).
        let hash = Digest::sha256(id.as_bytes());
        let parent = area.caches().map_err(fault::engine)?;
        let (name, guard) = match sharing {
            Sharing::Shared => (hash.hex().to_owned(), None),
            Sharing::Locked => {
                (hash.hex().to_owned(), Some(self.lock(hash.hex()).lock_owned().await))
            }
            Sharing::Private => self.private(hash.hex()),
        };
        let path = parent.join(&name);
        let made = {
            let dir = Dir::open(&parent).map_err(fault::file("open", "the caches"))?;
            match dir.make_dir(name.as_bytes(), 0o700) {
                Ok(()) => {
                    let new =
                        dir.open_dir(name.as_bytes()).map_err(fault::file("open", "a cache"))?;
                    file::set_owner(&new, like.uid, like.gid)
                        .map_err(fault::file("own", "a cache"))?;
                    file::set_mode(&new, like.mode).map_err(fault::file("protect", "a cache"))?;
                    true
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(fault::file("create", "a cache")(error)),
            }
        };
        Ok(Used { path, fresh: made, _guard: guard })
    }

    fn private(&self, hash: &str) -> (String, Option<OwnedMutexGuard<()>>) {
        let mut number = 0;
        loop {
            let name = format!("{hash}-private-{number}");
            if let Ok(guard) = self.lock(&name).try_lock_owned() {
                return (name, Some(guard));
            }
            number += 1;
        }
    }
}

//! The build cache's records: key → layer, in the store. Layers are pinned for as long as a
//! record speaks of them.

use build::{error::WorkerError, worker::Known};
use model::Digest;
use serde::{Deserialize, Serialize};
use store::{Batch, Durability, Lease, Resource, Store};

use super::{failed, fault};
use crate::{Result, error::Cause, moment};

const KIND: &str = "build-cache";

/// A step that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheEntry {
    /// The key's digest.
    pub key: Digest,
    /// The step, for people.
    pub step: String,
    /// The layer; `None`: the step changed nothing.
    pub layer: Option<Digest>,
    /// Bytes of the layer.
    pub size: u64,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// Nanoseconds since the epoch.
    pub used_ns: i64,
    /// How often.
    pub uses: u64,
}

/// What a prune did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrunedCache {
    /// Keys that are forgotten.
    pub keys: Vec<Digest>,
    /// Bytes.
    pub bytes: u64,
}

fn owner(key: &Digest) -> String {
    format!("build-cache/{}", key.hex())
}

fn read(bytes: &[u8]) -> Option<CacheEntry> {
    serde_json::from_slice(bytes).ok()
}

fn write(entry: &CacheEntry) -> Vec<u8> {
    serde_json::to_vec(entry).expect("records have text keys only and can always be written")
}

/// What is known under a key, if its layer is still there; the lease keeps it from now on.
pub fn known(store: &Store, lease: &Lease, key: &Digest) -> Result<Option<Known>, WorkerError> {
    let Some(bytes) = store.get(KIND, key.hex()).map_err(fault::store)? else { return Ok(None) };
    // A record of another format is as good as none.
    let Some(mut entry) = read(&bytes) else { return Ok(None) };
    if let Some(layer) = &entry.layer {
        lease.keep(Resource::Layer(layer.clone()));
        if store.layer(layer).map_err(fault::store)?.is_none() {
            return Ok(None);
        }
    }
    entry.used_ns = moment::now_ns();
    entry.uses += 1;
    let batch = Batch::new().put(KIND, key.hex(), write(&entry));
    store.apply(batch, Durability::Lazy).map_err(fault::store)?;
    Ok(Some(Known { layer: entry.layer }))
}

/// Remembers a step.
pub fn remember(store: &Store, key: &Digest, step: &str, known: &Known) -> Result<(), WorkerError> {
    let size = match &known.layer {
        Some(layer) => store.layer(layer).map_err(fault::store)?.map_or(0, |layer| layer.size),
        None => 0,
    };
    let now = moment::now_ns();
    let entry = CacheEntry {
        key: key.clone(),
        step: step.to_owned(),
        layer: known.layer.clone(),
        size,
        created_ns: now,
        used_ns: now,
        uses: 1,
    };
    if let Some(layer) = &known.layer {
        store.pin(&owner(key), &[Resource::Layer(layer.clone())]).map_err(fault::store)?;
    }
    let batch = Batch::new().put(KIND, key.hex(), write(&entry));
    store.apply(batch, Durability::Lazy).map_err(fault::store)?;
    Ok(())
}

/// Everything that is known, the longest unused first.
pub fn list(store: &Store) -> Result<Vec<CacheEntry>> {
    let rows =
        store.list(KIND).map_err(|e| failed("list", "the build cache", Cause::new(e.kind(), e)))?;
    let mut all: Vec<CacheEntry> = rows.iter().filter_map(|(_, bytes)| read(bytes)).collect();
    all.sort_by_key(|entry| entry.used_ns);
    Ok(all)
}

/// Forgets the longest unused until at most `keep_bytes` are left; none used within
/// `older_than_s` seconds goes.
pub fn prune(store: &Store, keep_bytes: u64, older_than_s: i64) -> Result<PrunedCache> {
    let fault = |e: store::Error| failed("prune", "the build cache", Cause::new(e.kind(), e));
    let entries = list(store)?;
    let mut total: u64 = entries.iter().map(|entry| entry.size).sum();
    let limit = moment::now_ns().saturating_sub(older_than_s.saturating_mul(1_000_000_000));
    let mut pruned = PrunedCache::default();
    for entry in entries {
        if entry.used_ns > limit || (keep_bytes > 0 && total <= keep_bytes) {
            continue;
        }
        total = total.saturating_sub(entry.size);
        store.unpin(&owner(&entry.key)).map_err(fault)?;
        let batch = Batch::new().delete(KIND, entry.key.hex());
        store.apply(batch, Durability::Lazy).map_err(fault)?;
        pruned.keys.push(entry.key);
    }
    pruned.bytes = store.collect().map_err(fault)?.bytes;
    Ok(pruned)
}

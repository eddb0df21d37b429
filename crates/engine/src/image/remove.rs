//! Remove and prune.

use model::{Digest, event::EventType, filter::Filters};
use store::ImageUse;

use super::{Images, Pruned, RemoveRequest, Removed, list, resolve::not_found};
use crate::{Engine, Error, Result, blocking, volume::dangling};

impl Images<'_> {
    /// Takes a name away, and the image when it was the last one.
    pub async fn remove(&self, image: &str, request: RemoveRequest) -> Result<Vec<Removed>> {
        let (engine, text) = (self.engine.clone(), image.to_owned());
        let removed = blocking::spawn(move || {
            let options = store::RemoveOptions { force: request.force };
            let users = |id: &Digest| users(&engine, id);
            let store = engine.records().store();
            store.image_remove(&text, options, users).map_err(|error| match error {
                store::Error::ImageInUse { .. } => Error::Conflict(error.to_string()),
                error => not_found(&text, error),
            })
        })
        .await?;
        let removed: Vec<Removed> = removed.into_iter().map(convert).collect();
        self.tell(&removed);
        Ok(removed)
    }

    /// Removes those without a name (filter `dangling=false`: those without a container).
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        filters
            .check_keys(&["dangling", "label", "label!", "until"])
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let only_dangling = dangling(&filters)?.unwrap_or(true);
        let mut rest = Filters::default();
        for (key, values) in filters.iter().filter(|(key, _)| *key != "dangling") {
            for value in values {
                rest.add(key, value);
            }
        }
        let engine = self.engine.clone();
        let (removed, reclaimed) = blocking::spawn(move || {
            let keep = list::chosen(&engine, &rest)?;
            let wanted = |image: &store::Image| {
                keep(image)
                    && (!only_dangling || (image.tags.is_empty() && image.digests.is_empty()))
            };
            let store = engine.records().store();
            let (removed, collected) = store
                .image_prune(wanted, |id| users(&engine, id))
                .map_err(crate::records::stored("prune", "images"))?;
            Ok((removed, collected.bytes))
        })
        .await?;
        let removed: Vec<Removed> = removed.into_iter().map(convert).collect();
        self.tell(&removed);
        self.engine.events().pruned(EventType::Image, reclaimed);
        Ok(Pruned { removed, reclaimed })
    }

    fn tell(&self, removed: &[Removed]) {
        for step in removed {
            match step {
                Removed::Untagged(name) => {
                    self.engine.events().other(EventType::Image, "untag", name, &[("name", name)]);
                }
                Removed::Deleted(id) => {
                    let id = id.to_string();
                    self.engine.events().other(EventType::Image, "delete", &id, &[("name", &id)]);
                }
            }
        }
    }
}

/// The containers made from an image.
fn users(engine: &Engine, id: &Digest) -> Vec<ImageUse> {
    let uses = |handle: std::sync::Arc<crate::container::handle::Handle>| {
        let snapshot = handle.snapshot();
        (snapshot.record.image_id.as_ref() == Some(id)).then(|| ImageUse {
            container: handle.id.short().to_owned(),
            running: snapshot.state.is_running(),
        })
    };
    engine.registry().all().into_iter().filter_map(uses).collect()
}

fn convert(removed: store::Removed) -> Removed {
    match removed {
        store::Removed::Untagged(name) => Removed::Untagged(name),
        store::Removed::Deleted(id) => Removed::Deleted(id),
    }
}

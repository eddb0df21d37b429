//! Volumes: their verbs.

pub(crate) mod table;
mod types;

use std::sync::Arc;

use model::{event::EventType, filter::Filters};

pub use types::*;

use crate::{
    Engine, Error, Result, blocking,
    container::{Pruned, list::labels_chosen},
    moment,
};

/// Everything that can be asked of volumes.
#[derive(Clone, Copy, Debug)]
pub struct Volumes<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Volumes<'_> {
    /// Lists them, and says what could not be read.
    pub async fn list(&self, request: ListRequest) -> Result<(Vec<Inspection>, Vec<String>)> {
        let filters = &request.filters;
        filters
            .check_keys(&["dangling", "driver", "label", "label!", "name"])
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let dangling = dangling(filters)?;
        let chosen = |found: &Inspection| {
            filters.any("driver", |text| found.record.driver == text)
                && filters.any("name", |text| found.record.name.as_str().contains(text))
                && labels_chosen(filters, &found.record.labels)
                && dangling.is_none_or(|wanted| (found.containers == 0) == wanted)
        };
        let records = self.engine.volumes_table().all();
        let found = records.into_iter().map(|record| self.look(record)).filter(chosen).collect();
        Ok((found, Vec::new()))
    }

    /// One by name.
    pub async fn inspect(&self, volume: &str) -> Result<Inspection> {
        Ok(self.look(self.engine.volumes_table().find(volume)?))
    }

    /// Makes one, or returns the one that has this name and driver.
    pub async fn create(&self, mut request: CreateRequest) -> Result<Inspection> {
        let anonymous = request.name.is_empty();
        if anonymous {
            request.name = model::ContainerId::from_bytes(moment::random_id()).as_str().to_owned();
        }
        let engine = self.engine.clone();
        let made =
            blocking::spawn(move || engine.volumes_table().make(&engine, request, anonymous));
        Ok(self.look(made.await?.1))
    }

    /// Removes one that nobody uses; `force` forgives one that is gone.
    pub async fn remove(&self, volume: &str, force: bool) -> Result<()> {
        let (engine, name) = (self.engine.clone(), volume.to_owned());
        let removed = blocking::spawn(move || engine.volumes_table().remove(&engine, &name)).await;
        match removed {
            Err(Error::NoSuchVolume(_)) if force => Ok(()),
            other => other,
        }
    }

    /// Removes anonymous ones (filter `all`: every one) that nobody uses.
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        filters
            .check_keys(&["all", "label", "label!"])
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let all = filters.values("all").any(|text| matches!(text, "1" | "true"));
        let engine = self.engine.clone();
        let pruned = blocking::spawn(move || {
            let mut pruned = Pruned::default();
            for record in engine.volumes_table().all() {
                if !(all || record.anonymous) || !labels_chosen(&filters, &record.labels) {
                    continue;
                }
                let size = engine.records().store().volume_size(&record.name);
                let name = record.name.to_string();
                // One that is in use, or is taken meanwhile, stays.
                if engine.volumes_table().remove(&engine, &name).is_ok() {
                    pruned.reclaimed += size.map_or(0, |size| size.content_bytes);
                    pruned.removed.push(name);
                }
            }
            Ok(pruned)
        })
        .await?;
        self.engine.events().pruned(EventType::Volume, pruned.reclaimed);
        Ok(pruned)
    }

    fn look(&self, record: Record) -> Inspection {
        let name = record.name.as_str();
        Inspection {
            mountpoint: self.engine.volumes_table().path(self.engine, name),
            size: None,
            containers: table::users(self.engine, name).len(),
            record,
        }
    }

    /// All with their sizes.
    pub(crate) async fn measured(&self) -> Result<Vec<Inspection>> {
        let (mut found, _) = self.list(ListRequest::default()).await?;
        let engine = self.engine.clone();
        blocking::spawn(move || {
            for volume in &mut found {
                let size = engine.records().store().volume_size(&volume.record.name);
                volume.size = size.ok().map(|size| size.content_bytes);
            }
            Ok(found)
        })
        .await
    }
}

/// The `dangling` filter.
pub(crate) fn dangling(filters: &Filters) -> Result<Option<bool>> {
    let mut wanted = None;
    for text in filters.values("dangling") {
        wanted = Some(match text {
            "1" | "true" => true,
            "0" | "false" => false,
            other => return Err(Error::Invalid(format!("invalid filter 'dangling={other}'"))),
        });
    }
    Ok(wanted)
}

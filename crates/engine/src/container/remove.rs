//! Remove and prune: the root filesystem, anonymous volumes, files, record and name.

use model::{filter::Filters, state::Status};

use super::{Containers, Pruned, RemoveRequest, actor::Actor, handle::Ask, list};
use crate::{Error, Result, blocking, records::Weight};

impl Containers<'_> {
    /// Removes it.
    pub async fn remove(&self, container: &str, request: RemoveRequest) -> Result<()> {
        if request.link {
            return Err(Error::NotFound(format!("No such link: {container}")));
        }
        let handle = self.engine.registry().find(container)?;
        handle.ask(self.engine, Ask::Remove(request)).await
    }

    /// Removes those that don't run.
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        filters
            .check_keys(&["label", "label!", "until"])
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let until = list::until(&filters)?;
        let mut pruned = Pruned::default();
        for handle in self.engine.registry().all() {
            let snapshot = handle.snapshot();
            let record = &snapshot.record;
            let rests =
                matches!(snapshot.state.status, Status::Created | Status::Exited | Status::Dead);
            let chosen = rests
                && until.is_none_or(|until| record.created_ns < until)
                && list::labels_chosen(&filters, &record.spec.labels);
            if !chosen {
                continue;
            }
            let size = self.engine.records().writable_size(&record.id).unwrap_or(0);
            match handle.ask(self.engine, Ask::Remove(RemoveRequest::default())).await {
                Ok(()) => {
                    pruned.removed.push(record.id.to_string());
                    pruned.reclaimed += size;
                }
                Err(error) => {
                    tracing::warn!(container = %record.name, error = error.text(), "not pruned");
                }
            }
        }
        self.engine.events().pruned(model::event::EventType::Container, pruned.reclaimed);
        Ok(pruned)
    }
}

impl Actor {
    pub(super) async fn remove(&mut self, request: RemoveRequest) -> Result<()> {
        self.revive_at = None;
        self.state.status = Status::Removing;
        self.publish();
        let destroyed = self.event("destroy", &[]);
        let (engine, record) = (self.engine.clone(), self.record.clone());
        let lazy = record.spec.host.auto_remove;
        let removed = blocking::spawn(move || {
            let weight = if lazy { Weight::Lazy } else { Weight::Durable };
            engine.records().remove_container(&record, vec![destroyed], weight)?;
            Ok(record)
        })
        .await;
        let record = match removed {
            Ok(record) => record,
            Err(error) => {
                self.state.status = Status::Dead;
                self.state.error = error.text();
                self.publish();
                return Err(error);
            }
        };
        self.expected.clear();
        self.gone = true;
        self.engine.registry().remove(&record.id);
        self.engine.execs_table().drop_container(&record.id);
        self.engine.forget_later(&self.handle);
        if request.volumes {
            self.remove_volumes(&record);
        }
        Ok(())
    }

    /// Anonymous volumes that nobody else uses.
    fn remove_volumes(&self, record: &super::Record) {
        for point in record.mounts.iter().filter(|point| point.anonymous) {
            if let Err(error) = self.engine.volumes_table().remove(&self.engine, &point.name) {
                tracing::debug!(volume = point.name, error = error.text(), "volume stays");
            }
        }
    }
}

//! Rename.

use model::name::ContainerName;

use super::{Containers, actor::Actor, handle::Ask, name};
use crate::{Error, Result, records::Weight};

impl Containers<'_> {
    /// Gives it another name.
    pub async fn rename(&self, container: &str, new: &str) -> Result<()> {
        if new.is_empty() || new == "/" {
            return Err(Error::Invalid("Neither old nor new names may be empty".to_owned()));
        }
        let handle = self.engine.registry().find(container)?;
        let new = name::parse(new)?;
        if handle.snapshot().record.name == new {
            return Err(Error::Invalid(
                "Renaming a container with the same name as its current name".to_owned(),
            ));
        }
        self.engine.registry().reserve(&new, &handle.id)?;
        let renamed = handle.ask(self.engine, Ask::Rename(new.clone())).await;
        if renamed.is_err() {
            self.engine.registry().release(&new, &handle.id);
        }
        renamed
    }
}

impl Actor {
    pub(super) fn rename(&mut self, new: ContainerName) -> Result<()> {
        let old = std::mem::replace(&mut self.record.name, new.clone());
        let event = self.event("rename", &[("oldName", &format!("/{old}"))]);
        if let Err(error) = self.save_with(Weight::Durable, vec![event]) {
            self.record.name = old;
            self.publish();
            return Err(error);
        }
        self.engine.registry().release(&old, &self.record.id);
        if let Some(live) = &self.live
            && let Some(sandbox) = &live.sandbox
        {
            sandbox.renamed(&self.engine, &self.record);
        }
        Ok(())
    }
}

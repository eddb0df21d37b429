//! Pause and unpause: the freezer.

use model::state::Status;

use super::{Containers, actor::Actor, handle::Ask};
use crate::{Result, records::Weight};

impl Containers<'_> {
    /// Freezes it.
    pub async fn pause(&self, container: &str) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        handle.ask(self.engine, Ask::Pause).await
    }

    /// Lets it go on.
    pub async fn unpause(&self, container: &str) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        handle.ask(self.engine, Ask::Unpause).await
    }
}

impl Actor {
    pub(super) async fn pause(&mut self) -> Result<()> {
        if let Some(live) = &self.live {
            live.freeze().await?;
        }
        self.state.status = Status::Paused;
        let event = self.event("pause", &[]);
        self.save_with(Weight::Lazy, vec![event])
    }

    pub(super) async fn unpause(&mut self) -> Result<()> {
        if let Some(live) = &self.live {
            live.thaw().await?;
        }
        self.state.status = Status::Running;
        let event = self.event("unpause", &[]);
        self.save_with(Weight::Lazy, vec![event])
    }
}

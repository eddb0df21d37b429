//! Resize: the size of its terminal.

use super::{Containers, WindowSize, attach};
use crate::{Error, Result};

impl Containers<'_> {
    /// Sets its terminal's size.
    pub async fn resize(&self, container: &str, size: WindowSize) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        if !handle.snapshot().state.is_running() {
            return Err(Error::Conflict(format!("container {} is not running", handle.id)));
        }
        let size = keeper::protocol::WindowSize { rows: size.height, columns: size.width };
        self.engine.keeping().resize(&attach::task_of(&handle)?, size).await?;
        let (height, width) = (size.rows.to_string(), size.columns.to_string());
        let record = handle.snapshot().record.clone();
        self.engine.events().container(
            &record,
            "resize",
            &[("height", &height), ("width", &width)],
        );
        Ok(())
    }
}

//! Stop: the signal, patience, SIGKILL. The work is in `exit.rs`.

use super::{Containers, StopRequest, handle::Ask, signal};
use crate::{Error, Result};

impl Containers<'_> {
    /// Asks it to end, then makes it. `NotModified` when it doesn't run.
    pub async fn stop(&self, container: &str, request: StopRequest) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        check(&request)?;
        handle.ask(self.engine, Ask::Stop(request)).await
    }

    /// Stops and starts it.
    pub async fn restart(&self, container: &str, request: StopRequest) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        check(&request)?;
        handle.ask(self.engine, Ask::Restart(request)).await?;
        self.engine.events().container(&handle.snapshot().record, "restart", &[]);
        Ok(())
    }
}

fn check(request: &StopRequest) -> Result<()> {
    match request.signal.as_deref() {
        None | Some("") => Ok(()),
        Some(text) => signal::parse(text)
            .map(drop)
            .map_err(|_| Error::Invalid(format!("invalid signal: {text}"))),
    }
}

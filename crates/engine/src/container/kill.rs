//! Kill: one signal, now.

use super::{Containers, actor::Actor, handle::Ask, signal};
use crate::Result;

impl Containers<'_> {
    /// Sends a signal (name or number; `None`: SIGKILL).
    pub async fn kill(&self, container: &str, signal: Option<&str>) -> Result<()> {
        let handle = self.engine.registry().find(container)?;
        let number = match signal {
            None | Some("") => signal::KILL,
            Some(text) => signal::parse(text)?,
        };
        handle.ask(self.engine, Ask::Kill(number)).await
    }
}

impl Actor {
    pub(super) async fn kill(&mut self, number: u8) -> Result<()> {
        let stop = match self.record.spec.process.stop_signal.as_deref() {
            Some(text) if !text.is_empty() => signal::parse(text).unwrap_or(signal::TERM),
            _ => signal::TERM,
        };
        // What ends it by hand keeps the policy from starting it again.
        let meant_to_end = number == signal::KILL || number == stop;
        self.send_signal(number).await?;
        if meant_to_end {
            self.record.stopped_by_hand = true;
            if number == signal::KILL {
                self.kill_all_others().await;
            }
            self.thaw_for_the_end().await;
        }
        Ok(())
    }
}

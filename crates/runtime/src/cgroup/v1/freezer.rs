//! The v1 freezer: a state that is reached some time after it is asked for.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::super::{CgroupError, Result};
use super::V1;

const STATE: &str = "freezer.state";

impl V1 {
    /// Asks, and polls. A group whose tasks fork or exec meanwhile can stay at
    /// `FREEZING` for ever; asking anew now and then, with a short thaw, gets it through
    /// (as runc does, opencontainers/runc #2774).
    pub(super) fn freeze_and_wait(&self, limit: Duration) -> Result<()> {
        let dir = self.dir("freezer", "freezing")?;
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(20);
        for round in 1u32.. {
            dir.write(STATE, "FROZEN")?;
            if dir.read(STATE)?.trim() == "FROZEN" {
                return Ok(());
            }
            if Instant::now() >= deadline {
                break;
            }
            if round.is_multiple_of(25) {
                dir.write(STATE, "THAWED")?;
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
        dir.write(STATE, "THAWED")?;
        Err(CgroupError::Timeout { path: self.path.to_string(), state: "frozen", limit })
    }

    pub(super) fn write_thawed(&self) -> Result<()> {
        self.dir("freezer", "thawing")?.write(STATE, "THAWED")
    }

    pub(super) fn reads_frozen(&self) -> Result<bool> {
        Ok(self.dir("freezer", "the frozen state")?.read(STATE)?.trim() == "FROZEN")
    }
}

//! Compressing rotated logs between other things: one slice in each turn of the loop.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::Server;
use super::launcher::Launcher;
use super::slab::Key;
use crate::log::pack::{Packer, Progress};

/// What is being compressed, and the logs that wait for it.
#[derive(Debug, Default)]
pub(super) struct Packing {
    current: Option<Packer>,
    waiting: VecDeque<PathBuf>,
}

impl Packing {
    pub fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }
}

impl<L: Launcher> Server<L> {
    /// Has a task's rotated files compressed, if its log is configured so.
    pub(super) fn pack_log(&mut self, key: Key) {
        let Some(task) = self.tasks.get(key) else { return };
        if task.log.compress && !self.packing.waiting.contains(&task.log.path) {
            self.packing.waiting.push_back(task.log.path.clone());
        }
    }

    /// Does a slice.
    pub(super) fn pack_slice(&mut self) {
        let Some(packer) = &mut self.packing.current else { return self.pack_next() };
        match packer.step() {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => self.packing.current = None,
            Err(error) => {
                eprintln!("keeper: cannot compress a log: {error}");
                packer.abandon();
                self.packing.current = None;
                // The next rotation tries again; now it would only fail again.
                self.packing.waiting.pop_front();
            }
        }
    }

    fn pack_next(&mut self) {
        let Some(log) = self.packing.waiting.front() else { return };
        match Packer::start(log) {
            Ok(Some(packer)) => self.packing.current = Some(packer),
            Ok(None) => {
                self.packing.waiting.pop_front();
            }
            Err(error) => {
                eprintln!("keeper: cannot compress {}: {error}", log.display());
                self.packing.waiting.pop_front();
            }
        }
    }
}

//! The keeper's files below the exec-root.
//!
//! ```text
//! keeper.sock  keeper.lock  keeper.journal  keeper.log
//! io/<task>/task            what the task is: enough for a later keeper to go on with it
//! io/<task>/exit            how it ended
//! io/<task>/{stdin,stdout,stderr}        FIFOs
//! io/<task>/{stdout,stderr}.spool        bytes taken out of a FIFO that aren't in the log yet
//! ```
//! Owns names and file formats. The exec-root is on a tmpfs (`/run`): all this ends with the boot, as the processes do.
//! A file is replaced by rename, so it is there as a whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::log::LogConfig;
use crate::protocol::{ExitRecord, Io, Stream, TaskId};

/// First byte of task and exit files. Like the protocol, the formats behind it are frozen: a keeper reads its predecessors' files.
const FORMAT: u8 = 1;

/// What a task is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskFile {
    pub id: TaskId,
    /// 0 until the process is started.
    pub pid: i32,
    /// When the process started, in clock ticks since boot: with the pid, its identity (proc_pid_stat(5)).
    pub start_ticks: u64,
    /// Its slot in the journal.
    pub slot: u32,
    pub io: Io,
    pub log: LogConfig,
}

/// The directory tree.
#[derive(Debug, Clone)]
pub(crate) struct ExecRoot {
    path: PathBuf,
}

impl ExecRoot {
    /// Makes the directories that are missing.
    pub fn open(path: &Path) -> io::Result<ExecRoot> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path.join("io"))?;
        Ok(ExecRoot { path: path.to_owned() })
    }

    pub fn socket(&self) -> PathBuf {
        self.path.join(crate::SOCKET)
    }

    pub fn lock(&self) -> PathBuf {
        self.path.join("keeper.lock")
    }

    pub fn journal(&self) -> PathBuf {
        self.path.join("keeper.journal")
    }

    pub fn task(&self, id: &TaskId) -> TaskDir {
        TaskDir { path: self.path.join("io").join(id.as_str()) }
    }

    /// All tasks that an earlier keeper left. A directory without a task file is what a keeper left that was killed while making it.
    pub fn tasks(&self) -> io::Result<Vec<(TaskDir, TaskFile)>> {
        let mut tasks = Vec::new();
        for entry in fs::read_dir(self.path.join("io"))? {
            let dir = TaskDir { path: entry?.path() };
            match dir.read::<TaskFile>("task") {
                Ok(Some(task)) => tasks.push((dir, task)),
                Ok(None) => dir.remove()?,
                // Left alone: one unreadable file must not take the other tasks' keeper away.
                Err(error) => eprintln!("keeper: cannot read {}: {error}", dir.path.display()),
            }
        }
        Ok(tasks)
    }
}

/// The files of one task.
#[derive(Debug, Clone)]
pub(crate) struct TaskDir {
    path: PathBuf,
}

impl TaskDir {
    /// Makes the directory.
    pub fn create(&self) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.path)
    }

    pub fn stdin(&self) -> PathBuf {
        self.path.join("stdin")
    }

    pub fn fifo(&self, stream: Stream) -> PathBuf {
        self.path.join(match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        })
    }

    pub fn spool(&self, stream: Stream) -> PathBuf {
        self.path.join(match stream {
            Stream::Stdout => "stdout.spool",
            Stream::Stderr => "stderr.spool",
        })
    }

    pub fn write_task(&self, task: &TaskFile) -> io::Result<()> {
        self.write("task", task)
    }

    pub fn write_exit(&self, exit: &ExitRecord) -> io::Result<()> {
        self.write("exit", exit)
    }

    pub fn read_exit(&self) -> io::Result<Option<ExitRecord>> {
        self.read("exit")
    }

    /// Removes the directory and all in it.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let bytes = postcard::to_extend(value, vec![FORMAT]).map_err(io::Error::other)?;
        let staging = self.path.join("new");
        let mut options = fs::OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&staging)?;
        file.write_all(&bytes)?;
        fs::rename(staging, self.path.join(name))
    }

    /// `None` when the file doesn't exist.
    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        let bytes = match fs::read(self.path.join(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match bytes.split_first() {
            Some((&FORMAT, body)) => postcard::from_bytes(body).map(Some).map_err(io::Error::other),
            _ => Err(io::Error::other("unknown format")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_again_and_half_made_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let root = ExecRoot::open(dir.path()).unwrap();
        let id = TaskId::container("a").unwrap();
        let file = TaskFile {
            id: id.clone(),
            pid: 7,
            start_ticks: 8,
            slot: 9,
            io: Io::Null,
            log: LogConfig::none(),
        };
        root.task(&id).create().unwrap();
        root.task(&id).write_task(&file).unwrap();
        let half = root.task(&TaskId::container("b").unwrap());
        half.create().unwrap();
        fs::write(half.spool(Stream::Stdout), "x").unwrap();

        let found: Vec<_> = root.tasks().unwrap().into_iter().map(|(_, file)| file).collect();
        assert_eq!(found, [file]);
        let unreadable = root.task(&TaskId::container("c").unwrap());
        unreadable.create().unwrap();
        fs::write(unreadable.path.join("task"), [99, 1, 2]).unwrap();
        assert_eq!(root.tasks().unwrap().len(), 1);
        assert!(unreadable.path.exists());
        assert!(!half.path.exists());
        assert_eq!(root.task(&id).read_exit().unwrap(), None);
    }
}

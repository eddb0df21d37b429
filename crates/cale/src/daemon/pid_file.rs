//! The file that says which process the daemon is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Written now, removed when dropped.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

/// A file that can't be taken.
#[derive(Debug, thiserror::Error)]
pub enum PidFileError {
    /// The process in it lives.
    #[error("process with PID {pid} is still running (remove {path} if that is no daemon)")]
    Alive {
        /// The process.
        pid: u32,
        /// The file.
        path: PathBuf,
    },
    /// It can't be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PidFile {
    /// Writes our process id, unless a living process is in it.
    pub fn write(path: &Path) -> Result<Self, PidFileError> {
        let own = std::process::id();
        let found = fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<u32>().ok());
        if let Some(pid) = found
            && pid != own
            && is_daemon(pid)
        {
            return Err(PidFileError::Alive { pid, path: path.to_owned() });
        }
        let write = |source| PidFileError::Write { path: path.to_owned(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(write)?;
        }
        fs::write(path, own.to_string()).map_err(write)?;
        Ok(Self { path: path.to_owned() })
    }
}

/// A living process that runs the same program. After a crash the number may be anybody's.
fn is_daemon(pid: u32) -> bool {
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    match (program(&pid.to_string()), program("self")) {
        (Some(theirs), Some(ours)) => theirs.file_name() == ours.file_name(),
        _ => false,
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Only ours: a successor may have written its own.
        if fs::read_to_string(&self.path).is_ok_and(|t| t == std::process::id().to_string()) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_files_are_replaced_and_own_ones_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/pid");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "4194305").unwrap();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        drop(file);
        assert!(!path.exists());
        // Process 1 lives, but is no daemon of ours.
        fs::write(&path, "1").unwrap();
        assert!(PidFile::write(&path).is_ok());
    }
}

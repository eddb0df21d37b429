//! The metadata database: one redb file, one writer thread, snapshots for readers.
//!
//! Owns tables, transactions, group commit, the format version and its migrations. Deliberately
//! knows no record's meaning: values are JSON of the modules that own them.
//!
//! Writers hand a job to the thread, which runs all jobs that wait in one transaction. A job that
//! fails spoils the transaction for its neighbours, so then each is run again on its own: jobs
//! must be repeatable (`FnMut`) and touch nothing but the transaction.

mod migrate;
mod table;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

pub(crate) use table::{Snapshot, Table, Tx};

use crate::error::{Error, Result};

/// When a write is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Durability {
    /// Visible at once, on disk within about a second, or with the next durable write: for state
    /// that can be found again after a power cut.
    Lazy,
    /// On disk when the call returns.
    Durable,
}

/// The open database.
pub(crate) struct Database {
    shared: Arc<Shared>,
    writer: Mutex<Option<writer::Handle>>,
}

/// What readers and the writer thread share. The lock is taken for writing only to close and open
/// the file anew after a failed write, which redb asks for.
pub(crate) struct Shared {
    path: PathBuf,
    open: RwLock<Option<redb::Database>>,
}

impl Database {
    /// Opens or makes `dir/cale.redb` and brings it to the current format. True if it was made.
    pub(crate) fn open(dir: &Path, root: &Path) -> Result<(Self, bool)> {
        let path = dir.join("cale.redb");
        let made = !path.exists();
        let database = open_file(&path)?;
        migrate::bring_up(&database, &path, root, &migrate::STEPS)?;
        let shared = Arc::new(Shared { path, open: RwLock::new(Some(database)) });
        let writer = writer::Handle::start(shared.clone(), dir.join("reserve"))?;
        Ok((Self { shared, writer: Mutex::new(Some(writer)) }, made))
    }

    /// Runs `read` on a snapshot.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Snapshot) -> Result<T>) -> Result<T> {
        let open = self.shared.open.read().map_err(|_| Error::Closed)?;
        let database = open.as_ref().ok_or(Error::Closed)?;
        use redb::ReadableDatabase;
        let transaction = database.begin_read().map_err(Error::database("read"))?;
        read(&Snapshot::new(transaction))
    }

    /// Checks every page; false if something had to be mended. Everybody else waits meanwhile.
    pub(crate) fn verify(&self) -> Result<bool> {
        let mut open = self.shared.open.write().map_err(|_| Error::Closed)?;
        let database = open.as_mut().ok_or(Error::Closed)?;
        database.check_integrity().map_err(Error::database("verify"))
    }

    /// Runs `work` in a transaction of the writer thread and waits for its commit.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        mut work: impl FnMut(&Tx<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = Arc::new(Mutex::new(None));
        let result = slot.clone();
        let job = Box::new(move |tx: &Tx<'_>| {
            let value = work(tx)?;
            *result.lock().map_err(|_| Error::Closed)? = Some(value);
            Ok(())
        });
        let done = {
            let writer = self.writer.lock().map_err(|_| Error::Closed)?;
            writer.as_ref().ok_or(Error::Closed)?.submit(durability, job)?
        };
        done.recv().map_err(|_| Error::Closed)??;
        slot.lock().map_err(|_| Error::Closed)?.take().ok_or(Error::Closed)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut writer) = self.writer.lock()
            && let Some(writer) = writer.take()
        {
            writer.stop();
        }
    }
}

/// Memory for pages, in bytes: metadata is small, and the daemon should be, too.
const CACHE_BYTES: usize = 4 << 20;

fn open_file(path: &Path) -> Result<redb::Database> {
    redb::Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create(path)
        .map_err(Error::database("open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> (tempfile::TempDir, Database) {
        let temp = tempfile::tempdir().unwrap();
        let (database, made) = Database::open(temp.path(), temp.path()).unwrap();
        assert!(made);
        (temp, database)
    }

    #[test]
    fn a_failing_job_spoils_nobody_elses() {
        let (_temp, database) = database();
        let database = Arc::new(database);
        let threads: Vec<_> = (0..16)
            .map(|n: u32| {
                let database = database.clone();
                std::thread::spawn(move || {
                    database.write(Durability::Durable, move |tx| {
                        tx.put_bytes(Table::Objects, &format!("k{n}"), b"v")?;
                        if n.is_multiple_of(4) { Err(Error::Failpoint("here")) } else { Ok(n) }
                    })
                })
            })
            .collect();
        let results: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        for (n, result) in results.iter().enumerate() {
            assert_eq!(result.is_err(), n % 4 == 0, "{n}");
            let there =
                database.read(|s| s.get_bytes(Table::Objects, &format!("k{n}"))).unwrap().is_some();
            assert_eq!(there, n % 4 != 0, "{n}");
        }
    }

    #[test]
    fn lazy_writes_are_there_after_a_clean_close() {
        let (temp, database) = database();
        database.write(Durability::Lazy, |tx| tx.put_bytes(Table::Objects, "a", b"1")).unwrap();
        drop(database);
        let (database, made) = Database::open(temp.path(), temp.path()).unwrap();
        assert!(!made);
        let value = database.read(|s| s.get_bytes(Table::Objects, "a")).unwrap();
        assert_eq!(value.as_deref(), Some(&b"1"[..]));
    }
}

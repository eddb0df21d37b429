//! The one thread that writes, with group commit, a lazy flush and recovery from a full disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{Durability, Shared, Tx, open_file};
use crate::error::{Error, Result};

/// How long a lazy write may stay in memory alone.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// Most jobs of one transaction.
const GROUP_MAX: usize = 256;
/// Space set aside so that removals work on a full disk, in bytes.
const RESERVE_BYTES: usize = 4 << 20;

pub(crate) type Work = Box<dyn FnMut(&Tx<'_>) -> Result<()> + Send>;

struct Job {
    durability: Durability,
    work: Work,
    done: SyncSender<Result<()>>,
}

/// The running thread.
pub(crate) struct Handle {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Handle {
    pub(crate) fn start(shared: Arc<Shared>, reserve: PathBuf) -> Result<Self> {
        let (jobs, queue) = mpsc::channel();
        make_reserve(&reserve);
        let writer = Writer { shared, reserve, unflushed: false };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(Error::file("start", "the thread of the metadata database"))?;
        Ok(Self { jobs, thread })
    }

    pub(crate) fn submit(
        &self,
        durability: Durability,
        work: Work,
    ) -> Result<Receiver<Result<()>>> {
        let (done, result) = mpsc::sync_channel(1);
        self.jobs.send(Job { durability, work, done }).map_err(|_| Error::Closed)?;
        Ok(result)
    }

    /// Lets the thread finish what waits, flush, and end.
    pub(crate) fn stop(self) {
        drop(self.jobs);
        // A panic in the thread was a job's; it has been reported to the job's owner as closed.
        let _ = self.thread.join();
    }
}

struct Writer {
    shared: Arc<Shared>,
    reserve: PathBuf,
    unflushed: bool,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let first = if self.unflushed {
                match queue.recv_timeout(FLUSH_AFTER) {
                    Ok(job) => job,
                    Err(RecvTimeoutError::Timeout) => {
                        self.flush();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match queue.recv() {
                    Ok(job) => job,
                    Err(mpsc::RecvError) => break,
                }
            };
            let mut group = vec![first];
            while group.len() < GROUP_MAX
                && let Ok(job) = queue.try_recv()
            {
                group.push(job);
            }
            self.serve(group);
        }
        if self.unflushed {
            self.flush();
        }
        if let Ok(mut open) = self.shared.open.write() {
            *open = None;
        }
    }

    fn flush(&mut self) {
        match self.commit(&mut [], Durability::Durable) {
            Ok(()) => self.unflushed = false,
            Err(error) => tracing::warn!(%error, "lazy writes are not on disk yet"),
        }
    }

    fn serve(&mut self, mut group: Vec<Job>) {
        let durability = group.iter().map(|job| job.durability).max().unwrap_or(Durability::Lazy);
        let result = self.commit(&mut group, durability);
        if result.is_ok() {
            self.note(durability);
            for job in group {
                // The caller may have gone; its write stands all the same.
                let _ = job.done.send(Ok(()));
            }
            return;
        }
        for mut job in group {
            let durability = job.durability;
            let mut result = self.commit(std::slice::from_mut(&mut job), durability);
            if result.as_ref().is_err_and(Error::is_full) && fs::remove_file(&self.reserve).is_ok()
            {
                tracing::warn!("the disk is full: the metadata database uses its reserve");
                result = self.commit(std::slice::from_mut(&mut job), durability);
            }
            if result.is_ok() {
                self.note(durability);
            }
            let _ = job.done.send(result);
        }
        make_reserve(&self.reserve);
    }

    fn note(&mut self, durability: Durability) {
        self.unflushed = durability == Durability::Lazy;
    }

    /// Runs the jobs in one transaction. After a failure of the file itself redb wants to be
    /// opened anew, which is done here, so that the engine outlives a full disk.
    fn commit(&self, jobs: &mut [Job], durability: Durability) -> Result<()> {
        let result = self.try_commit(jobs, durability);
        if let Err(Error::Database { source, .. }) = &result
            && matches!(**source, redb::Error::Io(_) | redb::Error::PreviousIo)
        {
            self.reopen()?;
        }
        result
    }

    fn try_commit(&self, jobs: &mut [Job], durability: Durability) -> Result<()> {
        let open = self.shared.open.read().map_err(|_| Error::Closed)?;
        let database = open.as_ref().ok_or(Error::Closed)?;
        let mut transaction = database.begin_write().map_err(Error::database("write"))?;
        let wanted = match durability {
            Durability::Lazy => redb::Durability::None,
            Durability::Durable => redb::Durability::Immediate,
        };
        transaction.set_durability(wanted).map_err(Error::database("write"))?;
        for job in jobs {
            if let Err(error) = (job.work)(&Tx::new(&transaction)) {
                transaction.abort().map_err(Error::database("write"))?;
                return Err(error);
            }
        }
        transaction.commit().map_err(Error::database("commit to"))
    }

    fn reopen(&self) -> Result<()> {
        let mut open = self.shared.open.write().map_err(|_| Error::Closed)?;
        // The old one must go first: the file is locked while it lives.
        *open = None;
        *open = Some(open_file(&self.shared.path)?);
        Ok(())
    }
}

/// Makes the reserve file if it isn't there; without space for it there is none until later.
fn make_reserve(path: &Path) {
    if path.exists() {
        return;
    }
    // Real bytes, not a hole: the point is to hold blocks.
    if fs::write(path, vec![0u8; RESERVE_BYTES]).is_err() {
        let _ = fs::remove_file(path);
    }
}

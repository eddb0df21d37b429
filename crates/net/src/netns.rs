//! Network namespaces: fresh ones from a small stock, and work done inside one.
//!
//! Being in a namespace is a property of a thread, so two threads of this module's own do all of
//! it: the stocker, which lives in the namespace it made last, and the worker, which visits. No
//! thread of anybody else ever changes its namespace. A namespace is never used twice.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use sys::netlink::Protocol;

use crate::{
    error::{Error, Result},
    nl::{Batch, Connection, link},
};

/// A new namespace with its loopback up and IPv6 off for interfaces to come.
#[derive(Debug)]
pub struct FreshNamespace {
    /// Keeps it alive.
    pub fd: OwnedFd,
    /// rtnetlink inside of it.
    pub routes: Connection,
}

/// What interfaces inherit when they are made; networks with IPv6 switch it on for theirs. Looking
/// a setting up costs time in proportion to the namespaces there are (they share one hash chain
/// in the kernel's directory cache), so a namespace gets one setting, not several.
const NO_IPV6: &str = "net/ipv6/conf/default/disable_ipv6";

fn make_fresh() -> Result<FreshNamespace> {
    let failed = |action| move |source| Error::Namespace { action, source };
    sys::netns::unshare().map_err(failed("create"))?;
    let fd = sys::netns::current().map_err(failed("open"))?;
    let mut routes = Connection::open(Protocol::Route).map_err(failed("connect to"))?;
    write_setting(NO_IPV6, "1", Absent::Fine)?;
    let mut batch = Batch::new();
    link::set_up(&mut batch, 1, "lo");
    routes.perform(&batch)?;
    Ok(FreshNamespace { fd, routes })
}

/// Whether a setting that the kernel doesn't have is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// A kernel built without the feature needs no setting of it.
    Fine,
    /// The caller was asked for it.
    Failure,
}

/// Writes below `/proc/sys` in the calling thread's namespace. `key` has slashes.
pub fn write_setting(key: &str, value: &str, absent: Absent) -> Result<()> {
    let path = std::path::Path::new("/proc/sys").join(key);
    match std::fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && absent == Absent::Fine => Ok(()),
        Err(source) => Err(Error::Sysctl { path, source }),
        Ok(()) => Ok(()),
    }
}

/// How long nobody must have taken one before the stock is refilled: making a namespace takes
/// locks that the start of the container which took one needs too.
const REFILL_AFTER: Duration = Duration::from_millis(25);

#[derive(Debug)]
struct Stock {
    ready: VecDeque<FreshNamespace>,
    /// Counts takes.
    taken: u64,
    wanted: usize,
    closing: bool,
}

/// A stock of fresh namespaces, refilled in the background: making one costs 0.4–0.9 ms.
#[derive(Debug)]
pub struct NamespacePool {
    shared: Arc<(Mutex<Stock>, Condvar)>,
    stocker: Option<thread::JoinHandle<()>>,
}

impl NamespacePool {
    /// Keeps `size` namespaces ready (0: each is made when asked for).
    pub fn start(size: usize) -> Result<Self> {
        let stock = Stock { ready: VecDeque::new(), taken: 0, wanted: size, closing: false };
        let shared = Arc::new((Mutex::new(stock), Condvar::new()));
        let for_thread = Arc::clone(&shared);
        let stocker = thread::Builder::new()
            .name("netns-stock".into())
            .spawn(move || keep_stocked(&for_thread))
            .map_err(|source| Error::Namespace { action: "start the stock of", source })?;
        Ok(Self { shared, stocker: Some(stocker) })
    }

    /// A namespace that nobody has used.
    pub fn take(&self) -> Result<FreshNamespace> {
        let mut stock = lock(&self.shared.0);
        stock.taken += 1;
        let taken = stock.ready.pop_front();
        drop(stock);
        self.shared.1.notify_one();
        match taken {
            Some(fresh) => Ok(fresh),
            None => on_own_thread(make_fresh)?,
        }
    }
}

impl Drop for NamespacePool {
    fn drop(&mut self) {
        lock(&self.shared.0).closing = true;
        self.shared.1.notify_one();
        if let Some(stocker) = self.stocker.take() {
            // A panic of the stocker has been reported by the panic hook already.
            let _ = stocker.join();
        }
    }
}

fn keep_stocked(shared: &(Mutex<Stock>, Condvar)) {
    let mut stock = lock(&shared.0);
    loop {
        while !stock.closing && stock.ready.len() >= stock.wanted {
            stock = shared.1.wait(stock).unwrap_or_else(PoisonError::into_inner);
        }
        // A burst empties the stock whatever we do; one container after the other gets a full one.
        let mut seen = stock.taken;
        while !stock.closing {
            let (after, pause) =
                shared.1.wait_timeout(stock, REFILL_AFTER).unwrap_or_else(PoisonError::into_inner);
            stock = after;
            if pause.timed_out() && stock.taken == seen {
                break;
            }
            seen = stock.taken;
        }
        if stock.closing {
            return;
        }
        drop(stock);
        let fresh = make_fresh();
        stock = lock(&shared.0);
        match fresh {
            Ok(fresh) => stock.ready.push_back(fresh),
            Err(error) => {
                // Whoever asks next makes their own and gets the error; no busy loop here.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot stock a network namespace"
                );
                if !stock.closing {
                    stock = shared.1.wait(stock).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// Runs a closure on a thread that ends afterwards, so that it may change its namespace.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)
            .map_err(|source| Error::Namespace { action: "start a thread for", source })?;
        thread.join().map_err(|_| Error::Namespace {
            action: "work in",
            source: io::Error::other("the thread panicked"),
        })
    })
}

type Job = Box<dyn FnOnce(&OwnedFd) -> bool + Send>;

/// One thread that visits namespaces and comes home after each visit.
#[derive(Debug, Default)]
pub struct Visitor {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

impl Visitor {
    /// Runs `work` inside `namespace` and waits for its result. Visits queue up: keep them short.
    pub fn visit<T: Send + 'static>(
        &self,
        namespace: BorrowedFd<'_>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let failed = |action| move |source| Error::Namespace { action, source };
        let namespace = namespace.try_clone_to_owned().map_err(failed("open"))?;
        let (answer, result) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |home| {
            let outcome =
                sys::netns::enter(namespace.as_fd()).map_err(failed("enter")).and_then(|()| {
                    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Error::Namespace {
                        action: "work in",
                        source: io::Error::other("the visit panicked"),
                    })
                });
            let back = sys::netns::enter(home.as_fd()).is_ok();
            // The visitor may have given up waiting; then nobody wants the answer.
            let _ = answer.send(outcome);
            back
        });
        self.send(job)?;
        result.recv().map_err(|_| Error::Namespace {
            action: "visit",
            source: io::Error::other("the visiting thread is gone"),
        })?
    }

    fn send(&self, job: Job) -> Result<()> {
        let mut jobs = lock(&self.jobs);
        let job = match jobs.as_ref() {
            Some(sender) => match sender.send(job) {
                Ok(()) => return Ok(()),
                // The thread ended because it could not go home: a new one takes its place.
                Err(mpsc::SendError(job)) => job,
            },
            None => job,
        };
        let failed = |action| move |source| Error::Namespace { action, source };
        let home = sys::netns::current().map_err(failed("open"))?;
        let (sender, receiver) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("netns-visit".into())
            .spawn(move || while receiver.recv().is_ok_and(|job| job(&home)) {})
            .map_err(failed("start a thread for"))?;
        sender.send(job).map_err(|_| Error::Namespace {
            action: "visit",
            source: io::Error::other("the visiting thread is gone"),
        })?;
        *jobs = Some(sender);
        Ok(())
    }
}

/// Locks, whatever happened to the last holder: the data here is valid between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_namespaces_differ_and_have_a_loopback() {
        let pool = NamespacePool::start(2).unwrap();
        let visitor = Visitor::default();
        let mut first = pool.take().unwrap();
        let second = pool.take().unwrap();
        let third = pool.take().unwrap();
        let links = link::all(&mut first.routes).unwrap();
        let names: Vec<_> = links.iter().map(|link| (link.name.as_str(), link.up)).collect();
        assert!(names.contains(&("lo", true)), "{names:?}");

        let bind = || std::net::UdpSocket::bind("127.0.0.1:5353").map(drop).is_ok();
        let hold = visitor
            .visit(first.fd.as_fd(), || std::net::UdpSocket::bind("127.0.0.1:5353"))
            .unwrap()
            .unwrap();
        assert!(!visitor.visit(first.fd.as_fd(), bind).unwrap());
        assert!(visitor.visit(second.fd.as_fd(), bind).unwrap());
        assert!(visitor.visit(third.fd.as_fd(), bind).unwrap());
        drop(hold);
    }

    #[test]
    fn a_panicking_visit_is_an_error_and_the_next_one_works() {
        let pool = NamespacePool::start(0).unwrap();
        let fresh = pool.take().unwrap();
        let visitor = Visitor::default();
        assert!(visitor.visit(fresh.fd.as_fd(), || panic!("on purpose")).is_err());
        assert_eq!(visitor.visit(fresh.fd.as_fd(), || 7).unwrap(), 7);
    }
}

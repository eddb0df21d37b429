//! The engine's connection to its keeper: asynchronous calls, exits, and a new keeper when the
//! old one died.
//!
//! States: *connected* (calls go out, events come in) → *lost* (calls fail, a new keeper is
//! started and handed every task's anchors) → *connected*. Owns the anchors; they are what makes
//! a keeper's death harmless.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use keeper::{
    client::{Anchors, Client, ClientError, Incoming, Launched},
    protocol::{
        AttachSpec, Event, Failure, Launch, Reply, Request, TaskId, TaskReport, WindowSize,
    },
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{Error, Result, error::Cause};

type Answer = Result<(Reply, Vec<OwnedFd>), ClientError>;

/// The connection. Cheap to share.
#[derive(Clone, Debug)]
pub struct Keeping {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    exec_root: PathBuf,
    program: Option<PathBuf>,
    inner: Mutex<Inner>,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct Inner {
    client: Option<Client>,
    waiting: HashMap<u32, oneshot::Sender<Answer>>,
    anchors: HashMap<TaskId, Anchors>,
    /// The keeper was asked to end: its loss is no reason to start another.
    ending: bool,
}

/// What the engine is told.
#[derive(Debug)]
pub enum Notice {
    /// The keeper says so.
    Event(Event),
    /// A new keeper was started after the old one died: these tasks are there now.
    Renewed(Vec<TaskReport>),
}

impl Keeping {
    /// Connects to the keeper of `exec_root`, starting one if none answers. Returns what it
    /// supervises and where its notices come from.
    pub async fn open(
        exec_root: PathBuf,
        program: Option<PathBuf>,
        stop: CancellationToken,
    ) -> Result<(Self, Vec<TaskReport>, mpsc::UnboundedReceiver<Notice>)> {
        let shared =
            Arc::new(Shared { exec_root, program, inner: Mutex::new(Inner::default()), stop });
        let reports = shared.clone().connect().await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let keeping = Self { shared: shared.clone() };
        tokio::spawn(shared.serve(sender));
        Ok((keeping, reports, receiver))
    }

    /// Starts a process. `fds`: the plan's, then one for each attach.
    pub async fn launch(&self, launch: Launch, fds: &[BorrowedFd<'_>]) -> Result<u32, LaunchError> {
        let id = launch.id.clone();
        let closes = launch.attaches.iter().any(|attach| attach.close_stdin_at_eof);
        let (reply, fds) =
            self.call(Request::Launch(launch), fds).await.map_err(LaunchError::from)?;
        let Launched { pid, mut anchors, .. } = keeper::client::launched(reply, fds)?;
        // While this end is held, the program would wait for ever for the end of its input.
        if closes {
            anchors.stdin = None;
        }
        self.shared.lock().anchors.insert(id, anchors);
        Ok(pid)
    }

    /// Serves `fd` as an end of the task's streams.
    pub async fn attach(&self, id: &TaskId, spec: AttachSpec, fd: OwnedFd) -> Result<()> {
        if spec.close_stdin_at_eof
            && let Some(anchors) = self.shared.lock().anchors.get_mut(id)
        {
            anchors.stdin = None;
        }
        let request = Request::Attach { id: id.clone(), spec };
        self.call(request, &[fd.as_fd()]).await.map(drop).map_err(|e| failed("attach to", id, e))
    }

    /// Sends a signal to a task's first process.
    pub async fn signal(&self, id: &TaskId, signal: u8) -> Result<()> {
        let request = Request::Signal { id: id.clone(), signal };
        self.call(request, &[]).await.map(drop).map_err(|e| failed("signal", id, e))
    }

    /// Sets the size of a task's terminal.
    pub async fn resize(&self, id: &TaskId, size: WindowSize) -> Result<()> {
        let request = Request::Resize { id: id.clone(), size };
        self.call(request, &[]).await.map(drop).map_err(|e| failed("resize", id, e))
    }

    /// Asks for one notice when the task's log grows.
    pub async fn watch_log(&self, id: &TaskId) -> Result<()> {
        let request = Request::WatchLog { id: id.clone() };
        self.call(request, &[]).await.map(drop).map_err(|e| failed("watch the log of", id, e))
    }

    /// Lets the keeper drop an ended task, whose exit is stored. A task that it doesn't know is
    /// fine.
    pub async fn forget(&self, id: &TaskId) {
        self.shared.lock().anchors.remove(id);
        match self.call(Request::Forget { id: id.clone() }, &[]).await {
            Ok(_) | Err(ClientError::Refused { source: Failure::NoSuchTask(_) }) => {}
            // The exit record stays with the keeper and is offered again at the next start.
            Err(error) => tracing::debug!(task = id.as_str(), %error, "keeper kept an ended task"),
        }
    }

    /// Ends the keeper if nothing runs under it; nothing can be started any more then.
    pub async fn shutdown(&self) {
        let request = Request::Shutdown { hand_over: false };
        self.shared.lock().ending = true;
        if let Err(error) = self.call(request, &[]).await {
            self.shared.lock().ending = false;
            tracing::debug!(%error, "keeper goes on");
        }
    }

    async fn call(
        &self,
        request: Request,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Reply, Vec<OwnedFd>), ClientError> {
        let answer = {
            let mut inner = self.shared.lock();
            let client = inner.client.as_mut().ok_or_else(lost)?;
            let sequence = client.post(&request, fds)?;
            if client.wants_write() {
                client.flush()?;
            }
            let (sender, receiver) = oneshot::channel();
            inner.waiting.insert(sequence, sender);
            receiver
        };
        answer.await.unwrap_or_else(|_| Err(lost()))
    }
}

fn lost() -> ClientError {
    ClientError::Misfit
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects (starting a keeper if need be), hands over the anchors, and subscribes.
    async fn connect(self: Arc<Self>) -> Result<Vec<TaskReport>> {
        let shared = self.clone();
        let connected = tokio::task::spawn_blocking(move || shared.connect_blocking()).await;
        match connected {
            Ok(result) => result,
            Err(join) => Err(Error::Unavailable(format!("connect to the keeper: {join}"))),
        }
    }

    fn connect_blocking(&self) -> Result<Vec<TaskReport>> {
        let fail = |action: &'static str| {
            move |error: ClientError| Error::Failed {
                action,
                subject: "the keeper".to_owned(),
                source: Cause::new(error.kind(), error),
            }
        };
        let mut client = match Client::connect(&self.exec_root) {
            Ok(client) => client,
            Err(_) => {
                self.spawn()?;
                Client::connect(&self.exec_root).map_err(fail("reach"))?
            }
        };
        let mut inner = self.lock();
        let tasks = client.inventory().map_err(fail("list the tasks of"))?;
        let mut reports = Vec::with_capacity(tasks.len());
        for (report, anchors) in tasks {
            let missing = report.phase == keeper::protocol::Phase::Missing;
            match inner.anchors.get(&report.id) {
                Some(held) if missing => {
                    client.adopt(&report.id, held).map_err(fail("hand tasks to"))?;
                }
                None if missing => {
                    client.adopt(&report.id, &anchors).map_err(fail("hand tasks to"))?;
                    inner.anchors.insert(report.id.clone(), anchors);
                }
                _ => {
                    inner.anchors.insert(report.id.clone(), anchors);
                }
            }
            reports.push(report);
        }
        client.subscribe().map_err(fail("subscribe to"))?;
        inner.client = Some(client);
        Ok(reports)
    }

    /// Starts a keeper. It is a child of this process only until that ends.
    fn spawn(&self) -> Result<()> {
        let spawned = match &self.program {
            None => keeper::spawn(&self.exec_root),
            Some(program) => {
                let mut command = std::process::Command::new(program);
                command.arg("keeper").arg("--exec-root").arg(&self.exec_root);
                keeper::spawn_command(&self.exec_root, command)
            }
        };
        let spawned = spawned.map_err(|error| Error::Failed {
            action: "start",
            subject: "the keeper".to_owned(),
            source: Cause::new(error.kind(), error),
        })?;
        if let Some(mut child) = spawned.child {
            // Reaped when it ends, so that it doesn't stay as a zombie.
            std::thread::spawn(move || child.wait());
        }
        Ok(())
    }

    /// Takes in what the keeper says, for as long as the engine lives.
    async fn serve(self: Arc<Self>, notices: mpsc::UnboundedSender<Notice>) {
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                () = self.pump(&notices) => {}
            }
            self.drop_connection();
            if self.lock().ending {
                break;
            }
            tracing::warn!("lost the keeper; starting another");
            match self.clone().connect().await {
                Ok(reports) => {
                    if notices.send(Notice::Renewed(reports)).is_err() {
                        break;
                    }
                }
                Err(error) => {
                    tracing::error!(error = error.text(), "cannot start a keeper");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        }
        self.drop_connection();
    }

    fn drop_connection(&self) {
        let mut inner = self.lock();
        inner.client = None;
        // Dropping the senders wakes the callers with an error.
        inner.waiting.clear();
    }

    /// Returns when the connection broke.
    async fn pump(&self, notices: &mpsc::UnboundedSender<Notice>) {
        let fd = match self.lock().client.as_ref().map(|c| c.as_fd().try_clone_to_owned()) {
            Some(Ok(fd)) => fd,
            _ => return,
        };
        let Ok(readable) = crate::readiness::readable(fd) else { return };
        loop {
            if !self.take_in(notices) {
                return;
            }
            match readable.readable().await {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return,
            }
        }
    }

    /// Handles everything that has arrived; false when the connection broke.
    fn take_in(&self, notices: &mpsc::UnboundedSender<Notice>) -> bool {
        let mut inner = self.lock();
        loop {
            let Some(client) = inner.client.as_mut() else { return false };
            match client.poll() {
                Ok(Some(Incoming::Reply { seq, reply, fds })) => {
                    if let Some(waiting) = inner.waiting.remove(&seq) {
                        let answer = match reply {
                            Reply::Failed(source) => Err(ClientError::Refused { source }),
                            reply => Ok((reply, fds)),
                        };
                        // A caller that went away doesn't care.
                        let _ = waiting.send(answer);
                    }
                }
                Ok(Some(Incoming::Event(event))) => {
                    let _ = notices.send(Notice::Event(event));
                }
                Ok(None) => return true,
                Err(error) => {
                    tracing::debug!(%error, "keeper connection");
                    return false;
                }
            }
        }
    }
}

/// A launch that failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The runtime could not start the process.
    #[error("{report}")]
    Start {
        /// The runtime's words.
        report: String,
        /// Kind of failure.
        kind: keeper::protocol::StartFailure,
        /// The kernel's error number, or 0.
        errno: i32,
    },
    /// The keeper is away or refuses.
    #[error("ask the keeper")]
    Keeper(#[source] ClientError),
}

impl From<ClientError> for LaunchError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { source: Failure::Start { report, kind, errno } } => {
                Self::Start { report, kind, errno }
            }
            other => Self::Keeper(other),
        }
    }
}

fn failed(action: &'static str, id: &TaskId, error: ClientError) -> Error {
    Error::Failed {
        action,
        subject: format!("process {}", id.as_str()),
        source: Cause::new(error.kind(), error),
    }
}

//! Containers: their verbs, and the actor behind each.

mod request;
mod snapshot;

pub use request::*;
pub use snapshot::*;

use std::sync::Arc;

use model::{ContainerId, filter::Filters};

use crate::{ByteReader, Engine, Result, error::pending};

/// Everything that can be asked of containers.
#[derive(Clone, Copy, Debug)]
pub struct Containers<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

impl Containers<'_> {
    /// Makes a container; a missing image is [`crate::Error::NoSuchImage`].
    pub async fn create(&self, request: CreateRequest) -> Result<Created> {
        pending("create")
    }

    /// Starts it. `NotModified` when it runs already.
    pub async fn start(&self, container: &str) -> Result<()> {
        pending("start")
    }

    /// Asks it to end, then makes it. `NotModified` when it doesn't run.
    pub async fn stop(&self, container: &str, request: StopRequest) -> Result<()> {
        pending("stop")
    }

    /// Stops and starts it.
    pub async fn restart(&self, container: &str, request: StopRequest) -> Result<()> {
        pending("restart")
    }

    /// Sends a signal (name or number; `None`: SIGKILL).
    pub async fn kill(&self, container: &str, signal: Option<&str>) -> Result<()> {
        pending("kill")
    }

    /// Freezes it.
    pub async fn pause(&self, container: &str) -> Result<()> {
        pending("pause")
    }

    /// Lets it go on.
    pub async fn unpause(&self, container: &str) -> Result<()> {
        pending("unpause")
    }

    /// Gives it another name.
    pub async fn rename(&self, container: &str, name: &str) -> Result<()> {
        pending("rename")
    }

    /// Changes limits and restart policy; returns warnings.
    pub async fn update(&self, container: &str, request: UpdateRequest) -> Result<Vec<String>> {
        pending("update")
    }

    /// Starts waiting now: what happens after this returns is seen by [`Waiting::outcome`].
    pub async fn wait(&self, container: &str, condition: WaitCondition) -> Result<Waiting> {
        pending("wait")
    }

    /// Removes it.
    pub async fn remove(&self, container: &str, request: RemoveRequest) -> Result<()> {
        pending("remove")
    }

    /// Removes those that don't run.
    pub async fn prune(&self, filters: Filters) -> Result<Pruned> {
        pending("prune")
    }

    /// Lists them, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Summary>> {
        pending("list")
    }

    /// Everything about one; `size` counts its bytes too.
    pub async fn inspect(&self, container: &str, size: bool) -> Result<Inspection> {
        pending("inspect")
    }

    /// Its processes; `arguments` as for ps(1), `-ef` where empty.
    pub async fn top(&self, container: &str, arguments: &str) -> Result<Top> {
        pending("top")
    }

    /// Readings of its use, the first at once, then one a second.
    pub async fn stats(&self, container: &str) -> Result<StatsStream> {
        pending("stats")
    }

    /// Its log, line by line; the stream ends with the log or, followed, with the container.
    pub async fn logs(&self, container: &str, request: LogsRequest) -> Result<LogStream> {
        pending("logs")
    }

    /// Checks that it can be attached to. The client may be told so before [`AttachTicket::connect`].
    pub async fn attach(&self, container: &str, request: AttachRequest) -> Result<AttachTicket> {
        pending("attach")
    }

    /// Sets its terminal's size.
    pub async fn resize(&self, container: &str, size: WindowSize) -> Result<()> {
        pending("resize")
    }

    /// Its whole root filesystem as a tar.
    pub async fn export(&self, container: &str) -> Result<ByteReader> {
        pending("export")
    }

    /// What differs from its image.
    pub async fn changes(&self, container: &str) -> Result<Vec<Change>> {
        pending("changes")
    }

    /// A file or directory of it as a tar.
    pub async fn archive_get(&self, container: &str, path: &str) -> Result<(PathStat, ByteReader)> {
        pending("archive_get")
    }

    /// Facts about a path in it.
    pub async fn archive_stat(&self, container: &str, path: &str) -> Result<PathStat> {
        pending("archive_stat")
    }

    /// Unpacks a tar (plain, gzip or zstd) into a directory of it.
    pub async fn archive_put(
        &self,
        container: &str,
        path: &str,
        request: PutRequest,
        archive: ByteReader,
    ) -> Result<()> {
        pending("archive_put")
    }

    /// Makes an image of it; returns the image's id.
    pub async fn commit(&self, container: &str, request: CommitRequest) -> Result<model::Digest> {
        pending("commit")
    }

    /// The id that a name, id or unique prefix means.
    pub async fn resolve(&self, container: &str) -> Result<ContainerId> {
        pending("resolve")
    }
}

/// A wait that has begun.
#[derive(Debug)]
pub struct Waiting {
    receiver: tokio::sync::oneshot::Receiver<WaitOutcome>,
}

impl Waiting {
    /// The outcome, when it is there.
    pub async fn outcome(self) -> WaitOutcome {
        self.receiver.await.unwrap_or_else(|_| WaitOutcome {
            exit_code: -1,
            error: Some("the engine is shutting down".to_owned()),
        })
    }
}

/// Readings of a container's use, in time.
#[derive(Debug)]
pub struct StatsStream {
    receiver: tokio::sync::mpsc::Receiver<StatsFrame>,
}

impl StatsStream {
    /// The next reading; `None` when the container is gone.
    pub async fn next(&mut self) -> Option<StatsFrame> {
        self.receiver.recv().await
    }
}

/// Lines of a log.
#[derive(Debug)]
pub struct LogStream {
    tty: bool,
    receiver: tokio::sync::mpsc::Receiver<Result<LogLine>>,
}

impl LogStream {
    /// The container has a terminal: output isn't framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<LogLine>> {
        self.receiver.recv().await
    }
}

/// Leave to attach.
#[derive(Debug)]
pub struct AttachTicket {
    tty: bool,
}

impl AttachTicket {
    /// The container has a terminal: output isn't framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// Hands the client over. Returns when the keeper serves it, or, for a container that
    /// doesn't run yet, when its next start will.
    pub async fn connect(self, io: AttachIo) -> Result<()> {
        drop(io);
        pending("attach")
    }
}

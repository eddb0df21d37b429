//! A task that serves sockets, and closes them for certain when it is dropped.

use std::{future::Future, sync::mpsc, time::Duration};

use tokio::{runtime::Handle, task::JoinHandle};

/// Longest wait for a stopped task to let go of its sockets.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A running task. Dropping it ends it and waits until its sockets are closed, so that their
/// addresses can be bound again at once; not to be dropped by the runtime's own only thread.
#[derive(Debug)]
pub struct Serving {
    task: JoinHandle<()>,
    /// Disconnects when the task is gone.
    closed: mpsc::Receiver<()>,
}

impl Serving {
    /// Starts a task that owns its sockets.
    pub fn spawn(runtime: &Handle, serve: impl Future<Output = ()> + Send + 'static) -> Self {
        let (open, closed) = mpsc::sync_channel::<()>(0);
        let task = runtime.spawn(async move {
            let serve = serve;
            // Dropped after what is being awaited: locals go in the reverse order of their making.
            let _open = open;
            serve.await;
        });
        Self { task, closed }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
        // Nothing is ever sent: this ends by disconnection, or by the time limit.
        let _ = self.closed.recv_timeout(CLOSE_TIMEOUT);
    }
}

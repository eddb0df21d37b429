//! Work that may wait for the disk or the kernel, off the threads that answer clients.

use crate::{Error, Result};

/// Runs `work` on a thread of its own kind.
pub async fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // The runtime is ending, or the work panicked and has told so already.
        Err(error) => Err(Error::Unavailable(format!("work was given up: {error}"))),
    }
}

/// Runs `work`, which takes well under a millisecond, right here; the runtime's other tasks
/// don't wait for it.
pub fn brief<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

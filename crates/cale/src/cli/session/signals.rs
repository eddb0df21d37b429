//! Signals of an attached session: those that the user sends to us go to the container, and a
//! changed window size becomes a resize.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::link::{Link, Query, query};

/// Signals that are passed on, by number and name.
const FORWARDED: &[(i32, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (10, "USR1"),
    (12, "USR2"),
    (14, "ALRM"),
    (15, "TERM"),
    (18, "CONT"),
];

/// Passes our signals on to a container, until dropped. Must be polled while the session runs.
pub async fn forward_signals(link: &Link, container: &str) {
    let (sender, mut signals) = mpsc::channel(16);
    for (number, name) in FORWARDED {
        let Ok(mut stream) = signal(SignalKind::from_raw(*number)) else { continue };
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if sender.send(*name).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let path = format!("/containers/{}/kill", query::segment(container));
    while let Some(name) = signals.recv().await {
        // A container that has just ended can't take a signal; that is not worth a word.
        drop(link.post(&path, &Query::new().set("signal", name), None).await);
    }
}

/// Sends the size of our terminal to `path` (`…/resize`), at once and whenever it changes.
pub async fn resizes(link: &Link, path: &str) {
    let mut changes = signal(SignalKind::window_change()).ok();
    loop {
        if let Some((columns, rows)) = sys::terminal::window_size(std::io::stdout()) {
            let query = Query::new().set("h", rows.to_string()).set("w", columns.to_string());
            // The process may not run yet or not any more.
            drop(link.post(path, &query, None).await);
        }
        match &mut changes {
            Some(changes) => {
                changes.recv().await;
            }
            None => return std::future::pending().await,
        }
    }
}

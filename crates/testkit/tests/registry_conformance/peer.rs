//! The registries under test.

use std::{net::SocketAddr, thread::JoinHandle};

use registry::{
    client::Hosts,
    server::{Server, config::Config},
};
use tokio::sync::oneshot;

use crate::http::{Answer, request};

/// Clauses that Docker's 2.8 registry doesn't keep, each with the reason.
const DOCKER_LACKS: &[(&str, &str)] = &[
    (
        "pull: a range outside the blob",
        "answers 416 with the length of a body that it doesn't send",
    ),
    ("push: what is no manifest is refused", "answers 500 to documents that are no objects"),
    ("discovery: tags are listed in order", "2.8 lists them in the directory's order"),
    ("push: a subject is acknowledged", "no referrers API"),
    ("push: a chunk out of order is refused", "answers 416 without Range and Location"),
    ("push: Content-Range and Content-Length must agree", "doesn't look at Content-Length"),
    ("push: a mount without from may find the blob", "optional; asks for a session"),
    ("push: a mismatching media type is refused", "takes the header's word"),
    ("push: a document of two kinds is refused", "takes the header's word"),
    ("push: another's upload session is unknown", "sessions are bound by a signed state only"),
    ("push: sha512 is taken", "2.8 doesn't know sha512 for blobs in all routes"),
    ("discovery: tags begin after last, in pages", "2.8 ignores n and last of tags"),
    ("discovery: a bad n is refused", "2.8 ignores n of tags"),
    ("discovery: referrers are listed", "no referrers API"),
    ("discovery: referrers are filtered", "no referrers API"),
    ("discovery: no referrers is an empty list", "no referrers API"),
    ("discovery: a tag's past can be read", "our extension"),
    ("management: a tag is deleted alone", "2.8 answers 405 for tags"),
    ("management: a deleted manifest refers no more", "no referrers API"),
    ("management: what isn't there can't be deleted", "answers differ by kind"),
];

/// A running registry.
pub struct Peer {
    addr: SocketAddr,
    lacks: &'static [(&'static str, &'static str)],
    _running: Running,
}

enum Running {
    Ours {
        stop: Option<oneshot::Sender<()>>,
        thread: Option<JoinHandle<()>>,
        _root: tempfile::TempDir,
    },
    Dockers(#[allow(dead_code, reason = "held so that it runs")] testkit::registry::Registry),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Ours { stop, thread, .. } = self {
            drop(stop.take());
            if let Some(thread) = thread.take() {
                thread.join().expect("the registry ends well");
            }
        }
    }
}

impl Peer {
    /// Ours, with its defaults.
    pub fn ours() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().to_owned();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let any = SocketAddr::from(([127, 0, 0, 1], 0));
                let server = Server::bind(any, &path, Config::default(), &Hosts::default())
                    .await
                    .expect("a registry");
                tell.send(server.local_addr().expect("an address")).expect("a listener");
                server
                    .run(async {
                        // Either way it is over.
                        let _ = stopped.await;
                    })
                    .await;
            });
        });
        let addr = told.recv().expect("the registry starts");
        let running = Running::Ours { stop: Some(stop), thread: Some(thread), _root: root };
        Self { addr, lacks: &[], _running: running }
    }

    /// Debian's `docker-registry`.
    pub fn dockers() -> Self {
        let registry = testkit::registry::Registry::start();
        let addr = registry.host().parse().expect("an address");
        Self { addr, lacks: DOCKER_LACKS, _running: Running::Dockers(registry) }
    }

    /// Whether the peer is known not to keep a clause.
    pub fn lacks(&self, clause: &str) -> bool {
        self.lacks.iter().any(|(name, _)| *name == clause)
    }

    /// A request without body.
    pub fn ask(&self, method: &str, target: &str) -> Answer {
        request(self.addr, method, target, &[], b"")
    }

    /// A request.
    pub fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        request(self.addr, method, target, headers, body)
    }
}

//! What a build of the classic door says: Docker's lines, as JSON messages.

use api::{
    Version,
    version::Shape,
    wire::{ErrorDetail, StreamMessage},
};
use build::{Graph, progress::Event};
use model::{Digest, Reference};

use crate::daemon::http::reply::{self, Pieces};

/// Writes messages; a client that is gone ends nothing by itself, see [`Output::closed`].
pub struct Output {
    pieces: Pieces,
    version: Version,
    quiet: bool,
    /// The instruction that is said next.
    next: usize,
}

impl Output {
    /// To a client that speaks `version`.
    pub fn new(pieces: Pieces, version: Version, quiet: bool) -> Self {
        Self { pieces, version, quiet, next: 0 }
    }

    /// Resolves when the client is gone.
    pub async fn closed(&self) {
        self.pieces.closed().await;
    }

    async fn send(&mut self, mut message: StreamMessage) {
        message.shape(self.version);
        let mut text = reply::document(&message).to_vec();
        // dockerd ends these lines with CR LF.
        text.pop();
        text.extend_from_slice(b"\r\n");
        // A client that is gone is noticed by whoever waits for `closed`.
        let _ = self.pieces.send(Ok(text.into())).await;
    }

    async fn say(&mut self, text: impl Into<String>) {
        if !self.quiet {
            self.send(StreamMessage { stream: text.into(), ..StreamMessage::default() }).await;
        }
    }

    /// One thing that happened.
    pub async fn event(&mut self, graph: &Graph, event: Event) {
        match event {
            Event::Started(vertex) => self.up_to(graph, Some(vertex)).await,
            Event::Log { bytes, .. } => self.say(String::from_utf8_lossy(&bytes)).await,
            Event::Completed { vertex, cached } => {
                if let build::graph::Op::Image { .. } = graph.vertices[vertex].op {
                    return;
                }
                if cached {
                    self.say(" ---> Using cache\n").await;
                }
            }
            Event::Failed { .. } | Event::Explained { .. } => {}
        }
    }

    /// Says the steps up to that of a vertex; all that are left without one.
    async fn up_to(&mut self, graph: &Graph, vertex: Option<usize>) {
        let all = &graph.instructions;
        let is_wanted = |at: usize| vertex.is_some() && all[at].vertex == vertex;
        let last = match vertex {
            Some(_) => match (self.next..all.len()).find(|at| is_wanted(*at)) {
                Some(at) => at + 1,
                None => return,
            },
            None => all.len(),
        };
        while self.next < last {
            let text = format!("Step {}/{} : {}\n", self.next + 1, all.len(), all[self.next].text);
            self.next += 1;
            self.say(text).await;
        }
    }

    /// The image is there.
    pub async fn done(&mut self, graph: &Graph, id: &Digest, references: &[Reference]) {
        self.up_to(graph, None).await;
        self.say(format!(" ---> {}\n", id.short())).await;
        let aux = serde_json::json!({ "ID": id.to_string() });
        self.send(StreamMessage { aux: Some(aux), ..StreamMessage::default() }).await;
        if self.quiet {
            let stream = format!("{id}\n");
            self.send(StreamMessage { stream, ..StreamMessage::default() }).await;
            return;
        }
        self.say(format!("Successfully built {}\n", id.short())).await;
        for reference in references {
            self.say(format!("Successfully tagged {}\n", reference.familiar())).await;
        }
    }

    /// It failed.
    pub async fn failed(&mut self, error: &build::Error) {
        let (code, message) = match error {
            build::Error::Exit { command, code, .. } => {
                (*code, format!("The command '{command}' returned a non-zero code: {code}"))
            }
            other => (0, other.text()),
        };
        let error_detail = Some(ErrorDetail { code, message: message.clone() });
        self.send(StreamMessage { error_detail, error: message, ..StreamMessage::default() }).await;
    }
}

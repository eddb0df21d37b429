//! Carrying a graph out: every step as soon as its inputs are ready, known steps from the cache.

use std::sync::Arc;

use model::{Digest, image::ImageConfig};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    Error, Graph, Request, Result, Worker,
    error::WorkerError,
    graph::{CopySource, CopyStep, MountKind, Op, Origin, RunStep, Vertex, VertexId},
    image,
    key::Key,
    progress::{Event, Log, Sender},
    request::RunLimits,
    worker::{Known, MountTree, Ran, Ready, Tree},
};

/// A finished build.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image's configuration, layers and history included.
    pub config: ImageConfig,
    /// For each vertex, the layers of its root filesystem, lowest first.
    pub layers: Vec<Arc<[Digest]>>,
}

/// What a vertex came to.
#[derive(Clone, Debug)]
struct Outcome {
    layers: Arc<[Digest]>,
    layer: Option<Digest>,
}

/// Carries out `graph`. Dropping the future cancels every step.
///
/// # Errors
/// The first failure; the other steps are cancelled.
pub async fn solve<W: Worker>(
    graph: &Graph,
    request: &Request,
    worker: Arc<W>,
    events: Sender,
) -> Result<Built> {
    let slots: Vec<_> = graph.vertices.iter().map(|_| watch::channel(None::<Outcome>)).collect();
    let receivers: Vec<_> = slots.iter().map(|(_, receiver)| receiver.clone()).collect();
    let mut tasks = JoinSet::new();
    for (id, ((sender, _), vertex)) in slots.into_iter().zip(&graph.vertices).enumerate() {
        let mut waits = vertex.inputs();
        if request.sequential {
            waits.extend(id.checked_sub(1));
        }
        let inputs: Vec<(VertexId, watch::Receiver<Option<Outcome>>)> =
            waits.into_iter().map(|input| (input, receivers[input].clone())).collect();
        let step = Step {
            id,
            vertex: vertex.clone(),
            worker: worker.clone(),
            limits: request.limits.clone(),
            events: events.clone(),
            epoch: graph.epoch,
        };
        tasks.spawn(async move {
            let mut ready = Vec::with_capacity(inputs.len());
            for (input, mut receiver) in inputs {
                // A sender that is gone belongs to a failed step, whose error is reported.
                let Ok(outcome) = receiver.wait_for(Option::is_some).await else {
                    return Ok(());
                };
                ready.extend(outcome.clone().map(|outcome| (input, outcome)));
            }
            let outcome = step.perform(&ready).await?;
            sender.send_replace(Some(outcome));
            Ok(())
        });
    }
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(panic) => {
                let source = WorkerError::new(model::ErrorKind::Internal, panic.to_string());
                return Err(Error::Worker { action: "a step broke off".to_owned(), source });
            }
        }
    }
    let outcomes: Vec<Outcome> =
        receivers.iter().filter_map(|receiver| receiver.borrow().clone()).collect();
    if outcomes.len() != graph.vertices.len() {
        return Err(Error::Invalid("a step was never reached".to_owned()));
    }
    let config = image::finish(graph, |vertex| outcomes[vertex].layer.clone());
    Ok(Built { config, layers: outcomes.into_iter().map(|outcome| outcome.layers).collect() })
}

struct Step<W> {
    id: VertexId,
    vertex: Vertex,
    worker: Arc<W>,
    limits: RunLimits,
    events: Sender,
    epoch: i64,
}

impl<W: Worker> Step<W> {
    async fn perform(&self, inputs: &[(VertexId, Outcome)]) -> Result<Outcome> {
        self.tell(Event::Started(self.id)).await;
        let result = self.outcome(inputs).await;
        if let Err(error) = &result {
            let message = error.text();
            self.tell(Event::Failed { vertex: self.id, message }).await;
        }
        result
    }

    /// Nobody listening is no error.
    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    async fn outcome(&self, inputs: &[(VertexId, Outcome)]) -> Result<Outcome> {
        let layers_of = |vertex: VertexId| {
            inputs.iter().find(|(id, _)| *id == vertex).map(|(_, outcome)| outcome.layers.clone())
        };
        if let Op::Image { layers, .. } = &self.vertex.op {
            self.tell(Event::Completed { vertex: self.id, cached: true }).await;
            return Ok(Outcome { layers: layers.clone().into(), layer: None });
        }
        let base = self.vertex.parent.and_then(layers_of).unwrap_or_default();
        let tree = |origin: &Origin| match origin {
            Origin::Context(name) => Tree::Context(name.clone()),
            Origin::Vertex(vertex) => {
                Tree::Layers(layers_of(*vertex).map(|l| l.to_vec()).unwrap_or_default())
            }
            Origin::Empty => Tree::Layers(Vec::new()),
        };
        let mut key = Key::of(&self.vertex.op, &base, self.epoch);
        let sources = match &self.vertex.op {
            Op::Copy(copy) => {
                let sources: Vec<Ready> = copy.sources.iter().map(|s| ready(s, &tree)).collect();
                self.copy_key(&mut key, copy, &sources).await?;
                sources
            }
            _ => Vec::new(),
        };
        let mounts = match &self.vertex.op {
            Op::Run(run) => {
                let mounts = mount_trees(run, &tree);
                self.mount_key(&mut key, run, &mounts).await?;
                mounts
            }
            _ => Vec::new(),
        };
        let digest = key.digest();
        if !self.vertex.no_cache
            && let Some(known) = self.worker.known(&digest).await.map_err(|e| self.fault(e))?
        {
            self.tell(Event::Completed { vertex: self.id, cached: true }).await;
            return Ok(outcome(&base, known.layer));
        }
        let layer = self.work(&base, &sources, &mounts).await?;
        let known = Known { layer: layer.clone() };
        self.worker
            .remember(&digest, &self.vertex.text, &known)
            .await
            .map_err(|source| self.fault(source))?;
        self.tell(Event::Completed { vertex: self.id, cached: false }).await;
        Ok(outcome(&base, layer))
    }

    async fn copy_key(&self, key: &mut Key, copy: &CopyStep, sources: &[Ready]) -> Result<()> {
        for source in sources {
            let name = match source {
                Ready::Files { pattern, .. } => pattern,
                Ready::Inline { name, .. } => name,
                Ready::Url { url, .. } | Ready::Git { url, .. } => url,
            };
            let fingerprint = self.worker.fingerprint(copy, source).await;
            key.content(name, fingerprint.map_err(|e| self.fault(e))?);
        }
        Ok(())
    }

    async fn mount_key(&self, key: &mut Key, run: &RunStep, trees: &[MountTree]) -> Result<()> {
        for (mount, tree) in run.mounts.iter().zip(trees) {
            key.json("mount", &(&mount.target, mount.readonly));
            match &mount.kind {
                // Where the files come from is said by their content.
                MountKind::Bind { source, .. } => {
                    if let Some(tree) = tree {
                        let content = self.worker.fingerprint_tree(tree, source).await;
                        let content = content.map_err(|e| self.fault(e))?;
                        key.part(&format!("content of {source}"), &content.to_string());
                    }
                }
                // The content of caches and secrets must not decide.
                MountKind::Cache { id, .. } => key.part("cache", id),
                MountKind::Secret { id, env, .. } => key.json("secret", &(id, env)),
                kind => key.json("kind", kind),
            }
        }
        Ok(())
    }

    async fn work(
        &self,
        base: &[Digest],
        sources: &[Ready],
        mounts: &[MountTree],
    ) -> Result<Option<Digest>> {
        match &self.vertex.op {
            Op::Image { .. } => Ok(None),
            Op::MakeDir(step) => self.worker.make_dir(base, step, self.epoch).await,
            Op::Copy(step) => self.worker.copy(base, step, sources, self.epoch).await,
            Op::Run(step) => {
                let log = Log::new(self.id, self.events.clone());
                let ran = self.worker.run(base, step, mounts, &self.limits, log, self.epoch).await;
                match ran {
                    Ok(Ran::Done(layer)) => Ok(layer),
                    Ok(Ran::Failed(code)) => {
                        let command = step.command.join(" ");
                        return Err(Error::Exit { span: self.vertex.span, command, code });
                    }
                    Err(error) => Err(error),
                }
            }
        }
        .map_err(|source| self.fault(source))
    }

    fn fault(&self, source: WorkerError) -> Error {
        Error::Step { span: self.vertex.span, step: self.vertex.text.clone(), source }
    }
}

fn outcome(base: &[Digest], layer: Option<Digest>) -> Outcome {
    Outcome { layers: base.iter().cloned().chain(layer.clone()).collect(), layer }
}

fn ready(source: &CopySource, tree: &impl Fn(&Origin) -> Tree) -> Ready {
    match source.clone() {
        CopySource::Files { from, pattern, unpack } => {
            Ready::Files { tree: tree(&from), pattern, unpack }
        }
        CopySource::Inline { name, content } => Ready::Inline { name, content },
        CopySource::Url { url, checksum, unpack } => Ready::Url { url, checksum, unpack },
        CopySource::Git { url, checksum, keep_git_dir } => {
            Ready::Git { url, checksum, keep_git_dir }
        }
    }
}

fn mount_trees(run: &RunStep, tree: &impl Fn(&Origin) -> Tree) -> Vec<MountTree> {
    let of = |kind: &MountKind| match kind {
        MountKind::Bind { from, .. } => Some(tree(from)),
        MountKind::Cache { from, .. } => from.as_ref().map(tree),
        _ => None,
    };
    run.mounts.iter().map(|mount| of(&mount.kind)).collect()
}

#[cfg(test)]
mod tests;

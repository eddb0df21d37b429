//! From instructions to the graph: which stages are needed, what each step does, and the image's
//! configuration.
//!
//! Stages only refer to stages before them. So: find the needed ones (base images are resolved on
//! the way, because their `ONBUILD` triggers may need more), then lower them in order.

mod arguments;
mod configure;
mod copy;
mod run;
mod stages;
mod state;

use std::collections::{BTreeMap, BTreeSet};

use dockerfile::{
    Span,
    expand::{self, ExpandError},
    instruction::{self, Kind},
};
use model::image::ImageConfig;

use crate::{
    Error, Request, Result, Worker,
    graph::{Graph, Instruction, Op, Origin, Vertex, VertexId},
    request::NamedContext,
    worker::BaseImage,
};
use stages::{Base, Place, Stage};
use state::State;

/// Reads the Dockerfile of `request` and lays out the steps that its target needs.
///
/// # Errors
/// What is wrong with the text, with its place; what the worker says of base images.
pub async fn lower<W: Worker>(request: &Request, worker: &W) -> Result<Graph> {
    let file = dockerfile::parse(&request.dockerfile).map_err(Error::Parse)?;
    let instructions = file
        .nodes
        .iter()
        .map(|node| instruction::read(node).map_err(Error::Parse))
        .collect::<Result<Vec<_>>>()?;
    let escape = file.directives.escape;
    let split = stages::split(instructions, request, escape)?;
    let target = stages::target(&split.stages, request.target.as_deref())?;
    let mut needed = Needed { request, stages: split.stages, images: BTreeMap::new() };
    let wanted = needed.collect(worker, target, escape).await?;
    let epoch = needed.epoch(request, target)?;
    let mut lowering = Lowering {
        request,
        escape,
        globals: split.globals,
        stages: needed.stages,
        images: needed.images,
        states: BTreeMap::new(),
        image_vertices: BTreeMap::new(),
        vertices: Vec::new(),
        instructions: Vec::new(),
        epoch,
    };
    for stage in &wanted {
        lowering.stage(*stage)?;
    }
    lowering.finish(target)
}

/// Finds out what a target needs.
struct Needed<'a> {
    request: &'a Request,
    stages: Vec<Stage>,
    images: BTreeMap<String, BaseImage>,
}

impl Needed<'_> {
    async fn collect<W: Worker>(
        &mut self,
        worker: &W,
        target: usize,
        escape: char,
    ) -> Result<BTreeSet<usize>> {
        let mut wanted = BTreeSet::new();
        let mut open = vec![target];
        while let Some(at) = open.pop() {
            if !wanted.insert(at) {
                continue;
            }
            match self.stages[at].base.clone() {
                Base::Stage(base) => open.push(base),
                Base::Image(name) => {
                    let span = self.stages[at].span;
                    let image = self.image(worker, at, &name, span).await?;
                    let triggers = image.config.config.clone().unwrap_or_default().on_build;
                    stages::add_triggers(&mut self.stages[at], &triggers, escape)?;
                }
                Base::Scratch | Base::Tree(_) => {}
            }
            for (name, span) in stages::references(&self.stages[at]) {
                match stages::place(&self.stages, at, &name, self.request) {
                    Ok(Place::Stage(stage)) => open.push(stage),
                    Ok(Place::Image(name)) => {
                        self.image(worker, at, &name, span).await?;
                    }
                    Ok(Place::Tree(_)) => {}
                    Err(message) => return Err(Error::Instruction { span, message }),
                }
            }
        }
        Ok(wanted)
    }

    async fn image<W: Worker>(
        &mut self,
        worker: &W,
        at: usize,
        name: &str,
        span: Span,
    ) -> Result<BaseImage> {
        let platform = self.stages[at].platform.clone();
        let key = image_key(name, &platform);
        if let Some(image) = self.images.get(&key) {
            return Ok(image.clone());
        }
        let image = worker.image(name, &platform, self.request.pull).await.map_err(|source| {
            Error::Step {
                span,
                step: format!("failed to resolve source metadata for {name}"),
                source,
            }
        })?;
        self.images.insert(key, image.clone());
        Ok(image)
    }

    /// The time of everything that a build makes: `SOURCE_DATE_EPOCH`, else that of the image
    /// built on. The clock is no input, so the same input gives the same image.
    fn epoch(&self, request: &Request, target: usize) -> Result<i64> {
        if let Some(text) = request.build_args.get("SOURCE_DATE_EPOCH").filter(|t| !t.is_empty()) {
            return text
                .parse()
                .map_err(|_| Error::Invalid(format!("invalid SOURCE_DATE_EPOCH: {text}")));
        }
        let created = |image: &BaseImage| {
            let text = image.config.created.as_deref()?;
            Some(text.parse::<jiff::Timestamp>().ok()?.as_second())
        };
        let mut at = target;
        while let Base::Stage(base) = &self.stages[at].base {
            at = *base;
        }
        if let Base::Image(name) = &self.stages[at].base
            && let Some(image) = self.images.get(&image_key(name, &self.stages[at].platform))
        {
            return Ok(created(image).unwrap_or(0));
        }
        Ok(self.images.values().filter_map(created).max().unwrap_or(0))
    }
}

fn image_key(name: &str, platform: &model::image::Platform) -> String {
    format!("{name} {platform}")
}

struct Lowering<'a> {
    request: &'a Request,
    escape: char,
    globals: stages::Globals,
    stages: Vec<Stage>,
    images: BTreeMap<String, BaseImage>,
    states: BTreeMap<usize, State>,
    image_vertices: BTreeMap<String, VertexId>,
    vertices: Vec<Vertex>,
    instructions: Vec<Instruction>,
    epoch: i64,
}

/// Where in its stage an instruction stands, for the names of its steps.
struct Cursor {
    stage: usize,
    label: Option<String>,
    done: usize,
    total: usize,
    no_cache: bool,
}

impl Cursor {
    fn name(&mut self, text: &str) -> String {
        self.done += 1;
        let width = self.total.max(1).ilog10() as usize + 1;
        let label = self.label.as_ref().map_or(String::new(), |label| format!("{label} "));
        format!("[{label}{:>width$}/{}] {text}", self.done, self.total)
    }
}

impl Lowering<'_> {
    fn stage(&mut self, at: usize) -> Result<()> {
        let stage = self.stages[at].clone();
        let makes_step = |kind: &Kind| {
            matches!(kind, Kind::Run(_) | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_))
        };
        let steps = stage.instructions.iter().filter(|i| makes_step(&i.kind)).count();
        let name = stage.name.clone().unwrap_or_else(|| format!("stage-{at}"));
        let filter = &self.request.no_cache_filter;
        let mut cursor = Cursor {
            stage: at,
            no_cache: self.request.no_cache || filter.contains(&name),
            label: (self.stages.len() > 1).then_some(name),
            done: 0,
            total: steps + 1,
        };
        let mut state = self.base(&stage, &mut cursor)?;
        self.note(&stage.from_text, state.root, stage.span);
        for instruction in &stage.instructions {
            let before = state.root;
            self.instruction(instruction, &mut state, &mut cursor)?;
            let vertex = state.root.filter(|root| Some(*root) != before);
            self.note(&instruction.text, vertex, instruction.span);
        }
        self.states.insert(at, state);
        Ok(())
    }

    fn note(&mut self, text: &str, vertex: Option<VertexId>, span: Span) {
        self.instructions.push(Instruction { text: text.to_owned(), vertex, span });
    }

    /// The state that a stage begins with.
    fn base(&mut self, stage: &Stage, cursor: &mut Cursor) -> Result<State> {
        match &stage.base {
            Base::Stage(base) => {
                cursor.total -= 1;
                let state = self.states.get(base).ok_or_else(|| Error::Instruction {
                    span: stage.span,
                    message: format!("stage {:?} needs itself", stage.image),
                })?;
                Ok(state.inherited())
            }
            Base::Image(name) => {
                let key = image_key(name, &stage.platform);
                let image = self.images.get(&key).cloned().ok_or_else(|| Error::Instruction {
                    span: stage.span,
                    message: format!("image {name:?} wasn't resolved"),
                })?;
                let title = cursor.name(&format!("FROM {name}"));
                let vertex = self.image_vertex(&key, name, &image, title, stage.span);
                Ok(State::on_image(vertex, &image.config))
            }
            Base::Scratch => {
                cursor.total -= 1;
                Ok(State::empty(&stage.platform))
            }
            Base::Tree(name) => {
                let title = cursor.name(&format!("FROM {name}"));
                let mut state = State::empty(&stage.platform);
                let step = copy::whole_tree(name);
                state.root = Some(self.push(Vertex {
                    text: format!("FROM {name}"),
                    name: title,
                    span: stage.span,
                    parent: None,
                    op: Op::Copy(step),
                    no_cache: cursor.no_cache,
                }));
                state.record(format!("FROM {name}"), state.root);
                Ok(state)
            }
        }
    }

    fn image_vertex(
        &mut self,
        key: &str,
        name: &str,
        image: &BaseImage,
        title: String,
        span: Span,
    ) -> VertexId {
        if let Some(vertex) = self.image_vertices.get(key) {
            return *vertex;
        }
        let layers = image.config.rootfs.diff_ids.clone();
        let vertex = self.push(Vertex {
            name: title,
            text: format!("FROM {name}"),
            span,
            parent: None,
            op: Op::Image { name: name.to_owned(), layers },
            no_cache: false,
        });
        self.image_vertices.insert(key.to_owned(), vertex);
        vertex
    }

    fn push(&mut self, vertex: Vertex) -> VertexId {
        self.vertices.push(vertex);
        self.vertices.len() - 1
    }

    /// Where the files of `--from=name` come from.
    fn origin(&mut self, stage: usize, name: &str, span: Span) -> Result<Origin> {
        let fault = |message| Error::Instruction { span, message };
        match stages::place(&self.stages, stage, name, self.request).map_err(fault)? {
            Place::Stage(stage) => match self.states.get(&stage) {
                Some(State { root: Some(root), .. }) => Ok(Origin::Vertex(*root)),
                Some(_) => Ok(Origin::Empty),
                None => Err(Error::Instruction {
                    span,
                    message: format!(
                        "cannot copy from stage {name:?}, it needs to be defined before current stage"
                    ),
                }),
            },
            Place::Image(image_name) => {
                let key = image_key(&image_name, &self.stages[stage].platform);
                let image = self.images.get(&key).cloned().ok_or_else(|| Error::Instruction {
                    span,
                    message: format!("image {image_name:?} wasn't resolved"),
                })?;
                let title = format!("FROM {image_name}");
                Ok(Origin::Vertex(self.image_vertex(&key, &image_name, &image, title, span)))
            }
            Place::Tree(name) => Ok(Origin::Context(name)),
        }
    }

    fn expand(&self, text: &str, state: &State, span: Span) -> Result<String> {
        let lookup = |name: &str| state.variable(name);
        expand::word(text, self.escape, &lookup).map_err(|error| cannot_expand(text, &error, span))
    }

    fn finish(mut self, target: usize) -> Result<Graph> {
        let state = self
            .states
            .remove(&target)
            .ok_or_else(|| Error::Invalid("the target stage was not reached".to_owned()))?;
        let mut process = state.process;
        for (name, value) in &self.request.labels {
            process.labels.insert(name.clone(), value.clone());
        }
        let created = jiff::Timestamp::from_second(self.epoch)
            .map_err(|_| Error::Invalid(format!("invalid SOURCE_DATE_EPOCH: {}", self.epoch)))?
            .to_string();
        let mut history = state.history;
        for entry in &mut history {
            entry.entry.created = Some(created.clone());
        }
        let config = ImageConfig {
            created: Some(created),
            author: state.author,
            architecture: state.architecture,
            os: state.os,
            os_version: None,
            variant: state.variant,
            config: Some(process),
            rootfs: state.base_rootfs,
            history: state.base_history,
        };
        Ok(Graph {
            vertices: self.vertices,
            result: state.root,
            config,
            history,
            instructions: self.instructions,
            warnings: Vec::new(),
            epoch: self.epoch,
        })
    }
}

fn cannot_expand(text: &str, error: &ExpandError, span: Span) -> Error {
    let message = format!("failed to process {text:?}: {error}");
    Error::Instruction { span, message }
}

/// Named contexts are looked up by lower-case name.
fn context<'a>(request: &'a Request, name: &str) -> Option<&'a NamedContext> {
    request.contexts.get(&name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;

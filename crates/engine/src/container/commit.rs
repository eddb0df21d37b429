//! Commit: what a container wrote becomes the top layer of a new image.

use std::sync::Arc;

use model::{
    Digest,
    event::EventType,
    image::{Empty, History, ImageConfig, ProcessDefaults},
};
use store::{Commit, Take};

use super::{CommitRequest, Containers, Record, Snapshot};
use crate::{Engine, Result, blocking, image, records::stored};

impl Containers<'_> {
    /// Makes an image of it; returns the image's id.
    pub async fn commit(&self, container: &str, request: CommitRequest) -> Result<Digest> {
        let handle = self.engine.registry().find(container)?;
        let snapshot = handle.snapshot();
        let pause = request.pause && snapshot.state.status == model::state::Status::Running;
        if pause {
            self.pause(handle.id.as_str()).await?;
        }
        let (engine, shared) = (self.engine.clone(), snapshot.clone());
        let made = blocking::spawn(move || make(&engine, &shared, &request)).await;
        if pause && let Err(error) = self.unpause(handle.id.as_str()).await {
            tracing::warn!(error = error.text(), "unpause after commit");
        }
        let id = made?;
        let text = id.to_string();
        self.engine.events().container(&snapshot.record, "commit", &[("imageID", &text)]);
        self.engine.events().other(EventType::Image, "create", &text, &[("name", &text)]);
        Ok(id)
    }
}

fn make(engine: &Arc<Engine>, snapshot: &Snapshot, request: &CommitRequest) -> Result<Digest> {
    let record = &snapshot.record;
    let mut defaults = defaults(record);
    if let Some(config) = &request.config {
        defaults = over(defaults, config);
    }
    for change in &request.changes {
        image::apply_change(&mut defaults, change)?;
    }
    let store = engine.records().store();
    let lease = store.lease();
    let rootfs = engine.records().rootfs(record)?;
    let commit = Commit { upper: rootfs.upper, take: Take::Copy, epoch: None };
    let layer = store.layer_commit(&lease, &commit).map_err(stored("archive", &record.name))?;
    let mut config = match &record.image_id {
        Some(id) => store.image(id).map(|image| image.config).unwrap_or_default(),
        None => ImageConfig::default(),
    };
    let created = jiff::Timestamp::now().to_string();
    let (path, arguments) = record.command();
    let words: Vec<String> = std::iter::once(path).chain(arguments).collect();
    config.created = Some(created.clone());
    config.author = Some(request.author.clone()).filter(|author| !author.is_empty());
    config.architecture.clone_from(&record.platform.architecture);
    config.os.clone_from(&record.platform.os);
    config.variant.clone_from(&record.platform.variant);
    config.config = Some(defaults);
    config.rootfs.diff_ids = record.layers.iter().cloned().chain([layer.diff_id]).collect();
    config.history.push(History {
        created: Some(created),
        created_by: Some(words.join(" ")),
        author: config.author.clone(),
        comment: Some(request.comment.clone()).filter(|comment| !comment.is_empty()),
        empty_layer: false,
    });
    let names = request.reference.clone().map(|name| name.or_latest()).into_iter().collect();
    let image = store.image_make(&lease, &config, names).map_err(stored("commit", &record.name))?;
    Ok(image.id)
}

/// What the container was told, as an image's defaults.
fn defaults(record: &Record) -> ProcessDefaults {
    let spec = &record.spec;
    let process = &spec.process;
    ProcessDefaults {
        user: process.user.clone().unwrap_or_default(),
        exposed_ports: spec.exposed_ports.iter().map(|p| (p.to_string(), Empty {})).collect(),
        env: process.env.clone(),
        entrypoint: process.entrypoint.clone(),
        cmd: process.cmd.clone(),
        volumes: spec.volumes.iter().map(|path| (path.clone(), Empty {})).collect(),
        working_dir: process.working_dir.clone().unwrap_or_default(),
        labels: spec.labels.clone(),
        stop_signal: process.stop_signal.clone(),
        shell: process.shell.clone(),
        healthcheck: spec.healthcheck.clone(),
        on_build: Vec::new(),
        args_escaped: process.args_escaped,
    }
}

/// What the request's configuration says wins.
fn over(mut base: ProcessDefaults, new: &ProcessDefaults) -> ProcessDefaults {
    if !new.user.is_empty() {
        base.user.clone_from(&new.user);
    }
    if !new.env.is_empty() {
        base.env = super::merge::environment(&base.env, &new.env);
    }
    if new.cmd.is_some() {
        base.cmd.clone_from(&new.cmd);
    }
    if new.entrypoint.is_some() {
        base.entrypoint.clone_from(&new.entrypoint);
    }
    if !new.working_dir.is_empty() {
        base.working_dir.clone_from(&new.working_dir);
    }
    base.labels.extend(new.labels.clone());
    base.exposed_ports.extend(new.exposed_ports.clone());
    base.volumes.extend(new.volumes.clone());
    if new.healthcheck.is_some() {
        base.healthcheck.clone_from(&new.healthcheck);
    }
    if new.stop_signal.is_some() {
        base.stop_signal.clone_from(&new.stop_signal);
    }
    base
}

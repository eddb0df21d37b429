//! Images: list lines, inspection, history, removals.

use std::collections::BTreeMap;

use api::{
    convert::{rfc3339_nano, unix_seconds},
    wire::{
        self, Config, Descriptor, DriverData, Empty, HealthConfig, ImageConfig, ImageDeleted,
        ImageHistory, ImageInspect, ImageMetadata, ImageSummary, ManifestImageData, ManifestSize,
        ManifestSummary, RootFs, UnpackedSize, map_or_null,
    },
};
use engine::image::{HistoryLine, Inspection, Removed, Summary};
use indexmap::IndexMap;
use model::{Reference, container::HealthCheck, image};

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn names(references: &[Reference]) -> Vec<String> {
    references.iter().map(Reference::familiar).collect()
}

/// A line of `GET /images/json`.
pub fn summary(one: &Summary, manifests: bool) -> ImageSummary {
    ImageSummary {
        containers: i64::try_from(one.containers).unwrap_or(i64::MAX),
        created: unix_seconds(one.created_ns),
        id: one.id.to_string(),
        labels: map_or_null(&one.labels),
        parent_id: String::new(),
        descriptor: Some(descriptor(&one.descriptor)),
        manifests: manifests
            .then(|| vec![manifest(&one.descriptor, &image::Platform::host(), one.size)]),
        repo_digests: Some(names(&one.digests)),
        repo_tags: Some(names(&one.tags)),
        shared_size: one.shared_size.map_or(-1, size),
        size: size(one.size),
        virtual_size: None,
    }
}

fn manifest(
    target: &image::Descriptor,
    platform_: &image::Platform,
    unpacked: u64,
) -> ManifestSummary {
    ManifestSummary {
        id: target.digest.to_string(),
        descriptor: descriptor(target),
        available: true,
        size: ManifestSize { content: size(target.size), total: size(target.size + unpacked) },
        kind: "image".to_owned(),
        image_data: Some(ManifestImageData {
            platform: platform(platform_),
            size: UnpackedSize { unpacked: size(unpacked) },
            containers: Vec::new(),
            identity: None,
        }),
        attestation_data: None,
    }
}

/// `GET /images/{name}/json`
pub fn inspect(one: &Inspection, manifests: bool) -> ImageInspect {
    let last_comment = one.config.history.last().and_then(|step| step.comment.clone());
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    ImageInspect {
        id: one.id.to_string(),
        repo_tags: names(&one.tags),
        repo_digests: names(&one.digests),
        parent: None,
        comment: text(&last_comment),
        created: text(&one.config.created),
        docker_version: None,
        author: text(&one.config.author),
        config: Some(config(&one.config.config.clone().unwrap_or_default())),
        architecture: one.config.architecture.clone(),
        variant: one.config.variant.clone().unwrap_or_default(),
        os: one.config.os.clone(),
        os_version: one.config.os_version.clone().unwrap_or_default(),
        size: size(one.size),
        graph_driver: Some(graph_driver(one)),
        root_fs: RootFs {
            kind: one.config.rootfs.kind.clone(),
            layers: one.config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: ImageMetadata { last_tag_time: rfc3339_nano(one.last_tagged_ns) },
        descriptor: Some(descriptor(&one.descriptor)),
        manifests: manifests.then(|| vec![manifest(&one.descriptor, &one.platform, one.size)]),
        ..ImageInspect::default()
    }
}

fn graph_driver(one: &Inspection) -> DriverData {
    let mut dirs = one.lower_dirs.iter().rev().map(|dir| dir.display().to_string());
    let mut data = BTreeMap::new();
    if let Some(upper) = dirs.next() {
        data.insert("UpperDir".to_owned(), upper);
    }
    let lower: Vec<String> = dirs.collect();
    if !lower.is_empty() {
        data.insert("LowerDir".to_owned(), lower.join(":"));
    }
    DriverData { data: Some(data), name: "overlay2".to_owned() }
}

fn set(map: &IndexMap<String, image::Empty>) -> BTreeMap<String, Empty> {
    map.keys().map(|key| (key.clone(), Empty {})).collect()
}

fn config(defaults: &image::ProcessDefaults) -> ImageConfig {
    let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let volumes = set(&defaults.volumes);
    ImageConfig {
        user: defaults.user.clone(),
        exposed_ports: set(&defaults.exposed_ports),
        env: list(&defaults.env),
        entrypoint: defaults.entrypoint.clone(),
        cmd: defaults.cmd.clone(),
        volumes: (!volumes.is_empty()).then_some(volumes),
        working_dir: defaults.working_dir.clone(),
        labels: map_or_null(&defaults.labels),
        stop_signal: defaults.stop_signal.clone().unwrap_or_default(),
        args_escaped: defaults.args_escaped,
        healthcheck: defaults.healthcheck.as_ref().map(health_config),
        on_build: list(&defaults.on_build),
        shell: defaults.shell.clone(),
        shown: wire::ShownDefaults::Nothing,
    }
}

fn health_config(check: &HealthCheck) -> HealthConfig {
    HealthConfig {
        test: Some(check.test.clone()),
        interval: check.interval,
        timeout: check.timeout,
        start_period: check.start_period,
        start_interval: check.start_interval,
        retries: check.retries,
    }
}

/// The defaults that a commit's body asks for; `None` when it asks for nothing.
pub fn process_defaults(config: &Config) -> Option<image::ProcessDefaults> {
    if *config == Config::default() {
        return None;
    }
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    let words = |words: &Option<api::go::Words>| words.as_ref().map(|words| words.0.clone());
    let set = |names: Vec<&String>| -> IndexMap<String, image::Empty> {
        names.into_iter().map(|name| (name.clone(), image::Empty {})).collect()
    };
    Some(image::ProcessDefaults {
        user: config.user.clone(),
        exposed_ports: set(config.exposed_ports.keys().collect()),
        env: config.env.clone().unwrap_or_default(),
        entrypoint: words(&config.entrypoint),
        cmd: words(&config.cmd),
        volumes: set(config.volumes.iter().flat_map(|map| map.keys()).collect()),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone().unwrap_or_default().into_iter().collect(),
        stop_signal: some(&config.stop_signal),
        shell: words(&config.shell),
        healthcheck: config.healthcheck.as_ref().map(|check| HealthCheck {
            test: check.test.clone().unwrap_or_default(),
            interval: check.interval,
            timeout: check.timeout,
            start_period: check.start_period,
            start_interval: check.start_interval,
            retries: check.retries,
        }),
        on_build: config.on_build.clone().flatten().unwrap_or_default(),
        args_escaped: config.args_escaped,
    })
}

/// A line of `GET /images/{name}/history`.
pub fn history(line: &HistoryLine) -> ImageHistory {
    let tags = names(&line.tags);
    ImageHistory {
        comment: line.comment.clone(),
        created: unix_seconds(line.created_ns),
        created_by: line.created_by.clone(),
        id: line.id.as_ref().map_or_else(|| "<missing>".to_owned(), ToString::to_string),
        size: size(line.size),
        tags: (!tags.is_empty()).then_some(tags),
    }
}

/// What a removal did.
pub fn removed(step: &Removed) -> ImageDeleted {
    match step {
        Removed::Untagged(name) => ImageDeleted { untagged: name.clone(), ..Default::default() },
        Removed::Deleted(id) => ImageDeleted { deleted: id.to_string(), ..Default::default() },
    }
}

/// An OCI descriptor.
pub fn descriptor(one: &image::Descriptor) -> Descriptor {
    Descriptor {
        media_type: one.media_type.clone(),
        digest: one.digest.to_string(),
        size: size(one.size),
        urls: one.urls.clone(),
        annotations: one.annotations.clone(),
        data: one.data.clone(),
        platform: one.platform.as_ref().map(platform),
        artifact_type: one.artifact_type.clone().unwrap_or_default(),
    }
}

/// An OCI platform.
pub fn platform(one: &image::Platform) -> wire::Platform {
    wire::Platform {
        architecture: one.architecture.clone(),
        os: one.os.clone(),
        os_version: one.os_version.clone().unwrap_or_default(),
        os_features: one.os_features.clone(),
        variant: one.variant.clone().unwrap_or_default(),
    }
}

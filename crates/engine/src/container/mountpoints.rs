//! Settling what is mounted where: from what was asked to what is stored.
//!
//! Order of precedence at one target, as Docker has it: what the request mounts, then volumes
//! taken from other containers, then the image's anonymous volumes.

use std::path::{Component, Path, PathBuf};

use indexmap::IndexMap;
use model::{
    container::ContainerSpec,
    mount::{Mount, MountOrigin, MountSource, Propagation},
};

use super::{MountPoint, sources};
use crate::{Engine, Error, Result, moment};

/// Every mount of a container to be, its volumes named but not made yet.
pub fn settle(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<MountPoint>> {
    let mut points: IndexMap<String, MountPoint> = IndexMap::new();
    for mount in &spec.host.mounts {
        let point = point(engine, mount.clone())?;
        let target = point.mount.target.clone();
        if points.insert(target.clone(), point).is_some() || spec.host.tmpfs.contains_key(&target) {
            return Err(Error::Invalid(format!("Duplicate mount point: {target}")));
        }
    }
    for from in &spec.host.volumes_from {
        let snapshot = engine.registry().find(&from.container)?.snapshot();
        for other in &snapshot.record.mounts {
            let mut taken = other.clone();
            // It belongs to the other container, also when that goes.
            taken.anonymous = false;
            if let Some(readonly) = from.readonly {
                taken.mount.readonly = readonly;
            }
            points.entry(taken.mount.target.clone()).or_insert(taken);
        }
    }
    for path in &spec.volumes {
        let target = clean(path)?;
        if points.contains_key(&target) || spec.host.tmpfs.contains_key(&target) {
            continue;
        }
        let source = MountSource::Volume {
            name: None,
            copy_up: true,
            labels: IndexMap::new(),
            driver: spec.host.volume_driver.clone(),
            driver_options: IndexMap::new(),
            subpath: None,
        };
        let mount =
            Mount { target: target.clone(), readonly: false, source, origin: MountOrigin::Mount };
        points.insert(target, point(engine, mount)?);
    }
    Ok(points.into_values().collect())
}

fn point(engine: &Engine, mut mount: Mount) -> Result<MountPoint> {
    mount.target = clean(&mount.target)?;
    let mut point = MountPoint {
        name: String::new(),
        anonymous: false,
        source: PathBuf::new(),
        driver: String::new(),
        mode: mode(&mount),
        propagation: Propagation::Unset,
        mount,
    };
    match &point.mount.source {
        MountSource::Bind { path, create, propagation, .. } => {
            if !Path::new(path).is_absolute() {
                return Err(Error::Invalid(format!(
                    "invalid mount config for type \"bind\": invalid mount path: '{path}' mount path must be absolute"
                )));
            }
            if !create && !Path::new(path).exists() {
                return Err(sources::missing_source(Path::new(path)));
            }
            point.source = PathBuf::from(path);
            point.propagation = match propagation {
                Propagation::Unset => Propagation::Rprivate,
                other => *other,
            };
        }
        MountSource::Volume { name, driver, .. } => {
            point.anonymous = name.is_none();
            point.name = match name {
                Some(name) => name.clone(),
                None => data_name(),
            };
            point.driver = driver.clone().unwrap_or_else(|| "local".to_owned());
            point.source = engine.volumes_table().path(engine, &point.name);
        }
        MountSource::Tmpfs { .. } => {}
        MountSource::Image { reference, .. } => {
            engine.records().image_layers(reference)?;
        }
    }
    Ok(point)
}

fn data_name() -> String {
    model::ContainerId::from_bytes(moment::random_id()).as_str().to_owned()
}

/// The options part of a `-v` text, as inspect shows it.
fn mode(mount: &Mount) -> String {
    match &mount.origin {
        MountOrigin::Bind(text) => {
            let mut parts = text.splitn(3, ':');
            parts.nth(2).unwrap_or_default().to_owned()
        }
        MountOrigin::Mount if matches!(mount.source, MountSource::Volume { .. }) => "z".to_owned(),
        MountOrigin::Mount => String::new(),
    }
}

/// Absolute, without `.`, `..`, doubled or trailing slashes; never the root.
fn clean(path: &str) -> Result<String> {
    let invalid = |why: &str| Error::Invalid(format!("invalid mount path: '{path}' {why}"));
    if !path.starts_with('/') {
        return Err(invalid("mount path must be absolute"));
    }
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if parts.is_empty() {
        return Err(Error::Invalid("invalid specification: destination can't be '/'".to_owned()));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Makes the volume of a mount, if it has one and it isn't there; true when it was made.
pub fn make_volume(engine: &Engine, point: &mut MountPoint) -> Result<bool> {
    let MountSource::Volume { labels, driver, driver_options, .. } = &point.mount.source else {
        return Ok(false);
    };
    let request = crate::volume::CreateRequest {
        name: point.name.clone(),
        driver: driver.clone().unwrap_or_default(),
        options: driver_options.clone(),
        labels: labels.clone(),
    };
    let (made, record) = engine.volumes_table().make(engine, request, point.anonymous)?;
    point.driver = record.driver;
    point.source = engine.volumes_table().path(engine, &point.name);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_cleaned() {
        assert_eq!(clean("/a//b/../c/").unwrap(), "/a/c");
        assert_eq!(clean("/../../x").unwrap(), "/x");
        assert!(clean("a").is_err());
        assert!(clean("/").is_err());
        assert!(clean("/a/..").is_err());
    }
}

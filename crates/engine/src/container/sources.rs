//! What a container takes from the host: mount sources and devices, looked up at its start.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use model::mount::MountSource;
use runtime::spec::{Device, LinuxDeviceCgroup};

use super::{
    Record,
    oci::{HostMount, devices as rules},
};
use crate::{Engine, Error, Result};

/// The host side of every mount; makes directories that `-v` promises.
pub fn find(engine: &Engine, record: &Record) -> Result<Vec<HostMount>> {
    record.mounts.iter().map(|point| find_one(engine, point)).collect()
}

fn find_one(engine: &Engine, point: &super::MountPoint) -> Result<HostMount> {
    let mount = point.mount.clone();
    let plain = |source: PathBuf| HostMount { mount: mount.clone(), source, layers: Vec::new() };
    match &point.mount.source {
        MountSource::Bind { path, create, .. } => {
            let path = PathBuf::from(path);
            if *create && !path.exists() {
                fs::create_dir_all(&path).map_err(|source| host_file("make", &path, source))?;
            } else if let Err(source) = fs::symlink_metadata(&path) {
                return Err(if source.kind() == io::ErrorKind::NotFound {
                    missing_source(&path)
                } else {
                    host_file("look at", &path, source)
                });
            }
            Ok(plain(path))
        }
        MountSource::Volume { subpath, .. } => {
            let root = engine.volumes_table().mount(engine, &point.name)?;
            Ok(plain(below(&root, subpath.as_deref())?))
        }
        MountSource::Tmpfs { .. } => Ok(plain(PathBuf::new())),
        MountSource::Image { reference, subpath } => {
            let layers = engine.records().image_layers(reference)?;
            match (layers.as_slice(), subpath) {
                ([only], subpath) => Ok(plain(below(only, subpath.as_deref())?)),
                (_, Some(_)) => Err(Error::Unsupported(
                    "a subpath of an image with several layers can't be mounted".to_owned(),
                )),
                (_, None) => Ok(HostMount { mount, source: PathBuf::new(), layers }),
            }
        }
    }
}

/// Docker's sentence for a bind without a source.
pub fn missing_source(path: &Path) -> Error {
    Error::Invalid(format!(
        "invalid mount config for type \"bind\": bind source path does not exist: {}",
        path.display()
    ))
}

/// A path below a volume or image: resolved with the root in place, so that a link inside leads
/// nowhere else.
fn below(root: &Path, subpath: Option<&str>) -> Result<PathBuf> {
    let Some(subpath) = subpath.filter(|path| !path.is_empty()) else {
        return Ok(root.to_owned());
    };
    let fail = |source| host_file("resolve subpath", &root.join(subpath), source);
    let dir = sys::dir::Dir::open(root).map_err(fail)?;
    // Links are refused altogether: what is checked here is what the launch opens by path later.
    dir.resolve_file(subpath.as_bytes(), sys::dir::Links::Refuse).map_err(fail)?;
    Ok(root.join(subpath))
}

fn host_file(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { action, path: path.display().to_string(), source }
}

/// Major and minor number of a block device.
pub fn block_device(path: &str) -> Result<(i64, i64)> {
    let meta = fs::metadata(path)
        .map_err(|source| host_file("look at device", Path::new(path), source))?;
    if !meta.file_type().is_block_device() {
        return Err(Error::Invalid(format!("{path} is not a block device")));
    }
    Ok(numbers(meta.rdev()))
}

/// glibc's layout of `dev_t` (makedev(3)).
fn numbers(device: u64) -> (i64, i64) {
    let major = ((device >> 32) & 0xffff_f000) | ((device >> 8) & 0xfff);
    let minor = ((device >> 12) & 0xffff_ff00) | (device & 0xff);
    (i64::try_from(major).unwrap_or(0), i64::try_from(minor).unwrap_or(0))
}

/// Nodes and rules for what was asked for; a privileged container gets all of the host's.
pub fn devices(record: &Record) -> Result<(Vec<Device>, Vec<LinuxDeviceCgroup>)> {
    let host = &record.spec.host;
    if !host.device_requests.is_empty() {
        return Err(Error::Unsupported(
            "could not select device driver: no driver serves device requests on this host"
                .to_owned(),
        ));
    }
    let mut nodes = Vec::new();
    let mut allowed = Vec::new();
    if host.privileged {
        collect(Path::new("/dev"), "/dev", &mut nodes)?;
    }
    for mapping in &host.devices {
        let mut found = Vec::new();
        collect(Path::new(&mapping.host_path), &mapping.container_path, &mut found)?;
        if found.is_empty() {
            return Err(Error::Invalid(format!(
                "error gathering device information while adding custom device {:?}: not a device node",
                mapping.host_path
            )));
        }
        for node in &found {
            allowed.push(rules::rule(
                true,
                Some(&node.kind),
                Some(node.major),
                Some(node.minor),
                &mapping.permissions,
            ));
        }
        nodes.extend(found);
    }
    for text in &host.device_cgroup_rules {
        allowed.push(rules::parse_rule(text)?);
    }
    Ok((nodes, allowed))
}

/// Directories below /dev that the container has its own of.
const OWN: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console"];

fn collect(path: &Path, shown: &str, into: &mut Vec<Device>) -> Result<()> {
    let fail = |source| host_file("look at device", path, source);
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        // Links to nothing and nodes that go away while we look are normal in /dev.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_symlink() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Invalid(format!(
                "error gathering device information while adding custom device \"{}\": no such file or directory",
                path.display()
            )));
        }
        Err(error) => return Err(fail(error)),
    };
    if meta.is_dir() {
        for entry in fs::read_dir(path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let below = entry.path();
            if OWN.iter().any(|own| below == Path::new(own)) || below.is_symlink() {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            collect(&below, &format!("{shown}/{name}"), into)?;
        }
        return Ok(());
    }
    let kind = match meta.file_type() {
        kind if kind.is_char_device() => "c",
        kind if kind.is_block_device() => "b",
        _ => return Ok(()),
    };
    let (major, minor) = numbers(meta.rdev());
    into.push(Device {
        kind: kind.to_owned(),
        path: shown.to_owned(),
        major,
        minor,
        file_mode: Some(meta.mode() & 0o7777),
        uid: Some(meta.uid()),
        gid: Some(meta.gid()),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers() {
        let meta = fs::metadata("/dev/null").unwrap();
        assert_eq!(numbers(meta.rdev()), (1, 3));
    }
}

//! The volumes of an engine: records by name, their directories, and mounts of the local
//! driver's options.
//!
//! States of a volume with options: *idle* → *mounted* (while a running container uses it) →
//! *idle*. The kernel keeps the mount; whether it is there is read from the directory itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use model::{event::EventType, name::VolumeName};
use store::Batch;

use super::{CreateRequest, Record};
use crate::{
    Engine, Error, Result,
    error::Cause,
    event::Draft,
    moment,
    records::{Weight, stored},
};

const VOLUME: &str = "volume";
/// The only driver.
pub const LOCAL: &str = "local";

/// All volumes by name.
#[derive(Debug, Default)]
pub struct Table {
    entries: Mutex<BTreeMap<String, Record>>,
}

impl Table {
    /// Reads the stored ones.
    pub fn load(store: &store::Store) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (name, bytes) in store.list(VOLUME).map_err(stored("list", "volumes"))? {
            match serde_json::from_slice::<Record>(&bytes) {
                Ok(record) => {
                    entries.insert(name, record);
                }
                Err(error) => tracing::error!(name, %error, "a volume's record can't be read"),
            }
        }
        Ok(Self { entries: Mutex::new(entries) })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All records.
    pub fn all(&self) -> Vec<Record> {
        self.lock().values().cloned().collect()
    }

    /// One.
    pub fn find(&self, name: &str) -> Result<Record> {
        self.lock().get(name).cloned().ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
    }

    /// Makes one, or gives the one that is there; true when it was made.
    pub fn make(
        &self,
        engine: &Engine,
        request: CreateRequest,
        anonymous: bool,
    ) -> Result<(bool, Record)> {
        let driver = match request.driver.as_str() {
            "" | LOCAL => LOCAL.to_owned(),
            other => {
                return Err(Error::NotFound(format!(
                    "error looking up volume plugin {other}: plugin \"{other}\" not found"
                )));
            }
        };
        check_options(&request.options)?;
        let name: VolumeName = request.name.parse().map_err(|_| {
            Error::Invalid(format!(
                "create {0}: \"{0}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path",
                request.name
            ))
        })?;
        // Held over the making: of two who make the same volume, one makes it.
        let mut entries = self.lock();
        if let Some(record) = entries.get(name.as_str()) {
            let same = request.options.is_empty() || request.options == record.options;
            return match same {
                true => Ok((false, record.clone())),
                false => Err(Error::Conflict(format!(
                    "create {name}: conflict: volume name must be unique: it exists with other options"
                ))),
            };
        }
        let record = Record {
            name: name.clone(),
            driver,
            options: request.options,
            labels: request.labels,
            created_ns: moment::now_ns(),
            anonymous,
        };
        let store = engine.records().store();
        store.volume_create(&name).map_err(stored("make volume", &name))?;
        let bytes = serde_json::to_vec(&record).map_err(|error| Error::Failed {
            action: "write the record of volume",
            subject: name.to_string(),
            source: Cause::new(model::ErrorKind::Internal, error),
        })?;
        let event =
            Draft::new(EventType::Volume, "create", name.as_str(), &[("driver", &record.driver)]);
        let batch = Batch::new().put(VOLUME, name.as_str(), bytes);
        engine.log().commit(batch, vec![event], Weight::Durable)?;
        entries.insert(name.to_string(), record.clone());
        Ok((true, record))
    }

    /// Removes one that no container uses.
    pub fn remove(&self, engine: &Engine, name: &str) -> Result<()> {
        let mut entries = self.lock();
        let record =
            entries.get(name).cloned().ok_or_else(|| Error::NoSuchVolume(name.to_owned()))?;
        let users = users(engine, name);
        if !users.is_empty() {
            return Err(Error::Conflict(format!(
                "remove {name}: volume is in use - [{}]",
                users.join(", ")
            )));
        }
        self.unmount(engine, &record)?;
        let event = Draft::new(EventType::Volume, "destroy", name, &[("driver", &record.driver)]);
        engine.log().commit(Batch::new().delete(VOLUME, name), vec![event], Weight::Durable)?;
        entries.remove(name);
        engine.records().store().volume_remove(&record.name).map_err(stored("remove volume", name))
    }

    /// Where its files are.
    pub fn path(&self, engine: &Engine, name: &str) -> PathBuf {
        engine.records().store().root().join("volumes").join(name).join("_data")
    }

    /// Makes its files appear, and says where.
    pub fn mount(&self, engine: &Engine, name: &str) -> Result<PathBuf> {
        let record = self.find(name)?;
        let path = self.path(engine, name);
        let option = |key: &str| record.options.get(key).map(String::as_str).unwrap_or_default();
        let (kind, device, flags) = (option("type"), option("device"), option("o"));
        if kind.is_empty() && device.is_empty() {
            return Ok(path);
        }
        // A plain bind needs no mount of its own: the container's comes straight from there.
        let is_bind = flags.split(',').any(|flag| flag == "bind" || flag == "rbind");
        if is_bind {
            let device = PathBuf::from(device);
            return match device.exists() {
                true => Ok(device),
                false => Err(Error::Invalid(format!(
                    "failed to mount local volume: mount {}:{}, flags: 0x1000: no such file or directory",
                    device.display(),
                    path.display()
                ))),
            };
        }
        if !is_mount_point(&path) {
            mount(kind, device, flags, &path)?;
        }
        Ok(path)
    }

    fn unmount(&self, engine: &Engine, record: &Record) -> Result<()> {
        let path = self.path(engine, record.name.as_str());
        if record.options.is_empty() || !is_mount_point(&path) {
            return Ok(());
        }
        let c_path = c_string(&path.to_string_lossy())?;
        sys::mount::detach(&c_path).map_err(|errno| Error::File {
            action: "unmount",
            path: path.display().to_string(),
            source: errno.into(),
        })
    }
}

/// Ids of the containers that have a volume.
pub fn users(engine: &Engine, name: &str) -> Vec<String> {
    let all = engine.registry().all();
    let has = |handle: &std::sync::Arc<crate::container::handle::Handle>| {
        let snapshot = handle.snapshot();
        snapshot.record.mounts.iter().any(|point| point.name == name)
            && snapshot.state.status != model::state::Status::Removing
    };
    all.iter().filter(|handle| has(handle)).map(|handle| handle.id.to_string()).collect()
}

fn check_options(options: &indexmap::IndexMap<String, String>) -> Result<()> {
    for key in options.keys() {
        if !["type", "o", "device"].contains(&key.as_str()) {
            return Err(Error::Invalid(match key.as_str() {
                "size" => "quota size requested but no quota support on this filesystem".to_owned(),
                other => format!("invalid option: {other:?}"),
            }));
        }
    }
    let has = |key: &str| options.get(key).is_some_and(|value| !value.is_empty());
    if has("o") && !has("device") {
        return Err(Error::Invalid("missing required option: \"device\"".to_owned()));
    }
    if has("device") && !has("type") && !options.get("o").is_some_and(|o| o.contains("bind")) {
        return Err(Error::Invalid("missing required option: \"type\"".to_owned()));
    }
    Ok(())
}

/// The directory is on another filesystem than its parent.
fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    path.parent().is_some_and(|parent| device(path) != device(parent))
}

fn c_string(text: &str) -> Result<std::ffi::CString> {
    std::ffi::CString::new(text)
        .map_err(|_| Error::Invalid("a mount option contains a NUL byte".to_owned()))
}

/// mount(2) with the options split into flags and data, as mount(8) does.
fn mount(kind: &str, device: &str, options: &str, target: &Path) -> Result<()> {
    let (flags, data) = split(options);
    let device =
        if kind == "nfs" || kind == "nfs4" { device.trim_start_matches(':') } else { device };
    let (kind_c, device_c, data_c) = (c_string(kind)?, c_string(device)?, c_string(&data)?);
    let target_c = c_string(&target.to_string_lossy())?;
    sys::mount::mount(&device_c, &target_c, &kind_c, flags, &data_c).map_err(|errno| {
        Error::Invalid(format!(
            "failed to mount local volume: mount {device}:{}, data: {data}: {errno}",
            target.display()
        ))
    })
}

fn split(options: &str) -> (u64, String) {
    const FLAGS: [(&str, u64); 12] = [
        ("ro", 1),
        ("nosuid", 2),
        ("nodev", 4),
        ("noexec", 8),
        ("sync", 16),
        ("remount", 32),
        ("noatime", 1024),
        ("nodiratime", 2048),
        ("bind", 4096),
        ("rbind", 4096 | 16384),
        ("relatime", 1 << 21),
        ("strictatime", 1 << 24),
    ];
    let mut flags = 0;
    let mut data = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match FLAGS.iter().find(|(name, _)| *name == option) {
            Some((_, bit)) => flags |= bit,
            None if matches!(option, "rw" | "defaults" | "exec" | "suid" | "dev" | "async") => {}
            None => data.push(option),
        }
    }
    (flags, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_options_split() {
        assert_eq!(split("ro,size=1m,rw,noexec"), (9, "size=1m".to_owned()));
        assert_eq!(split(""), (0, String::new()));
    }

    #[test]
    fn wrong_options_are_refused() {
        let options = |list: &[(&str, &str)]| {
            list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        assert!(check_options(&options(&[("color", "red")])).is_err());
        assert!(check_options(&options(&[("o", "ro")])).is_err());
        assert!(check_options(&options(&[("type", "tmpfs"), ("device", "tmpfs")])).is_ok());
    }
}

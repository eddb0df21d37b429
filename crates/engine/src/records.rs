//! What the engine keeps in the store about containers: records, root filesystems, files.
//!
//! Owns the form of the stored documents and where a container's files are. Decides nothing;
//! every call may wait for the disk.

use std::{
    collections::HashMap,
    ffi::CString,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{ContainerId, Digest};
use runtime::plan::{Overlay, RootSource};
use serde::{Deserialize, Serialize};
use store::{Batch, Durability, Store};
use sys::dir::Dir;

use crate::{
    Error, Result,
    container::{Change, ChangeKind, Record, State, layered},
    error::Cause,
    event::{Draft, Log},
    init_layer::InitLayers,
};

const CONTAINER: &str = "container";

/// Whether a write must survive a power failure before anybody is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// It must.
    Durable,
    /// It may be lost with the machine's power: it can be found again, or ends with it.
    Lazy,
}

impl From<Weight> for Durability {
    fn from(weight: Weight) -> Self {
        match weight {
            Weight::Durable => Self::Durable,
            Weight::Lazy => Self::Lazy,
        }
    }
}

/// A container as stored. New fields get defaults; old ones keep their meaning.
#[derive(Serialize, Deserialize)]
struct Document {
    record: Record,
    state: State,
}

#[derive(Serialize)]
struct DocumentRef<'a> {
    record: &'a Record,
    state: &'a State,
}

/// Access to the stored containers.
#[derive(Clone)]
pub struct Records {
    store: Store,
    log: Arc<Log>,
    /// Documents of running containers: a tmpfs keeps them over a kill of the engine, whose lazy
    /// writes may be lost, and forgets them with the boot, as the processes.
    running: PathBuf,
    init: Arc<InitLayers>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("root", &self.store.root()).finish()
    }
}

/// The store's refusal, with its kind.
pub fn stored(action: &'static str, subject: impl ToString) -> impl FnOnce(store::Error) -> Error {
    let subject = subject.to_string();
    move |error| Error::Failed { action, subject, source: Cause::new(error.kind(), error) }
}

impl Records {
    /// On an open store.
    pub fn new(store: Store, log: Arc<Log>, exec_root: PathBuf) -> Self {
        let init = Arc::new(InitLayers::new(store.root()));
        Self { store, log, running: exec_root.join("running"), init }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Every stored container. Of those that the keeper has a task of, the running document is
    /// the newer one.
    pub fn containers<T>(&self, tasks: &HashMap<String, T>) -> Result<Vec<(Record, State)>> {
        let rows = self.store.list(CONTAINER).map_err(stored("list", "containers"))?;
        let mut found: HashMap<String, Document> = HashMap::with_capacity(rows.len());
        for (id, bytes) in rows {
            match serde_json::from_slice::<Document>(&bytes) {
                Ok(document) => {
                    found.insert(id, document);
                }
                // One damaged record must not keep all the others down.
                Err(error) => tracing::error!(id, %error, "a container's record can't be read"),
            }
        }
        for id in tasks.keys() {
            let Ok(bytes) = std::fs::read(self.running.join(id)) else { continue };
            if let Ok(document) = serde_json::from_slice::<Document>(&bytes) {
                found.insert(id.clone(), document);
            }
        }
        Ok(found.into_values().map(|document| (document.record, document.state)).collect())
    }

    /// Writes a container with events about it.
    pub fn save_container(
        &self,
        record: &Record,
        state: &State,
        events: Vec<Draft>,
        weight: Weight,
    ) -> Result<()> {
        let bytes =
            serde_json::to_vec(&DocumentRef { record, state }).map_err(|error| Error::Failed {
                action: "write the record of",
                subject: record.id.to_string(),
                source: Cause::new(model::ErrorKind::Internal, error),
            })?;
        self.keep_running(record, state, &bytes)?;
        let batch = Batch::new().put(CONTAINER, record.id.as_str(), bytes);
        self.log.commit(batch, events, weight)
    }

    fn keep_running(&self, record: &Record, state: &State, bytes: &[u8]) -> Result<()> {
        let path = self.running.join(record.id.as_str());
        let kept = if state.is_running() {
            std::fs::write(self.running.join("new"), bytes)
                .and_then(|()| std::fs::rename(self.running.join("new"), &path))
        } else {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        };
        kept.map_err(|source| Error::File {
            action: "keep",
            path: path.display().to_string(),
            source,
        })
    }

    /// Removes everything of a container: record first, so that a crash leaves garbage and never
    /// a record without files.
    pub fn remove_container(
        &self,
        record: &Record,
        events: Vec<Draft>,
        weight: Weight,
    ) -> Result<()> {
        // A file that isn't there is what is wanted; any other trouble shows at the next start.
        let _ = std::fs::remove_file(self.running.join(record.id.as_str()));
        let batch = Batch::new().delete(CONTAINER, record.id.as_str());
        self.log.commit(batch, events, weight)?;
        self.remove_rootfs(&record.id)
    }

    /// Makes the writable layer of a container.
    pub fn make_rootfs(&self, record: &Record) -> Result<()> {
        let Some(image) = &record.image_id else {
            return Err(Error::Unsupported("a container without an image".to_owned()));
        };
        let made = self
            .store
            .rootfs_create(&record.id, image)
            .map_err(stored("make the root filesystem of", record.id.short()))?;
        self.init.make(image, || layered::mounted(&made.lowers))
    }

    /// Removes what was prepared for images that are gone.
    pub fn sweep_init_layers(&self) -> Result<()> {
        let images = self.store.images().map_err(stored("list", "images"))?;
        let known: std::collections::HashSet<String> =
            images.into_iter().map(|summary| summary.image.id.hex().to_owned()).collect();
        self.init.sweep(|name| known.contains(name)).map_err(|source| Error::File {
            action: "sweep",
            path: "the layers between images and containers".to_owned(),
            source,
        })
    }

    /// Removes it with all that is beside it.
    pub fn remove_rootfs(&self, id: &ContainerId) -> Result<()> {
        self.store.rootfs_remove(id).map_err(stored("remove the files of", id.short()))
    }

    /// The layers of a container.
    pub fn rootfs(&self, record: &Record) -> Result<RootFiles> {
        let found = self
            .store
            .rootfs(&record.id)
            .map_err(stored("find the root filesystem of", record.id.short()))?;
        let init = record.image_id.as_ref().and_then(|image| self.init.find(image));
        let lowers = init.into_iter().chain(found.lowers).collect();
        Ok(RootFiles { lowers, upper: found.upper, work: found.work })
    }

    /// The directory for a container's files.
    pub fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.store.root().join("containers").join(id.as_str())
    }

    /// Bytes of what a container wrote.
    pub fn writable_size(&self, id: &ContainerId) -> Result<u64> {
        let size = self.store.rootfs_size(id).map_err(stored("measure", id.short()))?;
        Ok(size.content_bytes)
    }

    /// Bytes of the image below a container.
    pub fn image_size_of(&self, id: &ContainerId) -> Result<u64> {
        let rootfs = self.store.rootfs(id).map_err(stored("measure", id.short()))?;
        let mut total = 0;
        for lower in &rootfs.lowers {
            // `layers/<hex>/fs`
            let hex = lower.parent().and_then(Path::file_name).map(|n| n.to_string_lossy());
            let digest = hex.and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            if let Some(digest) = digest
                && let Some(layer) =
                    self.store.layer(&digest).map_err(stored("look up layer", &digest))?
            {
                total += layer.size;
            }
        }
        Ok(total)
    }

    /// What a container changed.
    pub fn changes(&self, id: &ContainerId) -> Result<Vec<Change>> {
        let changes = self.store.rootfs_diff(id).map_err(stored("compare", id.short()))?;
        let convert = |change: store::Change| Change {
            path: String::from_utf8_lossy(&change.path).into_owned(),
            kind: match change.kind {
                store::ChangeKind::Modified => ChangeKind::Modified,
                store::ChangeKind::Added => ChangeKind::Added,
                store::ChangeKind::Deleted => ChangeKind::Deleted,
            },
        };
        Ok(changes.into_iter().map(convert).collect())
    }

    /// Copies what the image has at the targets of empty volumes.
    pub fn fill_volumes(&self, record: &Record) -> Result<()> {
        let mut root: Option<Dir> = None;
        for point in &record.mounts {
            let model::mount::MountSource::Volume { copy_up: true, subpath: None, .. } =
                &point.mount.source
            else {
                continue;
            };
            if point.driver != "local" {
                continue;
            }
            let Ok(name) = point.name.parse::<model::name::VolumeName>() else { continue };
            if root.is_none() {
                let files = self.rootfs(record)?;
                root = Some(files.view().map_err(|source| Error::File {
                    action: "look into",
                    path: "the image".to_owned(),
                    source,
                })?);
            }
            let Some(root) = &root else { continue };
            let fd = root.try_clone().map_err(|source| Error::File {
                action: "look into",
                path: "the image".to_owned(),
                source,
            })?;
            self.store
                .volume_fill(&name, fd.into(), point.mount.target.as_bytes())
                .map_err(stored("fill volume", &point.name))?;
        }
        Ok(())
    }
}

impl Records {
    /// The layer directories of an image, topmost first.
    pub fn image_layers(&self, reference: &str) -> Result<Vec<PathBuf>> {
        let image = self.store.image_find(reference).map_err(|error| match error {
            store::Error::NoImage(name) => Error::NoSuchImage(name),
            other => stored("look up image", reference)(other),
        })?;
        Ok(image.layers.iter().rev().map(|layer| self.store.layer_path(layer)).collect())
    }

    /// How a list shows the image of a container: by its name while that still means this image.
    pub fn shown_image(&self, record: &Record) -> String {
        let Some(id) = &record.image_id else { return record.spec.image.clone() };
        match self.store.image_find(&record.spec.image) {
            Ok(image) if image.id == *id => record.spec.image.clone(),
            _ => id.to_string(),
        }
    }

    /// Ids of the images that are, or are built on, what `text` names.
    pub fn descendants(&self, text: &str) -> Vec<Digest> {
        let Ok(ancestor) = self.store.image_find(text) else { return Vec::new() };
        let Ok(all) = self.store.images() else { return vec![ancestor.id] };
        let built_on = |image: &store::Image| {
            image.id == ancestor.id
                || (!ancestor.layers.is_empty() && image.layers.starts_with(&ancestor.layers))
        };
        all.into_iter()
            .map(|summary| summary.image)
            .filter(built_on)
            .map(|image| image.id)
            .collect()
    }
}

/// The directories of a root filesystem.
#[derive(Clone, Debug)]
pub struct RootFiles {
    /// Topmost first.
    pub lowers: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// overlayfs's own.
    pub work: PathBuf,
}

impl RootFiles {
    /// Content of a small file as a process in the root would see it.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let mut layers = Vec::with_capacity(self.lowers.len() + 1);
        layers.push(self.upper.clone());
        layers.extend(self.lowers.iter().cloned());
        layered::read(&layers, path).map_err(|source| Error::File {
            action: "read",
            path: format!("/{path} of the container"),
            source,
        })
    }

    /// All of it, read-only, mounted nowhere.
    pub fn view(&self) -> std::io::Result<Dir> {
        let mut layers = Vec::with_capacity(self.lowers.len() + 1);
        layers.push(self.upper.clone());
        layers.extend(self.lowers.iter().cloned());
        layered::mounted(&layers)
    }

    /// All of it, writable, mounted nowhere. Only while no process has it mounted.
    pub fn writable(&self) -> std::io::Result<Dir> {
        self.clear_volatile()?;
        sys::tree::writable(&self.lowers, &self.upper, &self.work).and_then(Dir::from_fd)
    }

    /// For the launch: the child mounts it in its own mount namespace.
    pub fn overlay(&self, volatile: bool) -> Result<RootSource> {
        self.clear_volatile().map_err(|source| Error::File {
            action: "prepare",
            path: self.work.display().to_string(),
            source,
        })?;
        Ok(RootSource::Overlay(Overlay {
            lowers: self.lowers.iter().map(|path| c_path(path)).collect::<Result<_>>()?,
            upper: Some(c_path(&self.upper)?),
            work: Some(c_path(&self.work)?),
            volatile,
            options: Vec::new(),
        }))
    }

    /// A volatile overlay leaves a mark that forbids mounting it again, because a host crash may
    /// have torn it (kernel documentation, filesystems/overlayfs.rst, "Volatile mount"). Whether
    /// the host crashed is known better here: such containers don't outlive a boot.
    fn clear_volatile(&self) -> std::io::Result<()> {
        match std::fs::remove_dir_all(self.work.join("work/incompat")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::Invalid(format!("path {} contains a NUL byte", path.display())))
}

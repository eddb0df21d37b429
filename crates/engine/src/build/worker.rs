//! [`build::Worker`] on this engine's store and containers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use build::{
    error::WorkerError,
    graph::{CopyStep, MakeDir, RunStep},
    progress::Log,
    request::RunLimits,
    worker::{BaseImage, Fingerprint, Known, MountTree, Ran, Ready, Tree, Worker},
};
use dockerfile::ignore::Patterns;
use model::{
    Digest, ErrorKind, Reference,
    image::{ImageConfig, Platform},
};
use store::{Commit, Lease, Resource, Store, Take};
use sys::dir::{Dir, Links};

use super::{
    Area, Caches, Client, Context, cache,
    copy::Writer,
    fault, owner,
    remote::{self, Fetched},
    select::{self, Hasher},
    tree::Opened,
};
use crate::{
    Engine,
    image::{PullRequest, RegistryAuth},
};

/// What one build works with. Its lease keeps every layer that the build has touched.
pub struct Machine {
    pub(super) engine: Arc<Engine>,
    pub(super) area: Area,
    pub(super) client: Arc<dyn Client>,
    pub(super) caches: Arc<Caches>,
    pub(super) lease: Arc<Lease>,
    contexts: HashMap<String, Arc<Context>>,
    auth: BTreeMap<String, RegistryAuth>,
    /// Downloads and clones of this build by what was asked for.
    fetched: tokio::sync::Mutex<HashMap<String, Arc<Fetched>>>,
}

impl Machine {
    pub(super) fn new(
        engine: &Arc<Engine>,
        contexts: HashMap<String, Arc<Context>>,
        client: Arc<dyn Client>,
        auth: BTreeMap<String, RegistryAuth>,
    ) -> Self {
        let config = engine.config();
        Self {
            area: Area::new(&config.data_root, &config.exec_root),
            client,
            caches: engine.build_caches().clone(),
            lease: Arc::new(engine.records().store().lease()),
            engine: engine.clone(),
            contexts,
            auth,
            fetched: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> Store {
        self.engine.records().store().clone()
    }

    /// Makes the image of a finished build.
    pub(super) async fn make_image(
        &self,
        config: &ImageConfig,
        references: Vec<Reference>,
    ) -> Result<Digest, WorkerError> {
        let (store, lease, config) = (self.store(), self.lease.clone(), config.clone());
        let image = fault::blocking(move || {
            store.image_make(&lease, &config, references).map_err(fault::store)
        })
        .await?;
        Ok(image.id)
    }

    /// A tree, open; `None` for one without files.
    pub(super) fn open(&self, tree: &Tree) -> Result<Option<Opened>, WorkerError> {
        match tree {
            Tree::Layers(_) => Opened::layers(&self.store(), tree),
            Tree::Context(name) => match self.contexts.get(name) {
                Some(context) => Opened::context(context.clone()).map(Some),
                None if name.is_empty() => Ok(None),
                None => Err(fault::invalid(format!("there is no build context {name:?}"))),
            },
        }
    }

    async fn fetch(&self, source: &Ready) -> Result<Option<Arc<Fetched>>, WorkerError> {
        let key = match source {
            Ready::Url { .. } | Ready::Git { .. } => format!("{source:?}"),
            Ready::Files { .. } | Ready::Inline { .. } => return Ok(None),
        };
        // One at a time: the fingerprint and the copy ask for the same thing.
        let mut known = self.fetched.lock().await;
        if let Some(fetched) = known.get(&key) {
            return Ok(Some(fetched.clone()));
        }
        let fetched = Arc::new(remote::fetch(&self.area, source).await?);
        known.insert(key, fetched.clone());
        Ok(Some(fetched))
    }
}

/// A source with whatever it needed fetched.
enum Source {
    Files { tree: Option<Opened>, pattern: String, unpack: bool },
    Inline { name: String, content: String },
    Fetched(Arc<Fetched>),
}

impl Machine {
    async fn source(&self, source: &Ready) -> Result<Source, WorkerError> {
        if let Some(fetched) = self.fetch(source).await? {
            return Ok(Source::Fetched(fetched));
        }
        Ok(match source.clone() {
            Ready::Files { tree, pattern, unpack } => {
                Source::Files { tree: self.open(&tree)?, pattern, unpack }
            }
            Ready::Inline { name, content } => Source::Inline { name, content },
            Ready::Url { url, .. } | Ready::Git { url, .. } => {
                return Err(fault::invalid(format!("{url} wasn't fetched")));
            }
        })
    }
}

fn not_there(pattern: &str) -> WorkerError {
    WorkerError::new(ErrorKind::NotFound, format!("{pattern:?}: not found"))
}

impl Worker for Machine {
    async fn image(
        &self,
        name: &str,
        platform: &Platform,
        pull: bool,
    ) -> Result<BaseImage, WorkerError> {
        let found = |image: store::Image| BaseImage { id: image.id, config: image.config };
        let fits = |image: &store::Image| {
            let config = &image.config;
            config.architecture.is_empty() || config.architecture == platform.architecture
        };
        let (store, text) = (self.store(), name.to_owned());
        let local = fault::blocking(move || match store.image_find(&text) {
            Ok(image) => Ok(Some(image)),
            Err(store::Error::NoImage(_)) => Ok(None),
            Err(error) => Err(fault::store(error)),
        })
        .await?;
        if let Some(image) = local.as_ref().filter(|image| fits(image) && !pull) {
            self.lease.keep(Resource::Image(image.id.clone()));
            return Ok(found(image.clone()));
        }
        let reference: Reference = name
            .parse()
            .map_err(|error| fault::invalid(format!("invalid reference format: {error}")))?;
        let auth = self.auth.get(reference.domain()).cloned();
        let request = PullRequest {
            reference: reference.clone().or_latest(),
            all_tags: false,
            platform: Some(platform.clone()),
            auth,
        };
        let (sender, mut progress) = tokio::sync::mpsc::channel(64);
        let drain = tokio::spawn(async move { while progress.recv().await.is_some() {} });
        let pulled = self.engine.images().pull(request, sender).await;
        drain.abort();
        let id = match (pulled, local) {
            (Ok(id), _) => id,
            // A local image serves when the registry doesn't answer and newer ones were only hoped for.
            (Err(error), Some(image)) if fits(&image) && error.kind() == ErrorKind::Unavailable => {
                image.id
            }
            (Err(error), _) => return Err(fault::engine(error)),
        };
        let store = self.store();
        self.lease.keep(Resource::Image(id.clone()));
        fault::blocking(move || store.image(&id).map(found).map_err(fault::store)).await
    }

    async fn known(&self, key: &Digest) -> Result<Option<Known>, WorkerError> {
        let (store, lease, key) = (self.store(), self.lease.clone(), key.clone());
        fault::blocking(move || cache::known(&store, &lease, &key)).await
    }

    async fn remember(&self, key: &Digest, step: &str, known: &Known) -> Result<(), WorkerError> {
        let (store, key, step, known) = (self.store(), key.clone(), step.to_owned(), known.clone());
        fault::blocking(move || cache::remember(&store, &key, &step, &known)).await
    }

    async fn fingerprint(
        &self,
        step: &CopyStep,
        source: &Ready,
    ) -> Result<Fingerprint, WorkerError> {
        let source = self.source(source).await?;
        let exclude = step.exclude.clone();
        fault::blocking(move || {
            let exclude = Patterns::new(exclude.iter().map(String::as_str))
                .map_err(|error| fault::invalid(error.to_string()))?;
            match source {
                Source::Files { tree, pattern, unpack } => {
                    let tree = tree.ok_or_else(|| not_there(&pattern))?;
                    fingerprint(&tree, &pattern, unpack, &exclude)
                }
                Source::Inline { name, content } => {
                    let mut hasher = Hasher::new(false);
                    hasher.update(name.as_bytes());
                    hasher.update(content.as_bytes());
                    Ok(hasher.finish())
                }
                Source::Fetched(fetched) => {
                    let tree = Opened::directory(fetched.path())?;
                    let mut print =
                        fingerprint(&tree, &fetched.pattern(), fetched.unpack, &exclude)?;
                    print.files.clear();
                    Ok(print)
                }
            }
        })
        .await
    }

    async fn fingerprint_tree(&self, tree: &Tree, path: &str) -> Result<Digest, WorkerError> {
        let (opened, path) = (self.open(tree)?, path.to_owned());
        fault::blocking(move || {
            let tree = opened.ok_or_else(|| not_there(&path))?;
            Ok(fingerprint(&tree, &path, false, &Patterns::default())?.digest)
        })
        .await
    }

    async fn copy(
        &self,
        base: &[Digest],
        step: &CopyStep,
        sources: &[Ready],
        epoch: i64,
    ) -> Result<Option<Digest>, WorkerError> {
        let mut ready = Vec::with_capacity(sources.len());
        for source in sources {
            ready.push(self.source(source).await?);
        }
        let (store, lease, base, step) =
            (self.store(), self.lease.clone(), base.to_vec(), step.clone());
        fault::blocking(move || {
            let below = Opened::layers(&store, &Tree::Layers(base.clone()))?;
            let owner = match &step.owner {
                Some(text) => Some(owner::look_up(text, below.as_ref().map(|tree| &tree.root))?),
                None => None,
            };
            drop(below);
            let under = if step.link { Vec::new() } else { base };
            on_root(&store, &lease, &under, epoch, |root| {
                let mut writer = Writer::new(root, &step, owner, epoch)?;
                for source in &ready {
                    write(&mut writer, source)?;
                }
                Ok(())
            })
        })
        .await
    }

    async fn make_dir(
        &self,
        base: &[Digest],
        step: &MakeDir,
        epoch: i64,
    ) -> Result<Option<Digest>, WorkerError> {
        let (store, lease, base, step) =
            (self.store(), self.lease.clone(), base.to_vec(), step.clone());
        fault::blocking(move || {
            let below = Opened::layers(&store, &Tree::Layers(base.clone()))?;
            let path = step.path.trim_matches('/').to_owned();
            if let Some(tree) = &below {
                match tree.root.resolve(path.as_bytes(), Links::InRoot) {
                    Ok(_) => return Ok(None),
                    Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                        return Err(fault::invalid(format!("{} is not a directory", step.path)));
                    }
                    Err(_) => {}
                }
            }
            let owner = owner::look_up(&step.owner, below.as_ref().map(|tree| &tree.root))?;
            drop(below);
            on_root(&store, &lease, &base, epoch, |root| {
                let copy = empty_copy(format!("{}/", step.path));
                Writer::new(root, &copy, Some(owner), epoch)?.make_folder()
            })
        })
        .await
    }

    async fn run(
        &self,
        base: &[Digest],
        step: &RunStep,
        mounts: &[MountTree],
        limits: &RunLimits,
        log: Log,
        epoch: i64,
    ) -> Result<Ran, WorkerError> {
        self.run_step(base, step, mounts, limits, log, epoch).await
    }
}

pub(super) fn empty_copy(destination: String) -> CopyStep {
    CopyStep {
        sources: Vec::new(),
        destination,
        owner: None,
        mode: None,
        link: false,
        parents: false,
        exclude: Vec::new(),
    }
}

fn write(writer: &mut Writer<'_>, source: &Source) -> Result<(), WorkerError> {
    match source {
        Source::Files { tree, pattern, unpack } => {
            let tree = tree.as_ref().ok_or_else(|| not_there(pattern))?;
            let named = select::named(tree, pattern)?;
            writer.tree(tree, pattern, &named, *unpack)
        }
        Source::Inline { name, content } => writer.inline(name, content.as_bytes(), 0o644),
        Source::Fetched(fetched) => {
            let tree = Opened::directory(fetched.path())?;
            let pattern = fetched.pattern();
            let named = select::named(&tree, &pattern)?;
            writer.tree(&tree, &pattern, &named, fetched.unpack)
        }
    }
}

fn fingerprint(
    tree: &Opened,
    pattern: &str,
    unpack: bool,
    exclude: &Patterns,
) -> Result<Fingerprint, WorkerError> {
    let mut hasher = Hasher::new(tree.owners);
    hasher.update(if unpack { b"unpack" } else { b"copy" });
    for named in select::named(tree, pattern)? {
        hasher.update(named.name().as_bytes());
        hasher.add(tree, &named, exclude)?;
    }
    Ok(hasher.finish())
}

/// Lets `work` write onto layers, and makes a layer of what it wrote.
fn on_root(
    store: &Store,
    lease: &Lease,
    base: &[Digest],
    epoch: i64,
    work: impl FnOnce(&Dir) -> Result<(), WorkerError>,
) -> Result<Option<Digest>, WorkerError> {
    let snapshot = store.snapshot(lease, base).map_err(fault::store)?;
    let rootfs = snapshot.rootfs();
    let root = sys::tree::writable(&rootfs.lowers, &rootfs.upper, &rootfs.work)
        .and_then(Dir::from_fd)
        .map_err(fault::file("mount", "the root that is built"))?;
    work(&root)?;
    // The mount goes with its last fd; only then may the directory become a layer.
    drop(root);
    commit(store, lease, &rootfs.upper, epoch)
}

/// Makes a layer of an upper directory; `None` when nothing is in it.
pub(super) fn commit(
    store: &Store,
    lease: &Lease,
    upper: &std::path::Path,
    epoch: i64,
) -> Result<Option<Digest>, WorkerError> {
    let dir = Dir::open(upper).map_err(fault::file("open", "what was built"))?;
    if dir.names().map_err(fault::file("list", "what was built"))?.is_empty() {
        return Ok(None);
    }
    drop(dir);
    let commit = Commit { upper: upper.to_owned(), take: Take::Move, epoch: Some(epoch) };
    let layer = store.layer_commit(lease, &commit).map_err(fault::store)?;
    lease.keep(Resource::Layer(layer.diff_id.clone()));
    Ok(Some(layer.diff_id))
}

//! `RUN`: an ordinary container on the layers so far, whose changes become a layer.
//!
//! ```text
//! image of the layers (no name) → container → attach → start → wait → stubs away → layer
//! ```
//! Whatever happens on the way, also when the future is dropped, the container and everything
//! made for it go.

use std::{
    io::Write,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use build::{
    error::WorkerError,
    graph::{Mount as StepMount, MountKind, Network, RunStep},
    progress::{Log, Stream},
    request::RunLimits,
    worker::{MountTree, Ran},
};
use model::{
    Digest,
    container::{ContainerSpec, HealthCheck, LogConfig},
    image::{ImageConfig, Platform, RootFs},
    mount::{Mount, MountOrigin, MountSource, Propagation, ReadonlyRecursion, Relabel},
    network::NetworkMode,
    resources::Ulimit,
};
use store::RemoveOptions;
use sys::dir::{Dir, Links};
use tokio::io::AsyncReadExt;

use super::{
    area::Work,
    caches::{Like, Used},
    copy::Writer,
    fault,
    select::{Named, What},
    stubs,
    tree::Opened,
    worker::{Machine, commit},
};
use crate::{
    Engine,
    container::{AttachIo, AttachRequest, CreateRequest, RemoveRequest, WaitCondition},
    moment,
};

/// Bytes of one frame of output that are handed on at once.
const CHUNK: usize = 32 * 1024;
/// Frames of the attach protocol: stream, three zeros, length.
const HEAD: usize = 8;

/// Everything that a step's mounts need until it has ended.
#[derive(Default)]
struct Held {
    mounts: Vec<Mount>,
    tmpfs: indexmap::IndexMap<String, String>,
    env: Vec<String>,
    _works: Vec<Work>,
    _caches: Vec<Used>,
}

/// Removes the container when it is dropped.
struct Guard {
    engine: Arc<Engine>,
    container: Option<String>,
    image: Option<Digest>,
}

impl Guard {
    async fn remove(mut self) {
        clear(self.engine.clone(), self.container.take(), self.image.take()).await;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let (container, image) = (self.container.take(), self.image.take());
        if container.is_some() || image.is_some() {
            let work = clear(self.engine.clone(), container, image);
            self.engine.tasks().spawn(work);
        }
    }
}

async fn clear(engine: Arc<Engine>, container: Option<String>, image: Option<Digest>) {
    if let Some(id) = container {
        let request = RemoveRequest { force: true, volumes: true, link: false };
        if let Err(error) = engine.containers().remove(&id, request).await {
            tracing::warn!(container = id, error = error.text(), "a build's container stays");
        }
    }
    if let Some(id) = image {
        let store = engine.records().store().clone();
        let options = RemoveOptions { force: true };
        let removed = tokio::task::spawn_blocking(move || {
            store.image_remove(&id.to_string(), options, |_| Vec::new())
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(%error, "a build's intermediate image stays");
        }
    }
}

impl Machine {
    pub(super) async fn run_step(
        &self,
        base: &[Digest],
        step: &RunStep,
        mounts: &[MountTree],
        limits: &RunLimits,
        log: Log,
        epoch: i64,
    ) -> Result<Ran, WorkerError> {
        let mut held = Held::default();
        for (mount, tree) in step.mounts.iter().zip(mounts) {
            self.mount(&mut held, mount, tree).await?;
        }
        let mut guard = Guard { engine: self.engine.clone(), container: None, image: None };
        let image = self.intermediate(base).await?;
        guard.image = Some(image.clone());
        let spec = spec(&image, step, limits, &mut held)?;
        let containers = self.engine.containers();
        let made =
            containers.create(CreateRequest { name: None, spec }).await.map_err(fault::engine)?;
        let id = made.id.to_string();
        guard.container = Some(id.clone());
        let attach =
            AttachRequest { stdout: true, stderr: true, stream: true, ..AttachRequest::default() };
        let ticket = containers.attach(&id, attach).await.map_err(fault::engine)?;
        let (ours, theirs) = tokio::net::UnixStream::pair()
            .map_err(fault::file("make", "a socket for the output"))?;
        let fd = OwnedFd::from(
            theirs.into_std().map_err(fault::file("make", "a socket for the output"))?,
        );
        let io = AttachIo { fd, input: Vec::new(), raw: false };
        ticket.connect(io).await.map_err(fault::engine)?;
        let waiting = containers.wait(&id, WaitCondition::NextExit).await.map_err(fault::engine)?;
        containers.start(&id).await.map_err(fault::engine)?;
        output(ours, &log).await;
        let outcome = waiting.outcome().await;
        if outcome.exit_code != 0 {
            guard.remove().await;
            return Ok(Ran::Failed(outcome.exit_code));
        }
        let targets: Vec<String> = step.mounts.iter().map(|mount| mount.target.clone()).collect();
        let (store, lease, container) = (self.store(), self.lease.clone(), made.id.clone());
        let layer = fault::blocking(move || {
            let rootfs = store.rootfs(&container).map_err(fault::store)?;
            let upper = Dir::open(&rootfs.upper).map_err(fault::file("open", "what was built"))?;
            stubs::remove(&upper, &rootfs.lowers, &targets)?;
            drop(upper);
            commit(&store, &lease, &rootfs.upper, epoch)
        })
        .await?;
        guard.remove().await;
        Ok(Ran::Done(layer))
    }

    /// An image without a name that only has layers. Nobody else has the same: it is removed when
    /// the step has ended.
    async fn intermediate(&self, base: &[Digest]) -> Result<Digest, WorkerError> {
        let platform = Platform::host();
        let config = ImageConfig {
            author: Some(format!("build step {:x}", moment::random_bits())),
            architecture: platform.architecture,
            os: platform.os,
            rootfs: RootFs { diff_ids: base.to_vec(), ..RootFs::default() },
            ..ImageConfig::default()
        };
        let store = self.store();
        fault::blocking(move || {
            // Not the build's lease: that would keep the image beyond its removal.
            let lease = store.lease();
            store
                .image_make(&lease, &config, Vec::new())
                .map(|image| image.id)
                .map_err(fault::store)
        })
        .await
    }

    async fn mount(
        &self,
        held: &mut Held,
        mount: &StepMount,
        tree: &MountTree,
    ) -> Result<(), WorkerError> {
        match &mount.kind {
            MountKind::Bind { source, .. } => {
                let tree =
                    tree.as_ref().and_then(|tree| self.open(tree).transpose()).transpose()?;
                let tree = tree.ok_or_else(|| fault::invalid(format!("{source:?}: not found")))?;
                if mount.readonly
                    && let Some(path) = context_path(&tree, source)?
                {
                    held.mounts.push(bind(&path, mount));
                    return Ok(());
                }
                let work = self.area.work().map_err(fault::engine)?;
                let path = copied(tree, source.clone(), work.path().to_owned()).await?;
                held.mounts.push(bind(&path, mount));
                held._works.push(work);
            }
            MountKind::Cache { id, source, sharing, mode, uid, gid, .. } => {
                let like = Like { mode: *mode, uid: *uid, gid: *gid };
                let used = self.caches.take(&self.area, id, *sharing, like).await?;
                let tree =
                    tree.as_ref().and_then(|tree| self.open(tree).transpose()).transpose()?;
                if used.fresh
                    && let Some(tree) = tree
                {
                    copied_into(tree, source.clone(), used.path.clone()).await?;
                }
                held.mounts.push(bind(&used.path, mount));
                held._caches.push(used);
            }
            MountKind::Tmpfs { size } => {
                let options = size.map_or(String::new(), |size| format!("size={size}"));
                held.tmpfs.insert(mount.target.clone(), options);
            }
            MountKind::Secret { id, env, required, mode, uid, gid } => {
                let Some(value) = self.client.secret(id).await.map_err(fault::engine)? else {
                    if *required {
                        return Err(fault::invalid(format!("secret {id}: not found")));
                    }
                    return Ok(());
                };
                if let Some(name) = env {
                    let text = String::from_utf8_lossy(&value).into_owned();
                    held.env.push(format!("{name}={text}"));
                }
                if !mount.target.is_empty() {
                    let work = self.area.memory().map_err(fault::engine)?;
                    let path = file_in(work.path(), &value, *mode, (*uid, *gid))?;
                    held.mounts.push(bind(&path, mount));
                    held._works.push(work);
                }
            }
            MountKind::Ssh { id, required, .. } => {
                if *required {
                    return Err(fault::invalid(format!(
                        "ssh agent {id}: the client forwards none"
                    )));
                }
            }
            MountKind::Inline { content } => {
                let work = self.area.work().map_err(fault::engine)?;
                let path = file_in(work.path(), content.as_bytes(), 0o755, (0, 0))?;
                held.mounts.push(bind(&path, mount));
                held._works.push(work);
            }
        }
        Ok(())
    }
}

/// Where `source` of a context is on the host: resolved by file descriptor, so that no link leads
/// out, and then named by what was opened.
fn context_path(tree: &Opened, source: &str) -> Result<Option<PathBuf>, WorkerError> {
    let Some(root) = &tree.path else { return Ok(None) };
    if !tree.ignore.is_empty() {
        // What is ignored must not be seen: a copy leaves it out.
        return Ok(None);
    }
    let path = source.trim_matches('/');
    let fd: OwnedFd = match tree.root.resolve(path.as_bytes(), Links::InRoot) {
        Ok(_) if path.is_empty() => return Ok(Some(root.clone())),
        Ok(dir) => {
            use std::os::fd::AsFd;
            dir.as_fd().try_clone_to_owned().map_err(fault::file("open", source))?
        }
        Err(_) => tree
            .root
            .resolve_file(path.as_bytes(), Links::InRoot)
            .map_err(|_| fault::invalid(format!("{source:?}: not found")))?
            .into(),
    };
    let named = path_of(&fd).map_err(fault::file("name", source))?;
    Ok(named.starts_with(root).then_some(named))
}

/// The path of what is open.
pub fn path_of(fd: &impl std::os::fd::AsFd) -> std::io::Result<PathBuf> {
    use std::os::fd::AsRawFd;
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// A copy of `source` for one step; what the step writes is thrown away with it.
async fn copied(tree: Opened, source: String, work: PathBuf) -> Result<PathBuf, WorkerError> {
    fault::blocking(move || {
        let named = super::select::named(&tree, &source)?;
        let [only] = named.as_slice() else {
            return Err(fault::invalid(format!("{source:?}: not one thing")));
        };
        let is_file = matches!(only.what, What::Entry(..));
        copy_tree(&tree, &source, &named, &work)?;
        Ok(if is_file { work.join(only.name()) } else { work })
    })
    .await
}

async fn copied_into(tree: Opened, source: String, target: PathBuf) -> Result<(), WorkerError> {
    fault::blocking(move || {
        let named = super::select::named(&tree, &source)?;
        copy_tree(&tree, &source, &named, &target)
    })
    .await
}

fn copy_tree(
    tree: &Opened,
    source: &str,
    named: &[Named],
    target: &Path,
) -> Result<(), WorkerError> {
    let root = Dir::open(target).map_err(fault::file("open", target.display()))?;
    let step = super::worker::empty_copy("/".to_owned());
    Writer::new(&root, &step, None, 0)?.tree(tree, source, named, false)?;
    if let [Named { what: What::Folder(dir), .. }] = named {
        let stat = super::select::mode_of(dir)?;
        sys::file::set_mode(&root, stat.mode).map_err(fault::file("protect", source))?;
    }
    Ok(())
}

fn file_in(
    dir: &Path,
    content: &[u8],
    mode: u32,
    (uid, gid): (u32, u32),
) -> Result<PathBuf, WorkerError> {
    let shown = "a file for a step";
    let open = Dir::open(dir).map_err(fault::file("open", shown))?;
    let mut file = open.create_file(b"file", 0o600).map_err(fault::file("create", shown))?;
    file.write_all(content).map_err(fault::file("write", shown))?;
    sys::file::set_owner(&file, uid, gid).map_err(fault::file("own", shown))?;
    sys::file::set_mode(&file, mode).map_err(fault::file("protect", shown))?;
    Ok(dir.join("file"))
}

fn bind(path: &Path, mount: &StepMount) -> Mount {
    Mount {
        target: mount.target.clone(),
        readonly: mount.readonly,
        source: MountSource::Bind {
            path: path.display().to_string(),
            create: false,
            propagation: Propagation::Rprivate,
            recursive: false,
            readonly_recursion: ReadonlyRecursion::default(),
            relabel: Relabel::default(),
        },
        origin: MountOrigin::Mount,
    }
}

fn spec(
    image: &Digest,
    step: &RunStep,
    limits: &RunLimits,
    held: &mut Held,
) -> Result<ContainerSpec, WorkerError> {
    let mut spec = ContainerSpec { image: image.to_string(), ..ContainerSpec::default() };
    let process = &mut spec.process;
    process.entrypoint = Some(Vec::new());
    process.cmd = Some(step.command.clone());
    process.env = step.env.iter().chain(&step.proxy_env).cloned().collect();
    process.env.append(&mut held.env);
    process.working_dir = Some(step.working_dir.clone());
    process.user = Some(step.user.clone());
    spec.healthcheck =
        Some(HealthCheck { test: vec!["NONE".to_owned()], ..HealthCheck::default() });
    let host = &mut spec.host;
    host.network_mode = match step.network {
        Network::None => NetworkMode::None,
        Network::Host => NetworkMode::Host,
        Network::Default => limits.network.parse().map_err(|error| {
            fault::invalid(format!("network mode {:?}: {error}", limits.network))
        })?,
    };
    host.log = LogConfig { driver: "none".to_owned(), ..LogConfig::default() };
    host.mounts = std::mem::take(&mut held.mounts);
    host.tmpfs = std::mem::take(&mut held.tmpfs);
    host.privileged = step.insecure;
    host.extra_hosts = limits.extra_hosts.clone();
    host.shm_size = limits.shm_size;
    host.cgroup_parent = limits.cgroup_parent.clone();
    host.security_opt = limits.security_opt.clone();
    host.ulimits = limits
        .ulimits
        .iter()
        .map(|(name, soft, hard)| Ulimit { name: name.clone(), soft: *soft, hard: *hard })
        .collect();
    let resources = &mut host.resources;
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    resources.memory = limits.memory.and_then(|bytes| u64::try_from(bytes).ok());
    resources.memory_swap = limits.memory_swap;
    resources.cpu_shares = limits.cpu_shares;
    resources.cpu_period = limits.cpu_period;
    resources.cpu_quota = limits.cpu_quota;
    resources.cpuset_cpus = some(&limits.cpuset_cpus);
    resources.cpuset_mems = some(&limits.cpuset_mems);
    Ok(spec)
}

/// Hands the output on until the container has closed it.
async fn output(mut stream: tokio::net::UnixStream, log: &Log) {
    let mut head = [0; HEAD];
    let mut chunk = vec![0; CHUNK];
    while stream.read_exact(&mut head).await.is_ok() {
        let which = if head[0] == 2 { Stream::Stderr } else { Stream::Stdout };
        let mut left = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
        while left > 0 {
            let want = left.min(CHUNK);
            match stream.read(&mut chunk[..want]).await {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    log.write(which, &chunk[..count]).await;
                    left -= count;
                }
            }
        }
    }
}

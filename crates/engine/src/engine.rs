//! The engine itself: opening it on its roots, closing it, and the doors to its nouns.
//!
//! Opening: store → keeper (what runs?) → networks (given what runs) → containers, those that run
//! taken up, the others only listed → policies. Nothing here is done by a verb.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keeper::protocol::{Event, ExitRecord, Phase, TaskId, TaskReport};
use model::{ContainerId, event::EventType, state::Status};
use runtime::cgroup::{GroupPath, Hierarchies};
use store::{Batch, Store};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Config, Error, Result, blocking,
    build::{Builds, Caches},
    container::{
        Containers, Record, State, StopRequest,
        handle::{Handle, Message},
        registry::Registry,
    },
    error::Cause,
    event::{Events, Log},
    exec::{self, Execs},
    host::Host,
    image::Images,
    keeping::{Keeping, Notice},
    network::{self, Networks, sandbox},
    records::{Records, Weight, stored},
    system::System,
    volume::{self, Volumes},
};

/// Between the end of a process and the moment when the keeper may drop its exit record: the
/// store's lazy writes are on disk by then.
const FORGET_EVERY: Duration = Duration::from_millis(1500);

/// A running engine. Cheap to share; ends when dropped, the containers don't.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    records: Records,
    log: Arc<Log>,
    keeping: Keeping,
    groups: Hierarchies,
    host: Host,
    registry: Registry,
    execs: exec::Table,
    volumes: volume::table::Table,
    networks: network::table::Table,
    registries: registry::Client,
    build_caches: Arc<Caches>,
    /// Exits that are stored lazily and that the keeper still has.
    ended: Mutex<HashSet<TaskId>>,
    growth: Mutex<HashMap<ContainerId, Arc<Notify>>>,
    tasks: TaskTracker,
    _bridge_claim: network::claim::Claim,
    stop: CancellationToken,
}

impl Engine {
    /// Opens the roots, starts or finds the keeper, and takes up what runs there.
    ///
    /// # Errors
    /// Another engine holds the data root, the store can't be read, or the keeper won't start.
    pub async fn open(mut config: Config) -> Result<Arc<Self>> {
        let stop = CancellationToken::new();
        let (store, groups) = prepare(&config).await?;
        crate::build::sweep(&config)?;
        let (keeping, tasks, notices) =
            Keeping::open(config.exec_root.clone(), config.keeper_program.clone(), stop.clone())
                .await?;
        let log = Arc::new(Log::new(store.clone()));
        let records = Records::new(store.clone(), log.clone(), config.exec_root.clone());
        let found = Found::collect(&records, tasks)?;
        let recorded = network::table::recorded_bridge(&store)?;
        let claim = network::claim::bridge(&mut config.bridge, &store, recorded.as_deref());
        records.sweep_init_layers()?;
        let networks = networks(&config, &store, &found).await?;
        let engine = Arc::new(Self {
            host: Host::detect(&config, groups.clone()),
            volumes: volume::table::Table::load(&store)?,
            registry: Registry::default(),
            execs: exec::Table::default(),
            registries: crate::image::registries(&config),
            build_caches: Arc::default(),
            ended: Mutex::default(),
            growth: Mutex::default(),
            tasks: TaskTracker::new(),
            config,
            records,
            log,
            keeping,
            groups,
            networks,
            _bridge_claim: claim,
            stop,
        });
        engine.take_up(found);
        engine.tasks.spawn(listen(engine.clone(), notices));
        engine.tasks.spawn(forget_in_time(engine.clone()));
        Ok(engine)
    }

    /// How it was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Ends in order: no new requests; without `live_restore` every container is stopped.
    pub async fn shutdown(self: &Arc<Self>) -> Result<()> {
        if !self.config.live_restore {
            self.stop_all().await;
        }
        self.log.tell(crate::event::Draft::new(
            EventType::Daemon,
            "shutdown",
            "",
            &[("name", "cale")],
        ));
        self.flush_ended().await;
        if !self.config.live_restore {
            self.keeping.shutdown().await;
        }
        self.take_networks_down().await;
        self.stop.cancel();
        self.tasks.close();
        // Followers and probes end at once; archives on their way to a client get a moment.
        if tokio::time::timeout(Duration::from_secs(5), self.tasks.wait()).await.is_err() {
            tracing::warn!("some work was still going on at the shutdown");
        }
        Ok(())
    }

    /// Ends the keeper if nothing runs under it. Only a shutdown may follow.
    pub async fn end_keeper(&self) {
        self.flush_ended().await;
        self.keeping.shutdown().await;
    }

    /// With nothing running, the host is left as it was; the next start makes everything again.
    async fn take_networks_down(self: &Arc<Self>) {
        if self.registry.all().iter().any(|handle| handle.snapshot().state.is_running()) {
            return;
        }
        let engine = self.clone();
        let done = blocking::spawn(move || {
            engine.networks.take_down();
            Ok(())
        });
        if let Err(error) = done.await {
            tracing::warn!(error = error.text(), "networks stay after the shutdown");
        }
    }

    async fn stop_all(self: &Arc<Self>) {
        let timeout_s = i64::try_from(self.config.shutdown_timeout_s).ok();
        let running: Vec<_> = self
            .registry
            .all()
            .into_iter()
            .filter(|handle| handle.snapshot().state.is_running())
            .collect();
        let mut stops = tokio::task::JoinSet::new();
        for handle in running {
            let engine = self.clone();
            stops.spawn(async move {
                let by_hand = handle.snapshot().record.stopped_by_hand;
                let request = StopRequest { signal: None, timeout_s };
                let ask = crate::container::handle::Ask::Shutdown(request, by_hand);
                if let Err(error) = handle.ask(&engine, ask).await {
                    tracing::warn!(container = handle.id.short(), error = error.text(), "stop");
                }
            });
        }
        while stops.join_next().await.is_some() {}
    }

    /// Containers.
    pub fn containers(self: &Arc<Self>) -> Containers<'_> {
        Containers { engine: self }
    }

    /// Further processes in containers.
    pub fn execs(self: &Arc<Self>) -> Execs<'_> {
        Execs { engine: self }
    }

    /// Images.
    pub fn images(self: &Arc<Self>) -> Images<'_> {
        Images { engine: self }
    }

    /// Networks.
    pub fn networks(self: &Arc<Self>) -> Networks<'_> {
        Networks { engine: self }
    }

    /// Volumes.
    pub fn volumes(self: &Arc<Self>) -> Volumes<'_> {
        Volumes { engine: self }
    }

    /// What has happened and happens.
    pub fn events(self: &Arc<Self>) -> Events<'_> {
        Events { engine: self }
    }

    /// The engine and its host.
    pub fn system(self: &Arc<Self>) -> System<'_> {
        System { engine: self }
    }

    /// Builds of images.
    pub fn builds(self: &Arc<Self>) -> Builds<'_> {
        Builds { engine: self }
    }

    pub(crate) fn build_caches(&self) -> &Arc<Caches> {
        &self.build_caches
    }

    pub(crate) fn records(&self) -> &Records {
        &self.records
    }

    pub(crate) fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub(crate) fn keeping(&self) -> &Keeping {
        &self.keeping
    }

    pub(crate) fn groups(&self) -> &Hierarchies {
        &self.groups
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn execs_table(&self) -> &exec::Table {
        &self.execs
    }

    pub(crate) fn volumes_table(&self) -> &volume::table::Table {
        &self.volumes
    }

    pub(crate) fn networks_table(&self) -> &network::table::Table {
        &self.networks
    }

    pub(crate) fn registries(&self) -> &registry::Client {
        &self.registries
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn ended(&self) -> MutexGuard<'_, HashSet<TaskId>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container's exit is written lazily: the keeper may drop its record when that is on disk.
    pub(crate) fn forget_later(&self, handle: &Handle) {
        if let Ok(task) = TaskId::container(handle.id.as_str()) {
            self.ended().insert(task);
        }
    }

    /// The task's name is wanted again: the keeper must drop the old one first.
    pub(crate) async fn forget_now(&self, task: &TaskId) {
        let pending = self.ended().remove(task);
        if pending {
            self.keeping.forget(task).await;
        }
    }

    async fn flush_ended(&self) {
        let tasks: Vec<TaskId> = self.ended().drain().collect();
        if tasks.is_empty() {
            return;
        }
        let store = self.records.store().clone();
        let flushed = blocking::spawn(move || {
            let batch = Batch::new();
            store.apply(batch, Weight::Durable.into()).map_err(stored("flush", "the records"))
        })
        .await;
        match flushed {
            Ok(_) => {
                for task in tasks {
                    self.keeping.forget(&task).await;
                }
            }
            Err(error) => {
                tracing::error!(error = error.text(), "records not flushed");
                self.ended().extend(tasks);
            }
        }
    }

    /// Told when the log of a container grows.
    pub(crate) fn log_growth(&self, id: &ContainerId) -> Arc<Notify> {
        let mut growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        growth.retain(|_, notify| Arc::strong_count(notify) > 1);
        growth.entry(id.clone()).or_default().clone()
    }

    fn log_grew(&self, task: &TaskId) {
        let growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        let id = task.container_part().parse::<ContainerId>();
        if let Some(notify) = id.ok().and_then(|id| growth.get(&id).cloned()) {
            notify.notify_waiters();
        }
    }

    /// Lists what was found, and wakes the containers that something has happened to.
    fn take_up(self: &Arc<Self>, found: Found) {
        let mut wake: Vec<(Arc<Handle>, Message)> = Vec::new();
        for (record, state, task) in found.containers {
            let policy = record.spec.host.restart_policy;
            let was_alive = state.is_running() || state.status == Status::Restarting;
            let auto_remove = record.spec.host.auto_remove;
            if let Err(error) = self.registry.reserve(&record.name, &record.id) {
                tracing::error!(error = error.text(), "two containers have one name");
            }
            let handle = Handle::new(record, state);
            self.registry.insert(handle.clone());
            match task.map(|report| (report.phase, report.pid, report.exit)) {
                Some((_, _, Some(exit))) => wake.push((handle, Message::Exited(exit))),
                Some((Phase::Running | Phase::Missing, pid, None)) => {
                    wake.push((handle, Message::Adopt(pid)));
                }
                Some((Phase::Ended, _, None)) | None if was_alive => {
                    let exit = unknown_exit(&handle);
                    wake.extend(exit.map(|exit| (handle, Message::Exited(exit))));
                }
                _ if auto_remove || policy != model::container::RestartPolicy::No => {
                    wake.push((handle, Message::Revive));
                }
                _ => {}
            }
        }
        for (handle, message) in wake {
            let revive = matches!(message, Message::Exited(_));
            handle.send(self, message);
            if revive {
                handle.send(self, Message::Revive);
            }
        }
        for report in found.orphans {
            self.end_orphan(report);
        }
    }

    /// The control group of a container without a record, at its usual place.
    fn remove_group_of(&self, id: &str) {
        let parent = match self.config.cgroup_parent.as_str() {
            "" => runtime::cgroup::DEFAULT_PARENT,
            parent => parent,
        };
        let removed = GroupPath::new(&format!("/{parent}/{id}"))
            .and_then(|path| self.groups.open(&path))
            .and_then(|group| group.kill().and_then(|()| group.remove(Duration::from_secs(5))));
        if let Err(error) = removed {
            tracing::warn!(id, %error, "control group of an unknown container stays");
        }
    }

    /// A task of a container that nobody knows: its record was lost before it was written.
    fn end_orphan(self: &Arc<Self>, report: TaskReport) {
        let engine = self.clone();
        self.tasks.spawn(async move {
            tracing::warn!(task = report.id.as_str(), "ending a process without a record");
            if report.exit.is_none()
                && let Err(error) = engine.keeping.signal(&report.id, 9).await
            {
                tracing::debug!(error = error.text(), "orphan");
            }
            // Its exit comes as a notice, which forgets it.
            if report.exit.is_some() {
                engine.keeping.forget(&report.id).await;
            }
            if report.id.exec_part().is_none() {
                engine.remove_group_of(report.id.as_str());
            }
        });
    }
}

/// What the roots hold at the engine's start.
struct Found {
    containers: Vec<(Record, State, Option<TaskReport>)>,
    orphans: Vec<TaskReport>,
}

impl Found {
    fn collect(records: &Records, tasks: Vec<TaskReport>) -> Result<Self> {
        let mut by_id: HashMap<String, TaskReport> = HashMap::new();
        let mut orphans = Vec::new();
        for report in tasks {
            match report.id.exec_part() {
                None => {
                    by_id.insert(report.id.as_str().to_owned(), report);
                }
                // Execs of an earlier engine: nobody waits for them any more.
                Some(_) if report.exit.is_some() => orphans.push(report),
                Some(_) => {}
            }
        }
        let containers = records
            .containers(&by_id)?
            .into_iter()
            .map(|(record, state)| {
                let task = by_id.remove(record.id.as_str());
                (record, state, task)
            })
            .collect();
        orphans.extend(by_id.into_values());
        Ok(Self { containers, orphans })
    }
}

fn unknown_exit(handle: &Handle) -> Option<ExitRecord> {
    let id = TaskId::container(handle.id.as_str()).ok()?;
    Some(ExitRecord {
        id,
        status: model::state::ExitStatus::Unknown,
        core_dumped: false,
        at_ns: crate::moment::now_ns(),
        oom_killed: None,
    })
}

/// Directories, store and control groups.
async fn prepare(config: &Config) -> Result<(Store, Hierarchies)> {
    let (data, exec) = (config.data_root.clone(), config.exec_root.clone());
    blocking::spawn(move || {
        for (path, mode) in [(&data, 0o710), (&exec, 0o710), (&exec.join("running"), 0o700)] {
            make_dir(path, mode)?;
        }
        let store =
            Store::open(&data, store::Options::default()).map_err(|error| Error::Failed {
                action: "open",
                subject: format!("data root {}", data.display()),
                source: Cause::new(error.kind(), error),
            })?;
        let groups = Hierarchies::detect().map_err(|error| Error::Failed {
            action: "look at",
            subject: "the host's control groups".to_owned(),
            source: Cause::new(error.kind(), error),
        })?;
        Ok((store, groups))
    })
    .await
}

fn make_dir(path: &PathBuf, mode: u32) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| Error::File { action: "make", path: path.display().to_string(), source })
}

/// The plane, given the containers that run.
async fn networks(config: &Config, store: &Store, found: &Found) -> Result<network::table::Table> {
    let entries = network::table::load(store, &config.bridge)?;
    let sandboxes = found
        .containers
        .iter()
        .filter(|(_, _, task)| task.as_ref().is_some_and(|report| report.exit.is_none()))
        .filter_map(|(record, state, _)| sandbox::restored(record, state, config))
        .collect();
    let networks = entries.values().map(|record| record.config.clone());
    let made = |config: &net::NetworkConfig| {
        !config.subnets.is_empty()
            && !matches!(config.driver, net::DriverKind::Host | net::DriverKind::None)
    };
    let restored = net::Restored { networks: networks.filter(made).collect(), sandboxes };
    let plane_config = network::table::plane_config(&config.bridge, store)?;
    let runtime = tokio::runtime::Handle::current();
    let store = store.clone();
    blocking::spawn(move || {
        let (plane, problems) = net::NetworkPlane::start(plane_config, runtime, restored)
            .map_err(network::table::refused("start", "the networks"))?;
        for problem in problems {
            tracing::error!(error = crate::error::chain(&problem), "network not restored");
        }
        network::table::Table::new(entries, plane, &store)
    })
    .await
}

/// Hands the keeper's notices to whom they concern.
async fn listen(engine: Arc<Engine>, mut notices: mpsc::UnboundedReceiver<Notice>) {
    loop {
        let notice = tokio::select! {
            notice = notices.recv() => notice,
            () = engine.stop.cancelled() => return,
        };
        match notice {
            Some(Notice::Event(Event::Exited(exit))) => ended(&engine, exit).await,
            Some(Notice::Event(Event::LogGrew { id })) => engine.log_grew(&id),
            Some(Notice::Event(Event::Detached { id, .. })) => {
                if let Some(handle) = engine.registry.by_id(id.container_part())
                    && id.exec_part().is_none()
                {
                    engine.events().container(&handle.snapshot().record, "detach", &[]);
                }
            }
            Some(Notice::Event(Event::LogLost { id, errno })) => {
                tracing::error!(task = id.as_str(), errno, "output could not be logged");
            }
            Some(Notice::Renewed(reports)) => {
                for exit in reports.into_iter().filter_map(|report| report.exit) {
                    ended(&engine, exit).await;
                }
            }
            None => return,
        }
    }
}

async fn ended(engine: &Arc<Engine>, exit: ExitRecord) {
    if exit.id.exec_part().is_some() {
        exec::ended(engine, &exit).await;
        return;
    }
    match engine.registry.by_id(exit.id.container_part()) {
        Some(handle) => handle.send(engine, Message::Exited(exit)),
        None => {
            engine.ended().insert(exit.id);
        }
    }
}

async fn forget_in_time(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FORGET_EVERY) => engine.flush_ended().await,
            () = engine.stop.cancelled() => return,
        }
    }
}

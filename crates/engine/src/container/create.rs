//! Create: image, name, mounts, volumes and networks are settled here; nothing runs yet.
//!
//! Phases and their undo: name reserved (released) → volumes made (anonymous ones removed) →
//! root filesystem made (removed) → record stored. Only the last one is a promise.

use std::sync::Arc;

use indexmap::IndexMap;
use model::{
    ContainerId,
    container::{ContainerSpec, IpcMode, NamespaceMode, RestartPolicy},
    name::ContainerName,
    network::NetworkMode,
};

use super::{
    Containers, CreateRequest, Created, MountPoint, NetworkUse, Record, State, handle::Handle,
    logs, merge, mountpoints, name, oci, signal,
};
use crate::{
    Engine, Error, Result, blocking, event::Draft, image::resolve::ResolvedImage, moment,
    records::Weight,
};

/// Random names tried before giving up.
const NAME_ATTEMPTS: u32 = 12;

impl Containers<'_> {
    /// Makes a container; a missing image is [`Error::NoSuchImage`].
    pub async fn create(&self, request: CreateRequest) -> Result<Created> {
        let id = ContainerId::from_bytes(moment::random_id());
        let image = self.engine.images().resolve(&request.spec).await?;
        let mut spec = request.spec;
        merge::merge(&mut spec, &image.defaults)?;
        let warnings = check(self.engine, &spec)?;
        let networks = networks(self.engine, &mut spec)?;
        let name = self.name(request.name.as_deref(), &id)?;
        let engine = self.engine.clone();
        let reserved = name.clone();
        let reserved_for = id.clone();
        let made =
            blocking::spawn(move || make(&engine, id, reserved, spec, &image, networks)).await;
        match made {
            Ok(handle) => {
                self.engine.registry().insert(handle.clone());
                Ok(Created { id: handle.id.clone(), warnings })
            }
            Err(error) => {
                self.engine.registry().release(&name, &reserved_for);
                Err(error)
            }
        }
    }

    /// Reserves the name asked for, or a random one.
    fn name(&self, asked: Option<&str>, id: &ContainerId) -> Result<ContainerName> {
        if let Some(text) = asked.filter(|text| !text.is_empty()) {
            let name = name::parse(text)?;
            self.engine.registry().reserve(&name, id)?;
            return Ok(name);
        }
        for attempt in 0..NAME_ATTEMPTS {
            let name = name::from_random(moment::random_bits(), attempt);
            if self.engine.registry().reserve(&name, id).is_ok() {
                return Ok(name);
            }
        }
        let name = name::parse(id.short())?;
        self.engine.registry().reserve(&name, id)?;
        Ok(name)
    }
}

/// What can be refused without touching anything; returns warnings.
fn check(engine: &Engine, spec: &ContainerSpec) -> Result<Vec<String>> {
    let host = &spec.host;
    oci::resources::check(&host.resources)?;
    let security = oci::security::read(&host.security_opt)?;
    oci::capabilities::choose(host.privileged, &host.cap_add, &host.cap_drop, &[])?;
    for rule in &host.device_cgroup_rules {
        oci::devices::parse_rule(rule)?;
    }
    if let Some(signal) = spec.process.stop_signal.as_deref().filter(|text| !text.is_empty()) {
        signal::parse(signal)?;
    }
    if host.auto_remove && host.restart_policy != RestartPolicy::No {
        return Err(Error::Invalid(
            "can't create 'AutoRemove' container with restart policy".to_owned(),
        ));
    }
    if !matches!(
        host.runtime.as_str(),
        "" | crate::config::BUILTIN_RUNTIME | "cale" | "io.containerd.runc.v2"
    ) {
        return Err(Error::Invalid(match engine.config().runtimes.contains_key(&host.runtime) {
            true => format!("runtime {} can't be driven by this engine yet", host.runtime),
            false => format!("unknown or invalid runtime name: {}", host.runtime),
        }));
    }
    if let Some(path) = &spec.process.working_dir
        && !path.is_empty()
        && !path.starts_with('/')
    {
        return Err(Error::Invalid(format!(
            "the working directory '{path}' is invalid, it needs to be an absolute path"
        )));
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return Err(Error::Invalid(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        )));
    }
    if let Some(name) = spec.hostname.as_deref()
        && name.len() > 64
    {
        return Err(Error::Invalid(format!("invalid hostname format: {name}")));
    }
    check_modes(engine, spec)?;
    check_storage(host)?;
    if security.seccomp == oci::security::Seccomp::Unconfined && security.system_paths_unconfined {
        return Ok(vec!["the container sees and may call everything of the kernel".to_owned()]);
    }
    Ok(Vec::new())
}

fn check_storage(host: &model::container::HostSpec) -> Result<()> {
    match host.storage_opt.keys().next() {
        None => Ok(()),
        Some(key) if key == "size" => Err(Error::Unsupported(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
                .to_owned(),
        )),
        Some(key) => Err(Error::Invalid(format!("unknown storage option {key}"))),
    }
}

fn check_modes(engine: &Engine, spec: &ContainerSpec) -> Result<()> {
    let modes = &spec.host.namespaces;
    let named = [
        match &modes.pid {
            NamespaceMode::Container(name) => Some(name),
            _ => None,
        },
        match &modes.uts {
            NamespaceMode::Container(name) => Some(name),
            _ => None,
        },
        match &modes.ipc {
            IpcMode::Container(name) => Some(name),
            _ => None,
        },
        match &spec.host.network_mode {
            NetworkMode::Container(name) => Some(name),
            _ => None,
        },
    ];
    for name in named.into_iter().flatten() {
        engine.registry().find(name)?;
    }
    if modes.uts == NamespaceMode::Host
        && spec.hostname.as_deref().is_some_and(|name| !name.is_empty())
    {
        return Err(Error::Invalid("conflicting options: hostname and the UTS mode".to_owned()));
    }
    if !matches!(modes.user.as_str(), "" | "host") {
        return Err(Error::Unsupported(format!("invalid userns mode: {}", modes.user)));
    }
    if let NetworkMode::Container(_) = spec.host.network_mode {
        if spec.hostname.as_deref().is_some_and(|name| !name.is_empty()) {
            return Err(Error::Invalid(
                "conflicting options: hostname and the network mode".to_owned(),
            ));
        }
        if !spec.host.port_bindings.is_empty() || spec.host.publish_all_ports {
            return Err(Error::Invalid(
                "conflicting options: port publishing and the container type network mode"
                    .to_owned(),
            ));
        }
    }
    Ok(())
}

/// Networks by id, the main one first.
fn networks(engine: &Engine, spec: &mut ContainerSpec) -> Result<IndexMap<String, NetworkUse>> {
    let mut found = IndexMap::new();
    if spec.network_disabled {
        spec.host.network_mode = NetworkMode::None;
    }
    let main = match &spec.host.network_mode {
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => {
            let mode = spec.host.network_mode.to_string();
            if spec.endpoints.keys().any(|name| *name != mode && name != "default") {
                return Err(Error::Invalid(format!(
                    "conflicting options: cannot attach both user-defined and non-user-defined network-modes ({mode})"
                )));
            }
            return Ok(found);
        }
        NetworkMode::Default => "bridge".to_owned(),
        NetworkMode::Named(name) => name.clone(),
    };
    // Not a 404: clients would take that for a missing image and pull it.
    let find = |name: &str| match engine.networks_table().find(name) {
        Err(error @ Error::NoSuchNetwork(_)) => Err(Error::Invalid(error.to_string())),
        found => found,
    };
    let main_id = find(&main)?;
    let mut wanted = vec![(main.clone(), main_id.clone())];
    for name in spec.endpoints.keys() {
        let name = if name == "default" { "bridge" } else { name.as_str() };
        let id = find(name)?;
        if !wanted.iter().any(|(_, other)| *other == id) {
            wanted.push((name.to_owned(), id));
        }
    }
    for (typed, id) in wanted {
        let (name, default) = engine.networks_table().name_of(&id)?;
        let asked = spec
            .endpoints
            .get(&typed)
            .or_else(|| spec.endpoints.get(&name))
            .or_else(|| spec.endpoints.get(id.as_str()))
            .or_else(|| default.then(|| spec.endpoints.get("default")).flatten());
        let mut endpoint = asked.cloned().unwrap_or_default();
        if found.is_empty() && endpoint.mac_address.is_none() {
            endpoint.mac_address.clone_from(&spec.mac_address);
        }
        if default && (endpoint.ipv4.is_some() || endpoint.ipv6.is_some()) {
            return Err(Error::Invalid(
                "user specified IP address is supported on user defined networks only".to_owned(),
            ));
        }
        found.insert(id.to_string(), NetworkUse { name, spec: endpoint });
    }
    Ok(found)
}

fn make(
    engine: &Arc<Engine>,
    id: ContainerId,
    name: ContainerName,
    spec: ContainerSpec,
    image: &ResolvedImage,
    networks: IndexMap<String, NetworkUse>,
) -> Result<Arc<Handle>> {
    let mut made = Made { engine, id, volumes: Vec::new(), rootfs: false };
    match made.all(name, spec, image, networks) {
        Ok(handle) => Ok(handle),
        Err(error) => {
            made.undo();
            Err(error)
        }
    }
}

/// What has been made so far.
struct Made<'a> {
    engine: &'a Arc<Engine>,
    id: ContainerId,
    volumes: Vec<String>,
    rootfs: bool,
}

impl Made<'_> {
    fn all(
        &mut self,
        name: ContainerName,
        spec: ContainerSpec,
        image: &ResolvedImage,
        networks: IndexMap<String, NetworkUse>,
    ) -> Result<Arc<Handle>> {
        let engine = self.engine;
        let mounts = mountpoints::settle(engine, &spec)?;
        let mut record = Record {
            id: self.id.clone(),
            name,
            created_ns: moment::now_ns(),
            image_id: Some(image.id.clone()),
            manifest: image.manifest.clone(),
            platform: image.platform.clone(),
            layers: image.layers.clone(),
            spec,
            mounts,
            networks,
            restart_count: 0,
            stopped_by_hand: false,
            started_once: false,
        };
        logs::configure(engine, &record)?;
        engine.records().make_rootfs(&record)?;
        self.rootfs = true;
        for point in &mut record.mounts {
            self.volume(point)?;
        }
        engine.records().fill_volumes(&record)?;
        let state = State::default();
        let event = Draft::container(&record, "create", &[]);
        // A container that removes itself is gone after a power failure anyway.
        let weight = if record.spec.host.auto_remove { Weight::Lazy } else { Weight::Durable };
        engine.records().save_container(&record, &state, vec![event], weight)?;
        Ok(Handle::new(record, state))
    }

    fn volume(&mut self, point: &mut MountPoint) -> Result<()> {
        if mountpoints::make_volume(self.engine, point)? {
            self.volumes.push(point.name.clone());
        }
        Ok(())
    }

    fn undo(&self) {
        if self.rootfs
            && let Err(error) = self.engine.records().remove_rootfs(&self.id)
        {
            tracing::warn!(error = error.text(), "root filesystem stays after a failed create");
        }
        for volume in &self.volumes {
            if let Err(error) = self.engine.volumes_table().remove(self.engine, volume) {
                tracing::warn!(volume, error = error.text(), "volume stays after a failed create");
            }
        }
    }
}

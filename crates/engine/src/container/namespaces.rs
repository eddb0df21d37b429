//! Namespaces shared with other containers, and what hangs on them: host name and /dev/shm.
//!
//! Joined namespaces are opened here and travel as descriptors, so that a process that dies
//! meanwhile can't be mistaken for another with its number.

use std::{
    fs::File,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};

use model::{
    ContainerId,
    container::{DEFAULT_SHM_SIZE, IpcMode, NamespaceMode},
    network::NetworkMode,
};
use runtime::plan::NamespaceKind;

use super::{Record, oci::Shm};
use crate::{Engine, Error, Result};

/// Namespaces of other containers.
#[derive(Debug, Default)]
pub struct Joined {
    files: Vec<(NamespaceKind, File)>,
}

impl Joined {
    /// Kinds and descriptors.
    pub fn fds(&self) -> impl Iterator<Item = (NamespaceKind, BorrowedFd<'_>)> {
        self.files.iter().map(|(kind, file)| (*kind, file.as_fd()))
    }
}

/// Opens every namespace that `record` shares.
pub fn join(engine: &Engine, record: &Record) -> Result<Joined> {
    let modes = &record.spec.host.namespaces;
    let mut joined = Joined::default();
    if let NamespaceMode::Container(other) = &modes.pid {
        let pid = running(engine, other, "PID")?;
        joined.files.push((NamespaceKind::Pid, open(pid, "pid")?));
    }
    if let NamespaceMode::Container(other) = &modes.uts {
        let pid = running(engine, other, "UTS")?;
        joined.files.push((NamespaceKind::Uts, open(pid, "uts")?));
    }
    if let IpcMode::Container(other) = &modes.ipc {
        let pid = shareable(engine, other)?;
        joined.files.push((NamespaceKind::Ipc, open(pid, "ipc")?));
    }
    if let NetworkMode::Container(other) = &record.spec.host.network_mode {
        let pid = running(engine, other, "network")?;
        joined.files.push((NamespaceKind::Net, open(pid, "net")?));
    }
    Ok(joined)
}

fn running(engine: &Engine, other: &str, what: &str) -> Result<u32> {
    let snapshot = engine.registry().find(other)?.snapshot();
    match snapshot.state.pid {
        0 => Err(Error::Conflict(format!(
            "cannot join {what} namespace of a non running container: container {} is {}",
            snapshot.record.name, snapshot.state.status
        ))),
        pid => Ok(pid),
    }
}

fn shareable(engine: &Engine, other: &str) -> Result<u32> {
    let pid = running(engine, other, "IPC")?;
    let snapshot = engine.registry().find(other)?.snapshot();
    let open = match snapshot.record.spec.host.namespaces.ipc {
        IpcMode::Shareable | IpcMode::Host => true,
        IpcMode::Default => engine.config().default_ipc_shareable,
        IpcMode::None | IpcMode::Private | IpcMode::Container(_) => false,
    };
    if open {
        Ok(pid)
    } else {
        Err(Error::Conflict(format!(
            "can't join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
            snapshot.record.id
        )))
    }
}

fn open(pid: u32, kind: &str) -> Result<File> {
    let path = format!("/proc/{pid}/ns/{kind}");
    File::open(&path).map_err(|source| Error::File { action: "open namespace", path, source })
}

/// Where /dev/shm comes from. One that others may join is a tmpfs of the host: mounts of another
/// container's mount namespace can't be shown in this one.
pub fn shm(engine: &Engine, record: &Record) -> Result<Shm> {
    let size = match record.spec.host.shm_size.unwrap_or(engine.config().default_shm_size) {
        0 => DEFAULT_SHM_SIZE,
        size => size,
    };
    let own = |shareable: bool| match shareable {
        true => make_shm(engine, &record.id, size).map(Shm::Bind),
        false => Ok(Shm::Own(size)),
    };
    match &record.spec.host.namespaces.ipc {
        IpcMode::None => Ok(Shm::Absent),
        IpcMode::Host => Ok(Shm::Bind(PathBuf::from("/dev/shm"))),
        IpcMode::Container(other) => {
            let donor = engine.registry().find(other)?;
            match donor.snapshot().record.spec.host.namespaces.ipc {
                IpcMode::Host => Ok(Shm::Bind(PathBuf::from("/dev/shm"))),
                _ => Ok(Shm::Bind(shm_dir(engine, &donor.id))),
            }
        }
        IpcMode::Default => own(engine.config().default_ipc_shareable),
        IpcMode::Private => own(false),
        IpcMode::Shareable => own(true),
    }
}

fn shm_dir(engine: &Engine, id: &ContainerId) -> PathBuf {
    engine.config().exec_root.join("shm").join(id.as_str())
}

fn make_shm(engine: &Engine, id: &ContainerId, size: u64) -> Result<PathBuf> {
    let path = shm_dir(engine, id);
    let fail = |source| Error::File {
        action: "make shared memory at",
        path: path.display().to_string(),
        source,
    };
    std::fs::create_dir_all(&path).map_err(fail)?;
    sys::tree::mount_shm(&path, size).map_err(fail)?;
    Ok(path)
}

/// The container has ended: those that joined keep what they have open.
pub fn remove_shm(engine: &Engine, id: &ContainerId) {
    let path = shm_dir(engine, id);
    if !path.exists() {
        return;
    }
    if let Err(error) = sys::tree::unmount(&path).and_then(|()| std::fs::remove_dir(&path)) {
        tracing::warn!(path = %path.display(), %error, "shared memory stays mounted");
    }
}

/// The name to set; empty where the UTS namespace is somebody else's.
pub fn host_name(record: &Record) -> String {
    let modes = &record.spec.host.namespaces;
    if modes.uts != NamespaceMode::Private {
        return String::new();
    }
    match record.spec.hostname.as_deref() {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ if record.spec.host.network_mode == NetworkMode::Host => host_own_name(),
        _ => record.id.short().to_owned(),
    }
}

fn host_own_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

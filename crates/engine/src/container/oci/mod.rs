//! From a container's record to the runtime's specification: pure, compared with snapshots.
//!
//! Everything that must be looked up on the machine (users, devices, mount sources, namespaces)
//! comes in through [`Inputs`]; nothing here opens or reads.

use std::path::PathBuf;

use model::container::CgroupNamespace;
use runtime::spec::{
    ConsoleSize, Device, Linux, LinuxResources, LinuxSeccomp, Mount, Namespace, Process, Root,
    Spec, User,
};

use super::Record;
use crate::Result;

pub mod capabilities;
pub mod devices;
mod mounts;
pub mod process;
pub mod resources;
pub mod security;

pub use mounts::{HostMount, Shm};

/// What the record alone doesn't say.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The process's ids, looked up in the image.
    pub user: User,
    /// Binds, volumes and image mounts with their host paths, in no special order.
    pub mounts: Vec<HostMount>,
    /// Where /etc/resolv.conf is on the host; `None`: not shown.
    pub resolv_conf: Option<PathBuf>,
    /// Where /etc/hosts is on the host.
    pub hosts: Option<PathBuf>,
    /// Where /etc/hostname is on the host.
    pub hostname: Option<PathBuf>,
    /// /dev/shm.
    pub shm: Shm,
    /// The host name to set; empty: that of a joined namespace stays.
    pub host_name: String,
    /// Devices of the host, looked up.
    pub devices: Vec<Device>,
    /// Rules for them.
    pub device_rules: Vec<runtime::spec::LinuxDeviceCgroup>,
    /// Limits, with block devices looked up.
    pub resources: LinuxResources,
    /// Capabilities that this engine itself has, `CAP_…`.
    pub host_capabilities: Vec<String>,
    /// The filter, already chosen.
    pub seccomp: Option<LinuxSeccomp>,
    /// Control group, relative to the root of each hierarchy.
    pub cgroup_path: String,
    /// The host has the unified hierarchy only.
    pub unified: bool,
    /// Engine-wide `no-new-privileges`.
    pub no_new_privileges: bool,
    /// Engine-wide limits.
    pub default_ulimits: Vec<model::resources::Ulimit>,
}

/// Builds the specification.
///
/// # Errors
/// A value that is wrong: unknown capability, limit, security option, mount option.
pub fn build(record: &Record, inputs: &Inputs) -> Result<Spec> {
    let host = &record.spec.host;
    let security = security::read(&host.security_opt)?;
    let capabilities = capabilities::choose(
        host.privileged,
        &host.cap_add,
        &host.cap_drop,
        &inputs.host_capabilities,
    )?;
    Ok(Spec {
        oci_version: "1.2.1".to_owned(),
        process: Some(Process {
            terminal: record.spec.process.tty,
            console_size: host
                .console_size
                .filter(|(height, width)| *height > 0 && *width > 0)
                .map(|(height, width)| ConsoleSize { height, width }),
            user: inputs.user.clone(),
            args: process::arguments(record),
            env: process::environment(record, &inputs.host_name),
            cwd: process::working_dir(record),
            capabilities: Some(capabilities::sets(&capabilities, inputs.user.uid)),
            rlimits: process::limits(&host.ulimits, &inputs.default_ulimits)?,
            no_new_privileges: security.no_new_privileges.unwrap_or(inputs.no_new_privileges)
                && !host.privileged
                || security.no_new_privileges == Some(true),
            apparmor_profile: security.apparmor.clone().unwrap_or_default(),
            oom_score_adj: (host.oom_score_adj != 0).then_some(host.oom_score_adj),
            selinux_label: security.label.clone().unwrap_or_default(),
            ..Process::default()
        }),
        root: Some(Root { path: "rootfs".to_owned(), readonly: host.readonly_rootfs }),
        hostname: inputs.host_name.clone(),
        domainname: record.spec.domainname.clone().unwrap_or_default(),
        mounts: mounts::all(record, inputs)?,
        annotations: record.spec.annotations.clone().into_iter().collect(),
        linux: Some(linux(record, inputs)?),
        ..Spec::default()
    })
}

fn linux(record: &Record, inputs: &Inputs) -> Result<Linux> {
    let host = &record.spec.host;
    let mut resources = inputs.resources.clone();
    resources.devices = devices::rules(host.privileged, &inputs.device_rules);
    Ok(Linux {
        sysctl: host.sysctls.clone().into_iter().collect(),
        resources: Some(resources),
        cgroups_path: inputs.cgroup_path.clone(),
        namespaces: namespaces(record, inputs.unified),
        devices: inputs.devices.clone(),
        seccomp: inputs.seccomp.clone(),
        rootfs_propagation: mounts::root_propagation(&inputs.mounts),
        masked_paths: paths(host.privileged, host.masked_paths.as_ref(), security::MASKED),
        readonly_paths: paths(host.privileged, host.readonly_paths.as_ref(), security::READONLY),
        ..Linux::default()
    })
}

/// Privileged containers see everything unless the request names paths itself.
fn paths(privileged: bool, asked: Option<&Vec<String>>, default: &[&str]) -> Vec<String> {
    match asked {
        Some(paths) => paths.clone(),
        None if privileged => Vec::new(),
        None => default.iter().map(|path| (*path).to_owned()).collect(),
    }
}

/// New namespaces only: joined ones travel as descriptors beside the plan, which win.
fn namespaces(record: &Record, unified: bool) -> Vec<Namespace> {
    use model::{
        container::{IpcMode, NamespaceMode},
        network::NetworkMode,
    };
    let host = &record.spec.host;
    let mut kinds = vec!["mount"];
    if host.network_mode != NetworkMode::Host {
        kinds.push("network");
    }
    if host.namespaces.uts != NamespaceMode::Host {
        kinds.push("uts");
    }
    if host.namespaces.pid != NamespaceMode::Host {
        kinds.push("pid");
    }
    if host.namespaces.ipc != IpcMode::Host {
        kinds.push("ipc");
    }
    let private = match host.namespaces.cgroup {
        Some(mode) => mode == CgroupNamespace::Private,
        None => unified && !host.privileged,
    };
    if private {
        kinds.push("cgroup");
    }
    kinds.into_iter().map(|kind| Namespace { kind: kind.to_owned(), path: String::new() }).collect()
}

pub(crate) fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.to_owned(),
        kind: kind.to_owned(),
        source: source.to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    }
}

#[cfg(test)]
mod tests;

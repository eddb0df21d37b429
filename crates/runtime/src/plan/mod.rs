//! Specification → [`LaunchPlan`], without touching the machine.
//!
//! What a launch needs to know of the machine comes in as a [`PlanContext`]. Nothing here opens, reads or calls.
//!
//! **Invariant**: a specification that asks for something the plan can't express is an error, never skipped.

mod cgroups;
mod devices;
mod mounts;
mod names;
mod order;
mod process;
mod step;
mod sysctl;

pub use devices::default_device_rules;
pub use names::{capability_names, capability_number, signal_number};
pub use order::plan;
pub(crate) use order::timeout_ms;
pub(crate) use process::{
    Finish, affinity, finish, launch_attributes, limits, program_of, session,
};
pub use step::*;

use std::ffi::CString;
use std::path::PathBuf;

/// What the machine and the caller add to the specification.
#[derive(Debug, Clone, Default)]
pub struct PlanContext {
    /// Container's id: names the keyring.
    pub id: String,
    /// Directory that relative paths of the specification start at.
    pub bundle: PathBuf,
    /// The root; none takes `root.path` of the specification.
    pub root: Option<RootSource>,
    /// Roles of the descriptors that will travel beside the plan, in order.
    pub fds: Vec<FdRole>,
    /// Control group hierarchies for mounts of type `cgroup`, with the container's place in each.
    pub cgroups: CgroupView,
    /// The compiled filter of `linux.seccomp`; must be given when the specification has one.
    pub seccomp: Option<SeccompProgram>,
    /// Let pid 1 be an init that reaps and forwards signals.
    pub init: bool,
    /// Move the root over `/` instead of pivoting (`--no-pivot`).
    pub no_pivot: bool,
    /// Keep the session keyring (`--no-new-keyring`).
    pub keep_keyring: bool,
    /// What the host's kernel offers.
    pub host: HostFacts,
    /// State document for hooks that run inside, before and after the pid.
    pub hook_state: (String, String),
}

/// What the host's kernel and the launcher's own rights offer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// AppArmor takes labels.
    pub apparmor: bool,
    /// SELinux takes labels.
    pub selinux: bool,
    /// Capabilities that can be handed on: permitted to the launcher and in its bounding set.
    pub capabilities: u64,
    /// Launched without privileges over the host.
    pub rootless: bool,
}

/// The host's control group hierarchies as a container's mount shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CgroupView {
    /// v1 hierarchies: directory's name, mount option (`cpu,cpuacct`, `name=systemd`), the container's directory.
    pub legacy: Vec<LegacyHierarchy>,
    /// v2: the container's directory. With `legacy` this is the hybrid layout's `unified`.
    pub unified: Option<CString>,
}

/// One v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyHierarchy {
    /// Name of the directory below `/sys/fs/cgroup`.
    pub name: String,
    /// Mount option that selects it.
    pub option: String,
    /// The container's directory on the host.
    pub path: CString,
}

/// The specification can't be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A value isn't known or isn't allowed.
    #[error("{field} in the specification: {reason}")]
    Invalid {
        /// Dotted path of the field.
        field: String,
        /// Why.
        reason: String,
    },
    /// The plan can't be (de)serialised.
    #[error("{action} the launch plan")]
    Codec {
        /// encode or decode.
        action: &'static str,
        /// Why.
        source: postcard::Error,
    },
}

impl PlanError {
    /// Kind of the error.
    pub fn kind(&self) -> model::ErrorKind {
        match self {
            PlanError::Invalid { .. } => model::ErrorKind::InvalidInput,
            PlanError::Codec { .. } => model::ErrorKind::Internal,
        }
    }
}

pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> PlanError {
    PlanError::Invalid { field: field.into(), reason: reason.into() }
}

/// The kernel's strings end at a NUL: one inside would silently cut it.
pub(crate) fn c_string(field: &str, text: impl Into<Vec<u8>>) -> Result<CString, PlanError> {
    CString::new(text).map_err(|_| invalid(field, "contains a NUL byte"))
}

/// Position of the one descriptor with this role.
pub(crate) fn fd_with(fds: &[FdRole], role: FdRole) -> Option<FdIndex> {
    fds.iter().position(|found| *found == role).map(|index| FdIndex(index as u16))
}

/// Positions of all descriptors with this role.
pub(crate) fn fds_with(fds: &[FdRole], role: FdRole) -> impl Iterator<Item = FdIndex> {
    fds.iter()
        .enumerate()
        .filter(move |(_, found)| **found == role)
        .map(|(at, _)| FdIndex(at as u16))
}

impl LaunchPlan {
    /// Bytes for another process of the same build.
    pub fn encode(&self) -> Result<Vec<u8>, PlanError> {
        postcard::to_stdvec(self).map_err(|source| PlanError::Codec { action: "encode", source })
    }

    /// The inverse of [`LaunchPlan::encode`].
    pub fn decode(bytes: &[u8]) -> Result<LaunchPlan, PlanError> {
        postcard::from_bytes(bytes).map_err(|source| PlanError::Codec { action: "decode", source })
    }
}

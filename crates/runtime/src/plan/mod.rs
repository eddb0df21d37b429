//! Specification → [`LaunchPlan`], without touching the machine.
//!
//! What a launch needs to know of the machine comes in as a [`PlanContext`]. Nothing here opens, reads or calls.
//!
//! **Invariant**: a specification that asks for something the plan can't express is an error, never skipped.

mod step;

pub use step::*;

use std::ffi::CString;
use std::path::PathBuf;

/// What the machine and the caller add to the specification.
#[derive(Debug, Clone)]
pub struct PlanContext {
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
    /// Launched without privileges over the host.
    pub rootless: bool,
    /// Security modules of the host that can label (`/sys/kernel/security/lsm`).
    pub lsm: Lsm,
    /// State document for hooks that run inside, around the pid; none when there are no such hooks.
    pub hook_state: Option<(String, String)>,
    /// Container's id: names the keyring.
    pub id: String,
}

/// Which labels the host's kernel takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Lsm {
    pub apparmor: bool,
    pub selinux: bool,
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

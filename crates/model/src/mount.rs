//! Mounts that a container asks for.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// One mount at an absolute path in the container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, cleaned path in the container.
    pub target: String,
    /// Read-only.
    pub readonly: bool,
    /// What is mounted.
    pub source: MountSource,
    /// How it was asked for; a `Binds` text is shown again as it came.
    pub origin: MountOrigin,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MountSource {
    /// A file or directory of the host.
    Bind {
        /// Absolute host path.
        path: String,
        /// Make the directory when it is missing (`-v`), or refuse (`--mount`).
        create: bool,
        /// rprivate where not said.
        propagation: Propagation,
        /// Mounts below the source are shown too.
        recursive: bool,
        /// Mounts below are made read-only too (with `readonly`).
        readonly_recursion: ReadonlyRecursion,
        /// SELinux relabelling.
        relabel: Relabel,
    },
    /// A volume of the engine.
    Volume {
        /// `None`: a new anonymous one.
        name: Option<String>,
        /// Copy what the image has at the target into an empty volume.
        copy_up: bool,
        /// Labels for the volume if it is made.
        labels: IndexMap<String, String>,
        /// Driver for the volume if it is made.
        driver: Option<String>,
        /// Driver options for the volume if it is made.
        driver_options: IndexMap<String, String>,
        /// A path below the volume's root.
        subpath: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; `None`: the kernel's default.
        size: Option<u64>,
        /// Permission bits; `None`: 1777.
        mode: Option<u32>,
        /// Further options, `["noexec"]` or `["key", "value"]`.
        options: Vec<Vec<String>>,
    },
    /// The files of an image, read-only.
    Image {
        /// Reference as typed.
        reference: String,
        /// A path below the image's root.
        subpath: Option<String>,
    },
}

/// Which API field a mount came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountOrigin {
    /// `HostConfig.Binds`, with its text.
    Bind(String),
    /// `HostConfig.Mounts`.
    Mount,
}

/// Mount propagation (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Propagation {
    #[default]
    Unset,
    Private,
    Rprivate,
    Shared,
    Rshared,
    Slave,
    Rslave,
}

/// Whether read-only reaches the mounts below a bind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadonlyRecursion {
    /// Where the kernel can.
    #[default]
    IfPossible,
    /// Not wanted.
    Off,
    /// An error where the kernel can't.
    Required,
}

/// SELinux relabelling of a bind's source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relabel {
    /// As it is.
    #[default]
    No,
    /// `:z`
    Shared,
    /// `:Z`
    Private,
}

/// Mounts taken over from another container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// Its name or id.
    pub container: String,
    /// `Some(true)` read-only, `Some(false)` writable, `None` as there.
    pub readonly: Option<bool>,
}

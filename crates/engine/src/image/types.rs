//! Requests and snapshots of images.

use indexmap::IndexMap;
use model::{
    Digest, Reference,
    filter::Filters,
    image::{Descriptor, ImageConfig, Platform},
};

/// One image.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Configuration digest: the id in the Engine API.
    pub id: Digest,
    /// The manifest (or index) that the names point at.
    pub descriptor: Descriptor,
    /// Tags, whole.
    pub tags: Vec<Reference>,
    /// `repository@digest` of names pulled from or pushed to registries.
    pub digests: Vec<Reference>,
    /// The configuration.
    pub config: ImageConfig,
    /// Bytes of the unpacked layers.
    pub size: u64,
    /// When a name was last set, nanoseconds since the epoch.
    pub last_tagged_ns: Option<i64>,
    /// The platform.
    pub platform: Platform,
    /// Unpacked layer directories, lowest first.
    pub lower_dirs: Vec<std::path::PathBuf>,
}

/// List images.
#[derive(Clone, Debug, Default)]
pub struct ListRequest {
    /// Also those without a name that others build on.
    pub all: bool,
    /// Keys as Docker has them; unknown ones are refused.
    pub filters: Filters,
    /// Count the bytes shared with other images.
    pub shared_size: bool,
}

/// One line of a list.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Configuration digest.
    pub id: Digest,
    /// The manifest (or index).
    pub descriptor: Descriptor,
    /// Tags, whole.
    pub tags: Vec<Reference>,
    /// `repository@digest`.
    pub digests: Vec<Reference>,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// Bytes of the unpacked layers.
    pub size: u64,
    /// Bytes shared with other images; `None`: not counted.
    pub shared_size: Option<u64>,
    /// Labels of the configuration.
    pub labels: IndexMap<String, String>,
    /// Containers made from it.
    pub containers: usize,
}

/// Remove an image.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveRequest {
    /// Also when stopped containers use it, or several names point at it.
    pub force: bool,
    /// Leave parents without a name.
    pub no_prune: bool,
}

/// One thing that a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name no longer points at it.
    Untagged(String),
    /// It is gone.
    Deleted(Digest),
}

/// What a prune did.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// Step by step.
    pub removed: Vec<Removed>,
    /// Bytes.
    pub reclaimed: u64,
}

/// One line of an image's history, newest first.
#[derive(Clone, Debug)]
pub struct HistoryLine {
    /// Set on the newest line only, and where the layer belongs to a tagged image.
    pub id: Option<Digest>,
    /// Nanoseconds since the epoch.
    pub created_ns: i64,
    /// The instruction.
    pub created_by: String,
    /// Bytes.
    pub size: u64,
    /// Remark.
    pub comment: String,
    /// Tags of the image that ends here.
    pub tags: Vec<Reference>,
}

/// Make an image of a root filesystem archive.
#[derive(Clone, Debug, Default)]
pub struct ImportRequest {
    /// Name for the image.
    pub reference: Option<Reference>,
    /// Remark in the history.
    pub comment: String,
    /// Dockerfile instructions for the configuration.
    pub changes: Vec<String>,
    /// Platform; `None`: the host's.
    pub platform: Option<Platform>,
}

/// Fetch from a registry.
#[derive(Clone, Debug)]
pub struct PullRequest {
    /// What.
    pub reference: Reference,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// `None`: the host's.
    pub platform: Option<Platform>,
    /// Credentials, if the client sent any.
    pub auth: Option<RegistryAuth>,
}

/// Send to a registry.
#[derive(Clone, Debug)]
pub struct PushRequest {
    /// What, and where to.
    pub reference: Reference,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// One platform of several; `None`: everything.
    pub platform: Option<Platform>,
    /// Credentials, if the client sent any.
    pub auth: Option<RegistryAuth>,
}

/// Credentials for a registry.
#[derive(Clone, Debug, Default)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Refresh token of an earlier login, instead of a password.
    pub identity_token: String,
    /// Bearer token to send as it is.
    pub registry_token: String,
    /// For which registry.
    pub server: String,
}

/// What long work on images reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A sentence about a thing (`id` may be empty): `Pulling from library/debian`.
    Status {
        /// Layer's short digest, tag, or empty.
        id: String,
        /// The sentence.
        text: String,
    },
    /// Bytes of one thing.
    Bytes {
        /// Layer's short digest.
        id: String,
        /// `Downloading`, `Extracting`, `Pushing`.
        text: String,
        /// Done.
        current: u64,
        /// Of; 0: unknown.
        total: u64,
    },
    /// A result for programs.
    Aux(Aux),
}

/// Results within a progress stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aux {
    /// A push has set this tag.
    Pushed {
        /// The tag.
        tag: String,
        /// Manifest digest.
        digest: Digest,
        /// Manifest bytes.
        size: u64,
    },
    /// An image was made.
    Image(Digest),
}

/// Where progress goes; sending never blocks the work for long.
pub type ProgressSink = tokio::sync::mpsc::Sender<Progress>;

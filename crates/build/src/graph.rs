//! The graph of a build: steps on root filesystems, and the image that comes out.
//!
//! A vertex only refers to vertices before it, so the order of the list is an order of work.

use dockerfile::Span;
use dockerfile::instruction::Sharing;
use model::{
    Digest,
    image::{History, ImageConfig},
};
use serde::Serialize;

use crate::mode::ModeChange;

/// Place of a vertex in [`Graph::vertices`].
pub type VertexId = usize;

/// Steps and what they lead to.
#[derive(Clone, Debug)]
pub struct Graph {
    /// In an order of work.
    pub vertices: Vec<Vertex>,
    /// The result's root filesystem; `None`: empty.
    pub result: Option<VertexId>,
    /// Its configuration, layers and their history to be filled in by [`crate::image::finish`].
    pub config: ImageConfig,
    /// History after the base image's: which vertex made each entry's layer.
    pub history: Vec<HistoryEntry>,
    /// The instructions that are carried out, in the order written, for the classic API.
    pub instructions: Vec<Instruction>,
    /// Things that look wrong, for people.
    pub warnings: Vec<Warning>,
    /// Times later than this become this, in seconds since the epoch.
    pub epoch: i64,
}

/// One line of the image's history.
#[derive(Clone, Debug)]
pub struct HistoryEntry {
    /// As it is written.
    pub entry: History,
    /// The vertex whose layer it is.
    pub vertex: Option<VertexId>,
}

/// An instruction that is carried out.
#[derive(Clone, Debug)]
pub struct Instruction {
    /// On one line, variables as written.
    pub text: String,
    /// Its vertex; instructions that only change the configuration have none.
    pub vertex: Option<VertexId>,
    /// Where.
    pub span: Span,
}

/// Something that looks wrong.
#[derive(Clone, Debug)]
pub struct Warning {
    /// The rule's name.
    pub rule: String,
    /// Sentence.
    pub message: String,
    /// Where.
    pub span: Span,
}

/// A step.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// `[build 2/4] RUN make`
    pub name: String,
    /// The instruction without its stage.
    pub text: String,
    /// Where.
    pub span: Span,
    /// The root filesystem that it works on; `None`: an empty one.
    pub parent: Option<VertexId>,
    /// What it does.
    pub op: Op,
    /// Never taken from the cache.
    pub no_cache: bool,
}

impl Vertex {
    /// Every vertex that must be ready before this one.
    pub fn inputs(&self) -> Vec<VertexId> {
        let mut inputs: Vec<VertexId> = self.parent.into_iter().collect();
        let origins: Vec<&Origin> = match &self.op {
            Op::Copy(copy) => copy
                .sources
                .iter()
                .filter_map(|source| match source {
                    CopySource::Files { from, .. } => Some(from),
                    _ => None,
                })
                .collect(),
            Op::Run(run) => run
                .mounts
                .iter()
                .filter_map(|mount| match &mount.kind {
                    MountKind::Bind { from, .. } => Some(from),
                    MountKind::Cache { from, .. } => from.as_ref(),
                    _ => None,
                })
                .collect(),
            Op::Image { .. } | Op::MakeDir(_) => Vec::new(),
        };
        inputs.extend(origins.into_iter().filter_map(|origin| match origin {
            Origin::Vertex(vertex) => Some(*vertex),
            Origin::Context(_) | Origin::Empty => None,
        }));
        inputs
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Op {
    /// Takes an image's layers.
    Image {
        /// The name as written.
        name: String,
        /// Diff ids, lowest first.
        layers: Vec<Digest>,
    },
    /// Makes a directory where none is.
    MakeDir(MakeDir),
    /// Copies files.
    Copy(CopyStep),
    /// Runs a command.
    Run(RunStep),
}

/// `WORKDIR`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MakeDir {
    /// Absolute.
    pub path: String,
    /// `user[:group]`; empty: root.
    pub owner: String,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Origin {
    /// A context that the worker knows; the main one has the empty name.
    Context(String),
    /// The root filesystem of a vertex.
    Vertex(VertexId),
    /// Nothing is there (an empty stage).
    Empty,
}

/// `COPY` and `ADD`
#[derive(Clone, Debug, Serialize)]
pub struct CopyStep {
    /// What.
    pub sources: Vec<CopySource>,
    /// Absolute; ends with a slash where it was written so.
    pub destination: String,
    /// `user[:group]`; `None`: kept from stages, root from contexts.
    pub owner: Option<String>,
    /// New permission bits.
    pub mode: Option<ModeChange>,
    /// On an empty root, laid on the parent afterwards.
    pub link: bool,
    /// Keep the parent directories of sources.
    pub parents: bool,
    /// Patterns left out.
    pub exclude: Vec<String>,
}

/// One source of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum CopySource {
    /// Files that are there.
    Files {
        /// Whose.
        from: Origin,
        /// Path or pattern.
        pattern: String,
        /// Unpack archives (`ADD`).
        unpack: bool,
    },
    /// A file of the Dockerfile itself.
    Inline {
        /// File name.
        name: String,
        /// Content.
        content: String,
    },
    /// A file to be fetched.
    Url {
        /// `https://…`
        url: String,
        /// `sha256:…`
        checksum: Option<String>,
        /// Unpack it when it is an archive.
        unpack: bool,
    },
    /// A git repository.
    Git {
        /// As written.
        url: String,
        /// Commit that it must be.
        checksum: Option<String>,
        /// Leave `.git` in.
        keep_git_dir: bool,
    },
}

/// `RUN`
#[derive(Clone, Debug, Serialize)]
pub struct RunStep {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `KEY=value`, build arguments included.
    pub env: Vec<String>,
    /// Proxy settings: in the environment, in no cache key and no history.
    #[serde(skip)]
    pub proxy_env: Vec<String>,
    /// Absolute.
    pub working_dir: String,
    /// `user[:group]`; empty: root.
    pub user: String,
    /// In the order written.
    pub mounts: Vec<Mount>,
    /// Network.
    pub network: Network,
    /// All capabilities and no confinement.
    pub insecure: bool,
}

/// A step's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Network {
    /// What the request says.
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// Something mounted for a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Absolute; empty for a secret that is only a variable.
    pub target: String,
    /// Read-only.
    pub readonly: bool,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum MountKind {
    /// Files of a context or a stage; writes are thrown away.
    Bind {
        /// Whose.
        from: Origin,
        /// Path there.
        source: String,
    },
    /// A directory that lives on between builds.
    Cache {
        /// Name.
        id: String,
        /// Initial content.
        from: Option<Origin>,
        /// Path in the initial content.
        source: String,
        /// How several builds share it.
        #[serde(serialize_with = "write_sharing")]
        sharing: Sharing,
        /// Permission bits of a new one.
        mode: u32,
        /// Owner of a new one.
        uid: u32,
        /// Group of a new one.
        gid: u32,
    },
    /// Memory.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
    },
    /// A file or variable that never enters the image.
    Secret {
        /// Name.
        id: String,
        /// The variable that gets it.
        env: Option<String>,
        /// An error when the client has none.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// The client's ssh agent.
    Ssh {
        /// Name.
        id: String,
        /// An error when the client has none.
        required: bool,
        /// Permission bits.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// An executable file of the Dockerfile itself.
    Inline {
        /// Content.
        content: String,
    },
}

fn write_sharing<S: serde::Serializer>(
    sharing: &Sharing,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match sharing {
        Sharing::Shared => "shared",
        Sharing::Private => "private",
        Sharing::Locked => "locked",
    })
}

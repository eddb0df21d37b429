//! Trees of files that a build reads: contexts, and the layers of stages and images.

use std::{path::PathBuf, sync::Arc};

use build::{error::WorkerError, worker::Tree};
use dockerfile::ignore::Patterns;
use store::Store;
use sys::dir::Dir;

use super::{Context, fault};

/// An open tree.
#[derive(Debug)]
pub struct Opened {
    /// Its root.
    pub root: Dir,
    /// What is left out.
    pub ignore: Patterns,
    /// Owners mean something (a root filesystem), or everything is root's (a context).
    pub owners: bool,
    /// Where it is on the host, for contexts.
    pub path: Option<PathBuf>,
    /// Keeps a context's files while they are read.
    _context: Option<Arc<Context>>,
}

impl Opened {
    /// A context's files.
    pub fn context(context: Arc<Context>) -> Result<Self, WorkerError> {
        Ok(Self {
            root: context.dir().try_clone().map_err(fault::file("open", "the build context"))?,
            ignore: context.ignored().clone(),
            owners: false,
            path: Some(context.path().to_owned()),
            _context: Some(context),
        })
    }

    /// Layers as one tree.
    pub fn layers(store: &Store, tree: &Tree) -> Result<Option<Self>, WorkerError> {
        let Tree::Layers(layers) = tree else { return Ok(None) };
        if layers.is_empty() {
            return Ok(None);
        }
        let paths: Vec<PathBuf> =
            layers.iter().rev().map(|layer| store.layer_path(layer)).collect();
        let root = sys::tree::view(&paths)
            .and_then(Dir::from_fd)
            .map_err(fault::file("open", "layers"))?;
        Ok(Some(Self {
            root,
            ignore: Patterns::default(),
            owners: true,
            path: None,
            _context: None,
        }))
    }

    /// A directory of the engine's own (a clone, a download).
    pub fn directory(path: &std::path::Path) -> Result<Self, WorkerError> {
        Ok(Self {
            root: Dir::open(path).map_err(fault::file("open", path.display()))?,
            ignore: Patterns::default(),
            owners: false,
            path: Some(path.to_owned()),
            _context: None,
        })
    }
}

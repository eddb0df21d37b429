//! Images: their verbs. The rules of names and removal are the store's.

mod changes;
mod hello;
mod import;
mod list;
mod load;
mod pull;
mod remove;
pub(crate) mod resolve;
mod types;

use std::sync::Arc;

pub use changes::apply as apply_change;
pub(crate) use pull::client as registries;
pub use types::*;

use crate::Engine;

/// Everything that can be asked of images.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

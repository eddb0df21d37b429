//! The words of Cale: validated ids, names, references, digests, specs, states and events.
//!
//! Owns the types that cross a seam between crates. Deliberately owns no I/O, no clock, no
//! randomness and no wire format of the Engine API (that is `api`): what is read from outside is
//! parsed here once, and from then on invalid values can't be written down.

pub mod container;
pub mod digest;
pub mod error;
pub mod event;
pub mod filter;
pub mod id;
pub mod image;
pub mod mount;
pub mod name;
pub mod network;
pub mod port;
pub mod reference;
pub mod resources;
pub mod state;

pub use digest::Digest;
pub use error::ErrorKind;
pub use id::{ContainerId, ExecId, NetworkId};
pub use reference::Reference;

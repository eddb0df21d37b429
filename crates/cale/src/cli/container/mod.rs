//! The flags of `run` and `create`, and the request they become.

pub mod body;
pub mod devices;
pub mod environment;
pub mod mounts;
pub mod networks;
pub mod options;
pub mod ports;

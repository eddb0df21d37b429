//! The supervision process: parent of every container and exec process of one engine.
//!
//! One small single-threaded process per exec-root. It starts processes from the runtime's plans, holds their standard streams,
//! writes their logs and records how they end. The promise: killing it, or the daemon, at any moment ends no container and loses no log
//! line and no exit code. See `docs/decisions/0120-keeper.md`.
//!
//! - [`protocol`]: what daemon and keeper say to each other; [`client`]: the daemon's side.
//! - [`log`]: the log formats, the writer and the reader that the daemon uses for `logs`.
//!
//! It doesn't know images, networks, the API or cgroups: those are the daemon's.

pub mod client;
mod exec_root;
mod journal;
pub mod log;
mod process;
pub mod protocol;
mod run;
mod server;
mod socket;
mod supervise;

/// Name of the control socket in the exec-root.
pub const SOCKET: &str = "keeper.sock";

pub use run::{Config, SpawnError, Spawned, run, run_with, spawn, spawn_command};
pub use server::launcher::{Launcher, Started};
pub use socket::SocketError;

//! Carrying a [`LaunchPlan`] out: one fork, then the steps in the child, then its program.
//!
//! ```text
//! launcher: prepare ─▶ clone ─▶ serve messages ─────────────────▶ Launched │ LaunchError
//! child:                  └─▶ steps … ─▶ [Ready, gate] ─▶ exec     (end of channel = started)
//! ```
//! Everything that needs memory is made before the fork (`launcher`); the child (`child` and its siblings) only makes
//! system calls and reports `(step, errno)` over a channel that closes on exec. The launcher makes the sentence (`error`).
//!
//! The child is a plain fork, not `CLONE_VM`: it may wait at its gate for ever while the launcher goes on, a child sharing
//! memory would share the launcher's "dumpable" flag with it, and couldn't unshare. From a small launcher it costs 0.1 ms.

mod child;
mod console;
mod copy_up;
mod devices;
mod error;
mod finish;
mod hide;
mod hook;
mod init;
mod launcher;
mod mappings;
mod mounts;
mod root;

pub use error::{Detail, LaunchError};
pub use launcher::{Launched, Quiet, Supervisor, launch, launch_with};

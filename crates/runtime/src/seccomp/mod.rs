//! System-call filters: from a profile to a classic BPF program.
//!
//! ```text
//! Docker profile (JSON) --Profile::resolve(&Context)--> LinuxSeccomp
//! LinuxSeccomp (also from a bundle) --compile(&LinuxSeccomp, Abi::native())--> Filter
//! Filter --Filter::load(), in the child, no allocation--> kernel (and the notify fd)
//! ```
//! [`Cache::filter`] does the first two steps once for equal input, so that a container
//! start only loads.
//!
//! Not here: the seccomp(2) call itself (`sys::seccomp`), and who listens to a notify fd.

mod arch;
mod assemble;
mod cache;
mod error;
mod filter;
mod numbers;
mod policy;
mod profile;
#[cfg(test)]
mod tests;

pub use arch::Abi;
pub use cache::{Cache, SocketFamilies, Source};
pub use error::SeccompError;
pub use filter::{Filter, compile};
pub use profile::{Context, Profile, kernel_version};

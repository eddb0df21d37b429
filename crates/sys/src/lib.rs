//! The fence: all `unsafe` and every raw kernel call of the project.
//!
//! One small wrapper per call, by topic. Descriptors are owned or borrowed, never bare numbers; errors are the kernel's
//! ([`Errno`]), and the caller, who knows the subject, makes the sentence. Functions that say so allocate nothing and may
//! be called between fork and exec.

pub mod bpf;
pub mod channel;
pub mod clone;
pub mod credentials;
pub mod dir;
pub mod epoll;
pub mod fifo;
pub mod file;
pub mod inherit;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod netns;
pub mod notify;

pub mod packet;
pub mod pidfd;
pub mod process;
pub mod random;
mod raw;
pub mod rooted;
pub mod seccomp;
pub mod session;
pub mod signal;
pub mod socket;
pub mod terminal;
pub mod trace;
pub mod tree;
pub mod tty;

pub use rustix::io::Errno;

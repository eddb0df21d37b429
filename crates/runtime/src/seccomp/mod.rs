//! System-call filters: from a profile to a classic BPF program.
//!
//! ```text
//! Docker profile (JSON) --Profile::resolve(&Context)--> LinuxSeccomp
//! LinuxSeccomp (also from a bundle) --compile(&LinuxSeccomp, Arch::native())--> Filter
//! Filter --Filter::load(), in the child, no allocation--> kernel (and the notify fd)
//! ```
//! `Cache` keeps compiled filters, so that a container start only loads one.
//!
//! Not here: the seccomp(2) call itself (`sys::seccomp`), and who listens to a notify fd.

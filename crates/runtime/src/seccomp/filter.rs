//! A compiled filter, ready to load.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use sys::seccomp::{FilterFlags, Instruction};

use crate::spec::{LinuxSeccomp, LinuxSyscall, SeccompAction, SeccompFlag};

use super::SeccompError;
use super::arch::Abi;
use super::assemble::{Section, assemble};
use super::policy::{invalid, ranges};

/// The kernel's limit, `BPF_MAXINSNS`.
const MAX_INSTRUCTIONS: usize = 4096;

/// A classic BPF program and the flags to load it with. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    instructions: Arc<[Instruction]>,
    flags: FilterFlags,
}

impl Filter {
    /// The program.
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// Flags for seccomp(2), `NEW_LISTENER` included when a rule notifies.
    pub fn flags(&self) -> FilterFlags {
        self.flags
    }

    /// Whether loading makes a notify fd.
    pub fn notifies(&self) -> bool {
        self.flags.contains(FilterFlags::NEW_LISTENER)
    }

    /// Installs the filter on the calling thread. To be called in the container's
    /// process, as late as possible: after capabilities when no_new_privs is set, before
    /// them otherwise (loading then needs `CAP_SYS_ADMIN`). Allocates nothing.
    ///
    /// # Errors
    /// As [`sys::seccomp::load`].
    pub fn load(&self) -> Result<Option<OwnedFd>, sys::Errno> {
        sys::seccomp::load(&self.instructions, self.flags)
    }

    /// The filter as bytes for another process on this machine: flags, then eight bytes
    /// an instruction, in native byte order.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.instructions.len() * 8);
        bytes.extend_from_slice(&self.flags.0.to_ne_bytes());
        for instruction in self.instructions.iter() {
            bytes.extend_from_slice(&instruction.code.to_ne_bytes());
            bytes.extend_from_slice(&[instruction.jump_true, instruction.jump_false]);
            bytes.extend_from_slice(&instruction.operand.to_ne_bytes());
        }
        bytes
    }

    /// The reverse of [`Self::to_bytes`]; `None` if the length doesn't fit. The kernel
    /// checks the program itself.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (flags, program) = bytes.split_first_chunk::<4>()?;
        let (chunks, rest) = program.as_chunks::<8>();
        let instructions = chunks
            .iter()
            .map(|&[c0, c1, jump_true, jump_false, k0, k1, k2, k3]| Instruction {
                code: u16::from_ne_bytes([c0, c1]),
                jump_true,
                jump_false,
                operand: u32::from_ne_bytes([k0, k1, k2, k3]),
            })
            .collect();
        let flags = FilterFlags(u32::from_ne_bytes(*flags));
        rest.is_empty().then_some(Self { instructions, flags })
    }
}

/// Compiles `linux.seccomp` for a machine whose native architecture is `native`.
///
/// Names that an architecture lacks are ignored, as runc does; calls newer than all that
/// the profile names fail with `ENOSYS` if the default is to refuse. `policy.rs` has the
/// details.
///
/// # Errors
/// [`SeccompError::Invalid`] for an argument index above 5, an errno out of range or
/// where it has no meaning, or a notify action that would deadlock;
/// [`SeccompError::TooLong`] above 4096 instructions.
pub fn compile(profile: &LinuxSeccomp, native: Abi) -> Result<Filter, SeccompError> {
    compile_with(profile, &[], native)
}

/// As [`compile`], with rules of the engine that come before all of the profile's.
pub(super) fn compile_with(
    profile: &LinuxSeccomp,
    first: &[LinuxSyscall],
    native: Abi,
) -> Result<Filter, SeccompError> {
    check_notify(profile)?;
    let mut abis: Vec<Abi> = vec![native];
    for arch in &profile.architectures {
        match Abi::of_spec(*arch, native) {
            Some(abi) if !abis.contains(&abi) => abis.push(abi),
            _ => {}
        }
    }
    let x32 = abis.contains(&Abi::X32);
    let sections = abis
        .into_iter()
        .filter(|abi| *abi != Abi::X32)
        .map(|abi| {
            let x32 = x32 && abi == Abi::X86_64;
            Ok(Section { abi, x32, ranges: ranges(profile, first, abi, x32)? })
        })
        .collect::<Result<Vec<_>, SeccompError>>()?;
    let instructions = assemble(&sections);
    if instructions.len() > MAX_INSTRUCTIONS {
        return Err(SeccompError::TooLong { instructions: instructions.len() });
    }
    Ok(Filter { instructions: instructions.into(), flags: flags(profile) })
}

/// A notified call waits for the listener. The default action can't notify, nor can
/// write(2): the child needs both to hand the listener's fd over (as runc refuses).
fn check_notify(profile: &LinuxSeccomp) -> Result<(), SeccompError> {
    if profile.default_action == SeccompAction::Notify {
        return Err(invalid("SCMP_ACT_NOTIFY can't be the default action".into()));
    }
    let writes = profile
        .syscalls
        .iter()
        .filter(|rule| rule.action == SeccompAction::Notify)
        .any(|rule| rule.names.iter().any(|name| name == "write"));
    if writes {
        return Err(invalid("SCMP_ACT_NOTIFY can't be used for write".into()));
    }
    Ok(())
}

fn flags(profile: &LinuxSeccomp) -> FilterFlags {
    let mut flags = FilterFlags::default();
    for flag in &profile.flags {
        flags = flags.with(match flag {
            SeccompFlag::Tsync => FilterFlags::TSYNC,
            SeccompFlag::Log => FilterFlags::LOG,
            SeccompFlag::SpecAllow => FilterFlags::SPEC_ALLOW,
            SeccompFlag::WaitKillableRecv => FilterFlags::WAIT_KILLABLE_RECV,
        });
    }
    if profile.syscalls.iter().any(|rule| rule.action == SeccompAction::Notify) {
        flags = flags.with(FilterFlags::NEW_LISTENER);
        if flags.contains(FilterFlags::TSYNC) {
            flags = flags.with(FilterFlags::TSYNC_ESRCH);
        }
    }
    flags
}

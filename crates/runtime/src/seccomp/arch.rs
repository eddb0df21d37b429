//! Architectures a filter can cover: names, audit numbers, width, byte order, tables.
//!
//! An [`Abi`] is one column of the number table. x32 shares its audit number with
//! x86_64 and is told apart by a bit of the call number.

use crate::spec::SeccompArch;

use super::numbers::NUMBERS;

/// Bit of the call number that marks x32, `__X32_SYSCALL_BIT`.
pub(super) const X32_BIT: u32 = 0x4000_0000;

/// A calling convention with its own call numbers. The order is that of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Abi {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
    Riscv64,
    Loongarch64,
    S390x,
    Ppc64le,
}

impl Abi {
    /// The one this program was built for.
    pub const fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else if cfg!(target_arch = "loongarch64") {
            Self::Loongarch64
        } else if cfg!(target_arch = "s390x") {
            Self::S390x
        } else if cfg!(target_arch = "powerpc64") {
            Self::Ppc64le
        } else {
            Self::X86_64
        }
    }

    /// From the specification's name; `None` where there is no number table. The kernel
    /// of a machine with a table never runs a call of one without, so nothing is lost.
    pub fn of_spec(arch: SeccompArch, native: Self) -> Option<Self> {
        Some(match arch {
            SeccompArch::Native => native,
            SeccompArch::X86_64 => Self::X86_64,
            SeccompArch::X86 => Self::X86,
            SeccompArch::X32 => Self::X32,
            SeccompArch::Aarch64 => Self::Aarch64,
            SeccompArch::Arm => Self::Arm,
            SeccompArch::Riscv64 => Self::Riscv64,
            SeccompArch::Loongarch64 => Self::Loongarch64,
            SeccompArch::S390x => Self::S390x,
            SeccompArch::Ppc64le => Self::Ppc64le,
            SeccompArch::S390
            | SeccompArch::Ppc
            | SeccompArch::Ppc64
            | SeccompArch::Mips
            | SeccompArch::Mips64
            | SeccompArch::Mips64n32
            | SeccompArch::Mipsel
            | SeccompArch::Mipsel64
            | SeccompArch::Mipsel64n32
            | SeccompArch::Parisc
            | SeccompArch::Parisc64 => return None,
        })
    }

    /// The specification's name.
    pub fn to_spec(self) -> SeccompArch {
        match self {
            Self::X86_64 => SeccompArch::X86_64,
            Self::X86 => SeccompArch::X86,
            Self::X32 => SeccompArch::X32,
            Self::Aarch64 => SeccompArch::Aarch64,
            Self::Arm => SeccompArch::Arm,
            Self::Riscv64 => SeccompArch::Riscv64,
            Self::Loongarch64 => SeccompArch::Loongarch64,
            Self::S390x => SeccompArch::S390x,
            Self::Ppc64le => SeccompArch::Ppc64le,
        }
    }

    /// The name that Docker's profile format uses in `includes.arches`.
    pub fn docker_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::X86 => "x86",
            Self::X32 => "x32",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
            Self::Riscv64 => "riscv64",
            Self::Loongarch64 => "loong64",
            Self::S390x => "s390x",
            Self::Ppc64le => "ppc64le",
        }
    }

    /// `AUDIT_ARCH_*` of linux/audit.h, which the kernel puts into `seccomp_data.arch`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
            Self::Loongarch64 => 0xc000_0102,
            Self::S390x => 0x8000_0016,
            Self::Ppc64le => 0xc000_0015,
        }
    }

    /// Whether arguments are 64 bits wide. x32 passes them in 64-bit registers.
    pub(super) fn is_64_bit(self) -> bool {
        !matches!(self, Self::X86 | Self::Arm)
    }

    /// Offset of the low half of argument `index` in `struct seccomp_data`; the high half
    /// is at the other one.
    pub(super) fn argument_halves(self, index: u32) -> (u32, u32) {
        let base = 16 + 8 * index;
        if self == Self::S390x { (base + 4, base) } else { (base, base + 4) }
    }

    /// Number of a call by name, x32 without its bit.
    pub(super) fn number(self, name: &str) -> Option<u32> {
        let row = NUMBERS.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        u32::try_from(NUMBERS[row].1[self as usize]).ok()
    }
}

/// Calls that some architectures also (or only) reach through a multiplexer:
/// `(multiplexer, first argument)`, from linux/net.h and linux/ipc.h.
pub(super) fn multiplexed(name: &str) -> Option<(&'static str, u64)> {
    const SOCKET: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u64); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if let Some(at) = SOCKET.iter().position(|call| *call == name) {
        return Some(("socketcall", at as u64 + 1));
    }
    IPC.iter().find(|(call, _)| *call == name).map(|(_, code)| ("ipc", *code))
}

#[cfg(test)]
mod tests {
    use super::super::numbers::NUMBERS;
    use super::*;

    #[test]
    fn table_is_sorted_and_right_at_known_points() {
        assert!(NUMBERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(Abi::X86_64.number("clone3"), Some(435));
        assert_eq!(Abi::X86_64.number("socketcall"), None);
        assert_eq!(Abi::X86.number("socketcall"), Some(102));
        assert_eq!(Abi::X32.number("rt_sigaction"), Some(512));
        assert_eq!(Abi::Aarch64.number("openat"), Some(56));
        assert_eq!(Abi::Arm.number("set_tls"), Some(983_045));
        assert_eq!(Abi::X86_64.number("no_such_call"), None);
    }

    #[test]
    fn x32_agrees_with_x86_64_below_its_own_range() {
        // The compiler serves both from one tree; this is what makes that right.
        for (name, row) in &NUMBERS {
            let (wide, x32) = (row[Abi::X86_64 as usize], row[Abi::X32 as usize]);
            if (0..512).contains(&x32) {
                assert_eq!(wide, x32, "{name}");
            }
            assert!(wide < 512, "{name}");
        }
    }

    #[test]
    fn multiplexers() {
        assert_eq!(multiplexed("socket"), Some(("socketcall", 1)));
        assert_eq!(multiplexed("sendmmsg"), Some(("socketcall", 20)));
        assert_eq!(multiplexed("shmctl"), Some(("ipc", 24)));
        assert_eq!(multiplexed("read"), None);
    }
}

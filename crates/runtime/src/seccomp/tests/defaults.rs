//! The built-in profile: what containers may and may not do.

use super::super::arch::Abi;
use super::super::{Cache, Context, Filter, Profile, SocketFamilies, Source};
use super::interpret::{Call, check, run};
use super::naive;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;
const CAPS: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

pub fn context() -> Context {
    Context { native: Abi::X86_64, ..Context::new(CAPS, (6, 1)) }
}

pub fn filter(families: SocketFamilies) -> Filter {
    Cache::default().filter(Source::Default, &context(), families).unwrap()
}

fn ask(filter: &Filter, abi: Abi, name: &str, args: &[u64]) -> u32 {
    let bit = if abi == Abi::X32 { 0x4000_0000 } else { 0 };
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let number = abi.number(name).unwrap() | bit;
    run(filter.instructions(), &Call { arch: abi.audit(), number, args: all })
}

#[test]
fn is_small_and_valid() {
    let filter = filter(SocketFamilies::Closed);
    check(filter.instructions());
    // x86_64, x32 and i386 together; libseccomp makes 1001 (linear) or 1246 (tree).
    assert!(filter.instructions().len() <= 640, "{}", filter.instructions().len());
}

#[test]
fn agrees_with_the_literal_reading_everywhere() {
    let spec = Profile::docker_default().resolve(&context()).unwrap();
    let filter = super::super::compile(&spec, Abi::X86_64).unwrap();
    let abis = [Abi::X86_64, Abi::X86, Abi::X32];
    for arch in [0xc000_003e, 0x4000_0003, 0xc000_00b7] {
        for number in (0..600).chain(0x4000_0000..0x4000_0258).chain([u32::MAX]) {
            for first in [0, 8, 16, 38, 39, 40, 41, 0x7e02_0000, 0xffff_ffff, 1 << 32] {
                let call = Call { arch, number, args: [first, 0, 0, 0, 0, 0] };
                assert_eq!(
                    run(filter.instructions(), &call),
                    naive::decide(&spec, &abis, &call),
                    "{call:x?}"
                );
            }
        }
    }
}

#[test]
fn well_known_calls() {
    let filter = filter(SocketFamilies::AsProfiled);
    for abi in [Abi::X86_64, Abi::X86, Abi::X32] {
        for name in ["read", "execve", "openat2", "futex", "ptrace", "chroot"] {
            assert_eq!(ask(&filter, abi, name, &[]), ALLOW, "{abi:?} {name}");
        }
        for name in ["mount", "bpf", "unshare", "keyctl", "io_uring_setup", "init_module", "setns"]
        {
            assert_eq!(ask(&filter, abi, name, &[]), EPERM, "{abi:?} {name}");
        }
        // A libc falls back from clone3 to clone, whose flags can be seen.
        assert_eq!(ask(&filter, abi, "clone3", &[]), ENOSYS);
        assert_eq!(ask(&filter, abi, "clone", &[0x11]), ALLOW);
        assert_eq!(ask(&filter, abi, "clone", &[0x1000_0000]), EPERM);
        assert_eq!(ask(&filter, abi, "personality", &[0xffff_ffff]), ALLOW);
        assert_eq!(ask(&filter, abi, "personality", &[1]), EPERM);
    }
}

#[test]
fn calls_of_the_future_do_not_exist() {
    let filter = filter(SocketFamilies::AsProfiled);
    for (arch, number) in [
        (0xc000_003e, 490),
        (0x4000_0003, 490),
        (0xc000_003e, 0x4000_01f0),
        (0xc000_003e, u32::MAX),
    ] {
        let call = Call { arch, number, args: [0; 6] };
        assert_eq!(run(filter.instructions(), &call), ENOSYS, "{call:x?}");
    }
}

#[test]
fn a_foreign_architecture_dies() {
    let call = Call { arch: 0xc000_00b7, number: 0, args: [0; 6] };
    assert_eq!(run(filter(SocketFamilies::AsProfiled).instructions(), &call), 0x8000_0000);
}

#[test]
fn risky_socket_families() {
    for families in [SocketFamilies::AsProfiled, SocketFamilies::Closed] {
        let filter = filter(families);
        for abi in [Abi::X86_64, Abi::X86, Abi::X32] {
            for (family, expected) in
                [(2, ALLOW), (16, ALLOW), (39, ALLOW), (38, EPERM), (40, EPERM), (41, ALLOW)]
            {
                assert_eq!(ask(&filter, abi, "socket", &[family]), expected, "{abi:?} {family}");
            }
        }
        // The kernel truncates the family; a filter that compares 64 bits lets it pass.
        for family in [38, 40] {
            assert_eq!(ask(&filter, Abi::X86_64, "socket", &[1 << 32 | family]), EPERM);
        }
        let closed = families == SocketFamilies::Closed;
        assert_eq!(ask(&filter, Abi::X86, "socketcall", &[1]), if closed { EPERM } else { ALLOW });
        assert_eq!(ask(&filter, Abi::X86, "socketcall", &[3]), ALLOW);
    }
}

#[test]
fn closing_works_on_a_profile_that_allows_all() {
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["socket","socketcall"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let cache = Cache::default();
    let of = |families| cache.filter(Source::Json(json), &context(), families).unwrap();
    assert_eq!(ask(&of(SocketFamilies::AsProfiled), Abi::X86_64, "socket", &[38]), ALLOW);
    assert_eq!(ask(&of(SocketFamilies::Closed), Abi::X86_64, "socket", &[38]), EPERM);
}

#[test]
fn the_cache_tells_contexts_apart() {
    let cache = Cache::default();
    let of = |caps: &[&str]| {
        let context = Context { native: Abi::X86_64, ..Context::new(caps.iter().copied(), (6, 1)) };
        cache.filter(Source::Default, &context, SocketFamilies::AsProfiled).unwrap()
    };
    assert_eq!(ask(&of(&[]), Abi::X86_64, "mount", &[]), EPERM);
    assert_eq!(ask(&of(&["CAP_SYS_ADMIN"]), Abi::X86_64, "mount", &[]), ALLOW);
    assert_eq!(ask(&of(&[]), Abi::X86_64, "mount", &[]), EPERM);
    assert!(std::ptr::eq(of(&[]).instructions(), of(&[]).instructions()));
}

//! The real kernel runs the filters: in a thread of its own, or in a copy of this test
//! program where the filter kills.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

use super::super::{Abi, Cache, Filter};
use super::super::{Context, SocketFamilies, Source};
use super::defaults::filter;

/// Runs `test` in a thread that has loaded `filter`; the filter ends with the thread.
fn confined<T: Send>(filter: &Filter, test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            filter.load().unwrap();
            test()
        });
        confined.join().unwrap()
    })
}

#[test]
fn the_default_profile_works() {
    let filter = filter(SocketFamilies::AsProfiled);
    confined(&filter, || {
        assert!(std::fs::read_to_string("/proc/self/status").is_ok());
        let open = |family| socket(AddressFamily::from_raw(family), SocketType::STREAM, None);
        assert!(open(2).is_ok() && open(1).is_ok());
        assert_eq!(open(38).unwrap_err(), Errno::PERM);
        assert_eq!(open(40).unwrap_err(), Errno::PERM);
        assert_eq!(
            rustix::mount::unmount("/nowhere", rustix::mount::UnmountFlags::empty()),
            Err(Errno::PERM)
        );
        // The child of a fork is filtered too, and can exec.
        let output = Command::new("/bin/sh")
            .args(["-c", "grep Seccomp: /proc/self/status"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "Seccomp:\t2");
    });
}

#[test]
fn a_notify_fd_is_made() {
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_NOTIFY"}]}"#;
    let filter = custom(json);
    std::thread::spawn(move || {
        let listener = filter.load().unwrap();
        assert!(listener.is_some());
        assert_eq!(filter.load().unwrap_err(), Errno::BUSY, "one listener only");
    })
    .join()
    .unwrap();
    let twice = custom(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW"]}"#,
    );
    assert!(confined(&twice, || twice.load().unwrap().is_none()));
}

fn custom(json: &str) -> Filter {
    let context = Context { native: Abi::native(), ..Context::new([], (6, 1)) };
    Cache::default().filter(Source::Json(json), &context, SocketFamilies::AsProfiled).unwrap()
}

const CHILD: &str = "CALE_TEST_SECCOMP_PROFILE";

/// Not a test of its own: `ends_of_a_process` starts it in a new process.
#[test]
fn child_that_calls_uname() {
    let Ok(json) = std::env::var(CHILD) else { return };
    custom(&json).load().unwrap();
    let uname = rustix::system::uname();
    assert!(!uname.release().is_empty());
}

#[test]
fn ends_of_a_process() {
    let end = |action: &str, name: &str| {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["{name}"],"action":"{action}"}}]}}"#
        );
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "seccomp::tests::kernel::child_that_calls_uname"])
            .env(CHILD, json)
            .output()
            .unwrap()
            .status
    };
    const SIGSYS: i32 = 31;
    assert!(end("SCMP_ACT_LOG", "uname").success());
    assert!(end("SCMP_ACT_KILL_PROCESS", "mount").success());
    assert_eq!(end("SCMP_ACT_KILL_PROCESS", "uname").signal(), Some(SIGSYS));
    assert_eq!(end("SCMP_ACT_TRAP", "uname").signal(), Some(SIGSYS));
}

/// A generous bound: the machine that runs tests may be busy. Run with `--nocapture` for
/// the figures.
#[test]
fn loading_is_fast() {
    let cache = Cache::default();
    let compile = || {
        let start = Instant::now();
        let context = super::defaults::context();
        let filter = cache.filter(Source::Default, &context, SocketFamilies::Closed).unwrap();
        (filter, start.elapsed())
    };
    let ((filter, first), (_, again)) = (compile(), compile());
    println!("compiled in {first:?}, from the cache in {again:?}");
    let mut times: Vec<Duration> = (0..40)
        .map(|_| {
            confined(&filter, || {
                let start = Instant::now();
                filter.load().unwrap();
                start.elapsed()
            })
        })
        .collect();
    times.sort();
    println!(
        "{} instructions, load min {:?} median {:?}",
        filter.instructions().len(),
        times[0],
        times[20]
    );
    assert!(times[0] < Duration::from_millis(2), "{:?}", times[0]);
}

/// A 32-bit x86 program that makes one call and exits with the error, or with 256 minus
/// the result. Hand-assembled: no 32-bit compiler is needed to test.
fn i386_program(number: u32, args: [u32; 3], data: [u32; 3]) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let mut code = Vec::new();
    // mov eax, ebx, ecx, edx; int 0x80; neg eax; mov ebx, eax; mov eax, 1; int 0x80
    for (operation, value) in [(0xb8, number), (0xbb, args[0]), (0xb9, args[1]), (0xba, args[2])] {
        code.push(operation);
        code.extend_from_slice(&value.to_le_bytes());
    }
    code.extend_from_slice(&[0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    let size = HEADERS + code.len() as u32 + 12;
    let mut file = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend_from_slice(&[2, 0, 3, 0]);
    for word in [1, BASE + HEADERS, 52, 0, 0] {
        file.extend_from_slice(&u32::to_le_bytes(word));
    }
    for half in [52u16, 32, 1, 0, 0, 0] {
        file.extend_from_slice(&half.to_le_bytes());
    }
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        file.extend_from_slice(&u32::to_le_bytes(word));
    }
    file.extend_from_slice(&code);
    data.iter().for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
    file
}

#[test]
fn thirty_two_bit_programs_make_no_risky_sockets() {
    const AF_INET: u32 = 2;
    const AF_ALG: u32 = 38;
    const SOCKETCALL: u32 = 102;
    const SOCKET: u32 = 359;
    const EPERM: i32 = 1;
    /// Where `data` of [`i386_program`] lies: after headers and code.
    const DATA: u32 = 0x0804_8000 + 84 + 33;
    let directory = tempfile::TempDir::new().unwrap();
    let run = |filter: &Filter, number, family| {
        let (kind, path) = (2, directory.path().join(format!("{number}-{family}")));
        let args = if number == SOCKETCALL { [1, DATA, 0] } else { [family, kind, 0] };
        std::fs::write(&path, i386_program(number, args, [family, kind, 0])).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&path, mode).unwrap();
        confined(filter, || {
            loop {
                match Command::new(&path).status() {
                    // Another test's fork holds the file's descriptor for a moment.
                    Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                    other => return other.ok().and_then(|status| status.code()),
                }
            }
        })
    };
    let (open, closed) = (filter(SocketFamilies::AsProfiled), filter(SocketFamilies::Closed));
    let Some(plain) = run(&open, SOCKET, AF_INET) else {
        println!("skipped: this kernel runs no 32-bit programs");
        return;
    };
    assert!(plain > 200, "a descriptor: {plain}");
    assert!(run(&open, SOCKETCALL, AF_INET).unwrap() > 200);
    assert_eq!(run(&open, SOCKET, AF_ALG), Some(EPERM));
    // What no filter can see, and why the hardened profile shuts the door.
    assert_ne!(run(&open, SOCKETCALL, AF_ALG), Some(EPERM));
    assert!(run(&closed, SOCKET, AF_INET).unwrap() > 200);
    assert_eq!(run(&closed, SOCKET, AF_ALG), Some(EPERM));
    assert_eq!(run(&closed, SOCKETCALL, AF_ALG), Some(EPERM));
    assert_eq!(run(&closed, SOCKETCALL, AF_INET), Some(EPERM));
}

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
    let filter = filter(SocketFamilies::Closed);
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

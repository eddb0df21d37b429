//! Real containers under the keeper: a busybox root, the runtime's plan, pid and mount namespaces of their own.
//!
//! Needs root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use harness::{Bench, PIPES, TTY, eventually, id};
use keeper::client::{ClientError, Launched};
use keeper::log::LogConfig;
use keeper::protocol::{
    AttachSpec, Failure, Framing, Io, Launch, Phase, Plan, StartFailure, TaskId,
};
use model::state::ExitStatus;
use runtime::plan::{FdRole, HostFacts, PlanContext};
use serde_json::{Value, json};

const STDIO: [FdRole; 3] = [FdRole::Stdin, FdRole::Stdout, FdRole::Stderr];

fn make_root(base: &Path) -> PathBuf {
    let root = base.join("rootfs");
    for name in ["bin", "etc", "proc", "dev", "tmp"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "sleep", "usleep", "tty", "grep", "ps", "id"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    root
}

fn process(args: &[&str], terminal: bool) -> Value {
    json!({"args": args, "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "terminal": terminal})
}

fn container_plan(base: &Path, args: &[&str], io: Io) -> Plan {
    let terminal = matches!(io, Io::Tty { .. });
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": process(args, terminal),
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
        ],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
    });
    let context = PlanContext {
        id: "test".into(),
        bundle: base.into(),
        host: HostFacts::detect(),
        fds: if terminal { vec![] } else { STDIO.to_vec() },
        ..PlanContext::default()
    };
    let plan = runtime::plan::plan(&serde_json::from_value(spec).unwrap(), &context).unwrap();
    Plan::Container(plan.encode().unwrap())
}

fn exec_plan(container: &Launched, args: &[&str], io: Io) -> Plan {
    let terminal = matches!(io, Io::Tty { .. });
    let stdio = if terminal { vec![] } else { STDIO.to_vec() };
    let context = runtime::exec::ExecContext {
        id: "test".into(),
        fds: [stdio, vec![FdRole::Process]].concat(),
        namespaces: runtime::exec::foreign_namespaces(container.pid.cast_signed()).unwrap(),
        host: HostFacts::detect(),
        ..runtime::exec::ExecContext::default()
    };
    let process = serde_json::from_value(process(args, terminal)).unwrap();
    Plan::Exec(runtime::exec::plan(&process, &context).unwrap().encode().unwrap())
}

fn start(bench: &mut Bench, name: &str, io: Io, script: &str) -> Launched {
    let log = LogConfig::json_file(bench.log_path(name));
    let plan = container_plan(bench.root(), &["sh", "-c", script], io);
    let launch = Launch { id: id(name), plan, io, log, attaches: vec![] };
    let launched = bench.client().launch(launch, &[]).unwrap();
    keep(bench, id(name), &launched);
    launched
}

fn keep(bench: &mut Bench, task: TaskId, launched: &Launched) {
    let copy = |fd: &Option<std::os::fd::OwnedFd>| fd.as_ref().map(|fd| fd.try_clone().unwrap());
    let anchors = keeper::client::Anchors {
        pidfd: copy(&launched.anchors.pidfd),
        stdin: copy(&launched.anchors.stdin),
        stdout: copy(&launched.anchors.stdout),
        stderr: copy(&launched.anchors.stderr),
        tty: copy(&launched.anchors.tty),
    };
    bench.anchors.insert(task, anchors);
}

fn read_all(mut file: File) -> String {
    sys::fifo::set_nonblocking(&file, false).unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

fn pair() -> (File, File) {
    let (ours, theirs) = sys::packet::stream_pair().unwrap();
    (File::from(ours), File::from(theirs))
}

#[test]
fn a_container_runs_with_execs_beside_it() {
    let mut bench = Bench::with_containers();
    make_root(bench.root());
    let script = "trap 'echo bye; exit 9' TERM; echo pid $$; echo reopened > /dev/stderr; while :; do usleep 1000; done";
    // /dev/stderr needs /dev: the spec's tmpfs is empty, so through /proc.
    let script = script.replace("/dev/stderr", "/proc/self/fd/2");
    let container = start(&mut bench, "c", PIPES, &script);
    eventually("it runs", || bench.log("c").contains("reopened\n"));
    assert!(bench.log("c").contains("pid 1\n"));

    // Output, input and code of an exec; then one with a terminal; then one with descriptors of its own.
    let (mut ours, theirs) = pair();
    let spec =
        AttachSpec { stdin: true, close_stdin_at_eof: true, ..AttachSpec::output(Framing::Raw) };
    let pidfd = container.anchors.pidfd.as_ref().unwrap();
    let exec = |name: &str, io, args: &[&str], attaches| Launch {
        id: TaskId::exec("c", name).unwrap(),
        plan: exec_plan(&container, args, io),
        io,
        log: LogConfig::none(),
        attaches,
    };
    let fds: [BorrowedFd<'_>; 2] = [pidfd.as_fd(), theirs.as_fd()];
    let args = ["sh", "-c", "echo exec; cat; exit 4"];
    let launch = exec("e1", PIPES, &args, vec![spec]);
    // The anchors are dropped at once: they would keep stdin open.
    drop(bench.client().launch(launch, &fds).unwrap());
    drop(theirs);
    ours.write_all(b"typed\n").unwrap();
    std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(ours.try_clone().unwrap()))
        .shutdown(std::net::Shutdown::Write)
        .unwrap();
    assert_eq!(read_all(ours), "exec\ntyped\n");

    let (ours, theirs) = pair();
    let attach = AttachSpec::output(Framing::Raw);
    let launch = exec("e2", TTY, &["tty"], vec![attach]);
    bench.client().launch(launch, &[pidfd.as_fd(), theirs.as_fd()]).unwrap();
    drop(theirs);
    assert_eq!(read_all(ours), "/dev/pts/0\r\n");

    let (ours, theirs) = pair();
    let launch = exec("e3", Io::Passed, &["sh", "-c", "echo own"], vec![]);
    let fds = [theirs.as_fd(), theirs.as_fd(), theirs.as_fd(), pidfd.as_fd()];
    bench.client().launch(launch, &fds).unwrap();
    drop(theirs);
    assert_eq!(read_all(ours), "own\n");

    bench.client().signal(&id("c"), 15).unwrap();
    assert_eq!(bench.wait_code("c"), ExitStatus::Code(9));
    assert!(bench.log("c").ends_with("bye\n"));
    let tasks = bench.client().inventory().unwrap();
    let code = |name: &str| {
        let task = TaskId::exec("c", name).unwrap();
        let (report, _) = tasks.iter().find(|(report, _)| report.id == task).unwrap();
        report.exit.as_ref().unwrap().status
    };
    assert_eq!(
        ["e1", "e2", "e3"].map(code),
        [ExitStatus::Code(4), ExitStatus::Code(0), ExitStatus::Code(0)]
    );
}

#[test]
fn nothing_of_the_keeper_leaks_into_a_container() {
    let mut bench = Bench::with_containers();
    make_root(bench.root());
    let script = "for fd in /proc/self/fd/*; do echo fd ${fd##*/}; done; exec grep -E 'SigIgn|SigBlk' /proc/self/status";
    start(&mut bench, "c", PIPES, script);
    bench.wait("c");
    let log = bench.log("c");
    // The shell's own glob has the directory open as 3.
    let fds: Vec<_> = log.lines().filter_map(|line| line.strip_prefix("fd ")).collect();
    assert!(fds.iter().all(|fd| ["0", "1", "2", "3"].contains(fd)), "{log}");
    // Rust programs ignore SIGPIPE, and glibc's posix_spawn leaves 32 and 33 ignored.
    let none = "0000000000000000";
    assert!(log.contains(&format!("SigIgn:\t{none}")), "{log}");
    assert!(log.contains(&format!("SigBlk:\t{none}")), "{log}");
}

#[test]
fn a_container_survives_its_keeper_with_terminal_and_without() {
    let mut bench = Bench::with_containers();
    make_root(bench.root());
    let count = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; usleep 500; done; exit 11";
    start(&mut bench, "pipes", PIPES, count);
    start(&mut bench, "tty", TTY, count);
    for _ in 0..12 {
        std::thread::sleep(std::time::Duration::from_millis(17));
        bench.kill_keeper();
        bench.start();
        assert_eq!(bench.phase("pipes"), Phase::Running);
    }
    for name in ["pipes", "tty"] {
        assert_eq!(bench.wait_code(name), ExitStatus::Code(11), "{name}");
        let log = bench.log(name);
        let numbers = log.lines().map(|line| line.trim_end().strip_prefix("line ").unwrap());
        assert!(numbers.map(|n| n.parse::<u32>().unwrap()).eq(1..=400), "{name}");
    }
}

#[test]
fn a_program_that_is_missing_is_told_from_one_that_is_none() {
    let mut bench = Bench::with_containers();
    make_root(bench.root());
    for (program, expected, words) in [
        ("nope", StartFailure::NotFound, "executable file not found in $PATH"),
        ("/etc", StartFailure::NotExecutable, "is a directory"),
    ] {
        let plan = container_plan(bench.root(), &[program], PIPES);
        let log = LogConfig::none();
        let launch = Launch { id: id("c"), plan, io: PIPES, log, attaches: vec![] };
        match bench.client().launch(launch, &[]) {
            Err(ClientError::Refused { source: Failure::Start { report, kind, .. } }) => {
                assert_eq!(kind, expected);
                assert!(report.contains(words), "{report}");
            }
            other => panic!("{other:?}"),
        }
    }
    let launch = Launch {
        id: id("c"),
        plan: Plan::Container(vec![0xff; 9]),
        io: PIPES,
        log: LogConfig::none(),
        attaches: vec![],
    };
    assert!(matches!(
        bench.client().launch(launch, &[]),
        Err(ClientError::Refused { source: Failure::PlanUnreadable })
    ));
    assert!(bench.client().inventory().unwrap().is_empty());
}

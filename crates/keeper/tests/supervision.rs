//! The keeper as a process: starting, output, input, ends, and what its clients are told.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use harness::{Bench, PIPES, TTY, eventually, id, read_log, shell};
use keeper::client::{Client, ClientError};
use keeper::log::{Driver, LogConfig};
use keeper::protocol::{
    AttachSpec, DetachReason, Event, Failure, Framing, Io, Launch, Phase, SlowReader, StartFailure,
    TaskId, WindowSize,
};
use model::state::ExitStatus;

fn read_all(mut file: File) -> Vec<u8> {
    sys::fifo::set_nonblocking(&file, false).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

fn pair() -> (File, File) {
    let (ours, theirs) = sys::packet::stream_pair().unwrap();
    (File::from(ours), File::from(theirs))
}

#[test]
fn output_is_logged_and_the_code_recorded() {
    let mut bench = Bench::new();
    bench.launch("a", PIPES, "echo out; echo err >&2; printf 'no newline'; exit 7");
    let exit = bench.wait("a");
    assert_eq!((exit.status, exit.core_dumped), (ExitStatus::Code(7), false));
    let log = bench.log("a");
    let mut lines: Vec<_> = log.split_inclusive('\n').collect();
    lines.sort_unstable();
    assert_eq!(lines.concat().matches("no newline").count(), 1);
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    let text = std::fs::read_to_string(bench.log_path("a")).unwrap();
    assert!(text.contains("{\"log\":\"err\\n\",\"stream\":\"stderr\",\"time\":\""), "{text}");
    assert!(text.contains("{\"log\":\"no newline\",\"stream\":\"stdout\","), "{text}");

    assert_eq!(bench.phase("a"), Phase::Ended);
    assert!(bench.root().join("io/a/exit").exists());
    bench.client().forget(&id("a")).unwrap();
    assert!(!bench.root().join("io/a").exists());
    assert!(bench.client().inventory().unwrap().is_empty());
}

#[test]
fn a_signal_is_recorded_as_one() {
    let mut bench = Bench::new();
    bench.launch("a", Io::Null, "sleep 1000");
    bench.client().signal(&id("a"), 9).unwrap();
    assert_eq!(bench.wait_code("a"), ExitStatus::Signal(9));
    let again = bench.client().signal(&id("a"), 9);
    assert!(matches!(
        again,
        Err(ClientError::Refused { source: Failure::WrongPhase { phase: Phase::Ended, .. } })
    ));
}

#[test]
fn a_program_that_does_not_exist_leaves_nothing() {
    let mut bench = Bench::new();
    let launch = Launch {
        id: id("a"),
        plan: keeper::protocol::Plan::Container(b"/no/such/program".to_vec()),
        io: PIPES,
        log: LogConfig::none(),
        attaches: vec![],
    };
    match bench.client().launch(launch, &[]) {
        Err(ClientError::Refused { source: Failure::Start { kind, errno, .. } }) => {
            assert_eq!((kind, errno), (StartFailure::NotFound, 2));
        }
        other => panic!("{other:?}"),
    }
    assert!(bench.client().inventory().unwrap().is_empty());
    assert!(!bench.root().join("io/a").exists());
    bench.launch("a", PIPES, "exit 0");
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(0));
}

#[test]
fn names_are_taken_until_forgotten() {
    let mut bench = Bench::new();
    bench.launch("a", Io::Null, "exit 0");
    bench.wait("a");
    let again = Launch {
        id: id("a"),
        plan: shell("exit 1"),
        io: Io::Null,
        log: LogConfig::none(),
        attaches: vec![],
    };
    assert!(matches!(
        bench.client().launch(again.clone(), &[]),
        Err(ClientError::Refused { source: Failure::TaskExists(_) })
    ));
    bench.client().forget(&id("a")).unwrap();
    bench.client().launch(again, &[]).unwrap();
}

#[test]
fn an_attach_that_comes_with_the_launch_misses_nothing() {
    let mut bench = Bench::new();
    let (ours, theirs) = pair();
    let spec = AttachSpec::output(Framing::Multiplexed);
    let log = LogConfig::json_file(bench.log_path("a"));
    let script =
        "echo first; i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo last >&2";
    bench.launch_with("a", PIPES, script, log, &[(spec, theirs.as_fd())]);
    drop(theirs);
    let bytes = read_all(ours);
    let (mut out, mut err, mut rest) = (Vec::new(), Vec::new(), bytes.as_slice());
    while let Some((header, body)) = rest.split_first_chunk::<8>() {
        let len = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        assert_eq!(header[1..4], [0, 0, 0]);
        if header[0] == 1 { &mut out } else { &mut err }.extend_from_slice(&body[..len]);
        rest = &body[len..];
    }
    let out = String::from_utf8(out).unwrap();
    assert!(out.starts_with("first\nline 0\n") && out.ends_with("line 499\n"));
    assert_eq!((out.lines().count(), err.as_slice()), (501, &b"last\n"[..]));
    bench.wait("a");
}

#[test]
fn stdin_reaches_the_process_and_ends() {
    let mut bench = Bench::new();
    let (mut ours, theirs) = pair();
    let spec = AttachSpec {
        stdin: true,
        close_stdin_at_eof: true,
        input: b"before ".to_vec(),
        ..AttachSpec::output(Framing::Raw)
    };
    bench.launch_with("a", PIPES, "cat; echo end", LogConfig::none(), &[(spec, theirs.as_fd())]);
    drop(theirs);
    // Dropping the anchor: with it, the process would never see the end.
    bench.anchors.get_mut(&id("a")).unwrap().stdin = None;
    sys::fifo::set_nonblocking(&ours, false).unwrap();
    // More than a FIFO holds, so that the keeper has to wait for room.
    let body = vec![b'x'; 300_000];
    let mut writer = ours.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        writer.write_all(&body).unwrap();
        std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(writer))
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
    });
    let mut got = Vec::new();
    ours.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert_eq!(got.len(), "before ".len() + 300_000 + "end\n".len());
    assert!(got.starts_with(b"before xxx") && got.ends_with(b"xxxend\n"));
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(0));
}

#[test]
fn stdin_can_be_closed_by_request() {
    let mut bench = Bench::new();
    bench.launch("a", PIPES, "cat; exit 5");
    bench.anchors.get_mut(&id("a")).unwrap().stdin = None;
    bench.client().close_stdin(&id("a")).unwrap();
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(5));
}

#[test]
fn a_terminal_has_a_size_and_echoes() {
    let mut bench = Bench::new();
    let (mut ours, theirs) = pair();
    let spec = AttachSpec { stdin: true, ..AttachSpec::output(Framing::Raw) };
    let log = LogConfig::json_file(bench.log_path("a"));
    let script = "read x; busybox stty size; echo got $x; exit 3";
    bench.launch_with("a", TTY, script, log, &[(spec, theirs.as_fd())]);
    drop(theirs);
    bench.client().resize(&id("a"), WindowSize { rows: 40, columns: 132 }).unwrap();
    ours.write_all(b"hello\r").unwrap();
    let text = String::from_utf8(read_all(ours)).unwrap();
    assert_eq!(text, "hello\r\n40 132\r\ngot hello\r\n");
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(3));
    assert_eq!(bench.log("a"), text);
}

#[test]
fn detach_keys_leave_the_process_alone() {
    let mut bench = Bench::new();
    let (mut ours, theirs) = pair();
    let spec = AttachSpec {
        stdin: true,
        detach_keys: vec![0x10, 0x11],
        ..AttachSpec::output(Framing::Raw)
    };
    bench.launch_with("a", TTY, "cat", LogConfig::none(), &[(spec, theirs.as_fd())]);
    drop(theirs);
    ours.write_all(b"\x10\x11").unwrap();
    assert!(read_all(ours).is_empty());
    match bench.event() {
        Event::Detached { id: task, why: DetachReason::Keys, .. } => assert_eq!(task, id("a")),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.phase("a"), Phase::Running);
}

#[test]
fn a_waiting_reader_holds_the_process_back_and_loses_nothing() {
    let mut bench = Bench::new();
    let (mut ours, theirs) = pair();
    let log = LogConfig::json_file(bench.log_path("a"));
    let script = "busybox seq 1 200000; echo done >&2";
    let spec = AttachSpec::output(Framing::Raw);
    bench.launch_with("a", PIPES, script, log, &[(spec, theirs.as_fd())]);
    drop(theirs);
    // Nobody reads: the process can't get through.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(bench.phase("a"), Phase::Running);
    sys::fifo::set_nonblocking(&ours, false).unwrap();
    let mut text = String::new();
    ours.read_to_string(&mut text).unwrap();
    let numbers =
        text.lines().filter(|line| *line != "done").map(|line| line.parse::<u32>().unwrap());
    assert!(numbers.eq(1..=200_000));
    bench.wait("a");
    assert_eq!(bench.log("a").lines().count(), 200_001);
}

#[test]
fn a_reader_may_ask_to_be_dropped_instead() {
    let mut bench = Bench::new();
    let (_ours, theirs) = pair();
    let spec =
        AttachSpec { slow_reader: SlowReader::Disconnect, ..AttachSpec::output(Framing::Raw) };
    let log = LogConfig::json_file(bench.log_path("a"));
    bench.launch_with("a", PIPES, "busybox seq 1 200000", log, &[(spec, theirs.as_fd())]);
    match bench.event() {
        Event::Detached { why: DetachReason::Slow, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(0));
    assert_eq!(bench.log("a").lines().count(), 200_000);
}

#[test]
fn a_vanished_reader_does_not_matter() {
    let mut bench = Bench::new();
    let (ours, theirs) = pair();
    let spec = AttachSpec::output(Framing::Raw);
    let log = LogConfig::json_file(bench.log_path("a"));
    bench.launch_with("a", PIPES, "busybox seq 1 100000", log, &[(spec, theirs.as_fd())]);
    drop((ours, theirs));
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(0));
    assert_eq!(bench.log("a").lines().count(), 100_000);
}

#[test]
fn the_exit_does_not_wait_for_others_who_hold_the_streams() {
    let mut bench = Bench::new();
    let (ours, theirs) = pair();
    let spec = AttachSpec::output(Framing::Raw);
    let script = "(while :; do sleep 0.05; echo background || exit; done) & echo done";
    bench.launch_with("a", PIPES, script, LogConfig::none(), &[(spec, theirs.as_fd())]);
    drop(theirs);
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(0));
    assert!(read_all(ours).starts_with(b"done\n"));
    // What the background process goes on writing is taken from it, so that it isn't blocked for ever.
    let stdout = bench.anchors[&id("a")].stdout.as_ref().unwrap().try_clone().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(sys::fifo::queued(&stdout).unwrap(), 0);
    let pid = background_pid("echo background");
    bench.client().forget(&id("a")).unwrap();
    let pidfd = sys::pidfd::open(pid).unwrap();
    sys::pidfd::send_signal(&pidfd, 9).unwrap();
}

/// The one process whose command line has `text` in it and whose parent is gone.
fn background_pid(text: &str) -> i32 {
    for entry in std::fs::read_dir("/proc").unwrap() {
        let name = entry.unwrap().file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.starts_with("/bin/busybox\0") && line.contains(text) {
            return pid;
        }
    }
    panic!("no process {text}");
}

#[test]
fn a_full_disk_does_not_stop_a_container() {
    let mut bench = Bench::new();
    let log = LogConfig::json_file("/dev/full");
    bench.launch_with("a", PIPES, "busybox seq 1 100000; exit 4", log, &[]);
    let (mut lost, mut code) = (0, None);
    while code.is_none() {
        match bench.event() {
            Event::LogLost { errno, .. } => {
                assert_eq!(errno, 28, "ENOSPC");
                lost += 1;
            }
            Event::Exited(exit) => code = Some(exit.status),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((lost, code), (1, Some(ExitStatus::Code(4))));
    let (report, _) = bench.client().inventory().unwrap().remove(0);
    assert_eq!(report.log_bytes_lost, 588_895, "all that seq prints");
}

#[test]
fn the_log_can_be_watched_and_changed() {
    let mut bench = Bench::new();
    bench.launch("a", PIPES, "cat");
    let anchors = &bench.anchors[&id("a")];
    let stdin = File::from(anchors.stdin.as_ref().unwrap().try_clone().unwrap());
    let write = |line: &str| (&stdin).write_all(line.as_bytes()).unwrap();

    bench.client().watch_log(&id("a")).unwrap();
    write("one\n");
    assert!(matches!(bench.event(), Event::LogGrew { .. }));
    assert_eq!(bench.log("a"), "one\n");

    let path = bench.root().join("other.log");
    let log = LogConfig {
        driver: Driver::Local,
        attrs: vec![("tag".into(), "x".into())],
        ..LogConfig::json_file(&path)
    };
    bench.client().set_log(&id("a"), log).unwrap();
    bench.client().watch_log(&id("a")).unwrap();
    write("two\n");
    assert!(matches!(bench.event(), Event::LogGrew { .. }));
    assert_eq!(
        (bench.log("a").as_str(), read_log(Driver::Local, &path).as_str()),
        ("one\n", "two\n")
    );
}

#[test]
fn passed_descriptors_are_used_as_they_are() {
    let mut bench = Bench::new();
    let (ours, theirs) = pair();
    let launch = Launch {
        id: TaskId::exec("c", "e1").unwrap(),
        plan: shell("echo direct"),
        io: Io::Passed,
        log: LogConfig::none(),
        attaches: vec![],
    };
    let two = Launch { id: id("too-few"), ..launch.clone() };
    let failed = bench.client().launch(two, &[theirs.as_fd(); 2]);
    assert!(matches!(
        failed,
        Err(ClientError::Refused { source: Failure::Fds { got: 2, want: 3 } })
    ));
    bench.client().launch(launch, &[theirs.as_fd(); 3]).unwrap();
    drop(theirs);
    assert_eq!(read_all(ours), b"direct\n");
}

#[test]
fn a_message_of_the_future_is_refused_and_the_connection_lives() {
    let mut bench = Bench::new();
    let socket = sys::packet::connect(&bench.root().join(keeper::SOCKET)).unwrap();
    let packet = |seq: u8, body: &[u8]| [&[b'c', b'k', 0, 0, seq, 0, 0, 0], body].concat();
    let mut buffer = [0; 256];
    let mut ask = |packet: Vec<u8>| {
        sys::packet::send(&socket, &packet, &[]).unwrap();
        sys::epoll::wait_one(&socket, sys::epoll::Interest::READ, Some(Duration::from_secs(5)))
            .unwrap();
        let reply = sys::packet::receive(&socket, &mut buffer).unwrap().unwrap();
        buffer[..reply.len].to_vec()
    };
    // Before hello; then hello; then a request with a number nobody knows.
    let refused = ask(packet(1, &[7]));
    assert_eq!((refused[2], refused[4], refused[8]), (1, 1, 5), "a reply: Failed");
    let hello = ask(packet(2, &[0, 9, 1, b'x', 1]));
    assert_eq!((hello[4], hello[8]), (2, 0), "a reply: Hello");
    let refused = ask(packet(3, &[0xee, 0x01, 1, 2, 3]));
    assert_eq!((refused[4], refused[8], refused[9]), (3, 5, 0), "Unsupported");
    assert!(bench.client().inventory().unwrap().is_empty());
}

#[test]
fn one_keeper_for_each_exec_root_and_it_leaves_when_alone() {
    let mut bench = Bench::with_idle("0.3");
    assert!(keeper::spawn_command(bench.root(), bench.command()).unwrap().child.is_none());
    bench.launch("a", Io::Null, "sleep 0.6");
    bench.client = None;
    std::thread::sleep(Duration::from_millis(500));
    bench.connect();
    bench.wait("a");
    assert!(bench.client().shutdown(false).is_ok());
    assert_eq!(bench.wait_for_keeper_to_end(), 0);

    // The exit is kept for the next keeper's clients.
    bench.start();
    assert_eq!(bench.wait_code("a"), ExitStatus::Code(0));
    bench.client = None;
    assert_eq!(bench.wait_for_keeper_to_end(), 0, "nobody needs it");
}

#[test]
fn it_has_nothing_of_its_starter() {
    let mut bench = Bench::new();
    bench.launch("a", Io::Null, "sleep 1000");
    let proc = |file: &str| format!("/proc/{}/{file}", bench.keeper_pid());
    assert_eq!(std::fs::read_link(proc("cwd")).unwrap().to_str(), Some("/"));
    let stat = std::fs::read_to_string(proc("stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[3], bench.keeper_pid().to_string(), "leads its own session");
    assert_eq!(std::fs::read_dir(proc("task")).unwrap().count(), 1, "one thread");
    for number in [0, 1] {
        let link = std::fs::read_link(proc(&format!("fd/{number}"))).unwrap();
        assert_eq!(link.to_str(), Some("/dev/null"));
    }
    let mut client = bench.client.take().unwrap();
    assert!(matches!(
        client.shutdown(false),
        Err(ClientError::Refused { source: Failure::Busy { tasks: 1 } })
    ));
}

#[test]
fn a_thousand_attaches_leave_no_descriptor() {
    let mut bench = Bench::new();
    bench.launch("a", PIPES, "cat");
    let fds = format!("/proc/{}/fd", bench.keeper_pid());
    let count = || std::fs::read_dir(&fds).unwrap().count();
    let before = count();
    for round in 0..1000 {
        let (ours, theirs) = pair();
        let spec = AttachSpec { stdin: true, ..AttachSpec::output(Framing::Raw) };
        let number = bench.client().attach(&id("a"), spec, theirs.as_fd()).unwrap();
        drop(theirs);
        if round % 2 == 0 {
            bench.client().detach(&id("a"), number).unwrap();
        }
        drop(ours);
    }
    eventually("the descriptors are closed", || count() == before);
    let (report, _) = bench.client().inventory().unwrap().remove(0);
    assert_eq!(report.attaches, 0);
}

#[test]
fn a_second_client_sees_the_same_and_other_users_see_nothing() {
    let mut bench = Bench::new();
    let mut second = Client::connect(bench.root()).unwrap();
    second.subscribe().unwrap();
    bench.launch("a", PIPES, "exit 9");
    bench.wait("a");
    match second.next_event(Duration::from_secs(5)).unwrap() {
        Some(Event::Exited(exit)) => assert_eq!(exit.status, ExitStatus::Code(9)),
        other => panic!("{other:?}"),
    }
    // Late subscribers are told as long as nobody acknowledged.
    let mut third = Client::connect(bench.root()).unwrap();
    third.subscribe().unwrap();
    assert!(matches!(third.next_event(Duration::from_secs(5)).unwrap(), Some(Event::Exited(_))));
    second.forget(&id("a")).unwrap();
    let mut fourth = Client::connect(bench.root()).unwrap();
    fourth.subscribe().unwrap();
    assert!(fourth.next_event(Duration::from_millis(50)).unwrap().is_none());
}

#[test]
fn rotated_logs_are_compressed_and_still_read() {
    let mut bench = Bench::new();
    let path = bench.log_path("a");
    let log = LogConfig {
        max_size: 500_000,
        max_files: 100,
        compress: true,
        ..LogConfig::json_file(&path)
    };
    bench.launch_with("a", PIPES, "busybox seq 1 50000", log, &[]);
    bench.wait("a");
    let old = |extension: &str| path.with_file_name(format!("a.log.{extension}"));
    eventually("the oldest is compressed", || old("7.gz").exists() && !old("1").exists());
    assert!(bench.log("a").lines().map(|line| line.parse::<u32>().unwrap()).eq(1..=50_000));
}

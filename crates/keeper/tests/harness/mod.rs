//! A keeper process with plain processes as its tasks, for tests: starts, kills and replaces it, and plays the daemon.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use keeper::client::{Anchors, Client, Launched};
use keeper::log::reader::{LogReader, Next, ReadOptions};
use keeper::log::{Driver, LogConfig};
use keeper::protocol::{
    AttachSpec, Event, ExitRecord, Io, Launch, Owner, Phase, Plan, TaskId, WindowSize,
};
use model::state::ExitStatus;

pub const PIPES: Io = Io::Streams { stdin: true, owner: Owner { uid: 0, gid: 0 } };
pub const TTY: Io = Io::Tty { size: WindowSize { rows: 24, columns: 80 } };

pub struct Bench {
    pub dir: tempfile::TempDir,
    pub client: Option<Client>,
    keeper: Option<Child>,
    pub anchors: HashMap<TaskId, Anchors>,
    exited: HashMap<TaskId, ExitRecord>,
    idle: &'static str,
    kind: &'static str,
}

pub fn id(name: &str) -> TaskId {
    TaskId::container(name).unwrap()
}

pub fn shell(script: &str) -> Plan {
    Plan::Container(["/bin/busybox", "sh", "-c", script].join("\0").into_bytes())
}

impl Bench {
    pub fn new() -> Bench {
        Self::with_idle("30")
    }

    /// A keeper that starts containers by the runtime.
    pub fn with_containers() -> Bench {
        Self::with(("containers", "30"))
    }

    pub fn with_idle(idle: &'static str) -> Bench {
        Self::with(("plain", idle))
    }

    fn with((kind, idle): (&'static str, &'static str)) -> Bench {
        let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
        let mut bench = Bench {
            dir: tempfile::Builder::new().prefix("cale-keeper").tempdir_in(base).unwrap(),
            client: None,
            keeper: None,
            anchors: HashMap::new(),
            exited: HashMap::new(),
            idle,
            kind,
        };
        bench.start();
        bench
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_test-keeper"));
        command.arg(self.kind).arg(self.root()).arg(self.idle);
        command
    }

    /// Starts a keeper, hands over what is to be adopted, as the daemon does.
    pub fn start(&mut self) {
        self.keeper = keeper::spawn_command(self.root(), self.command()).unwrap().child;
        self.connect();
        let waiting: Vec<TaskId> =
            self.client().inventory().unwrap().into_iter().map(|(task, _)| task.id).collect();
        for id in waiting {
            let anchors = self.anchors.remove(&id).unwrap_or_default();
            self.client().adopt(&id, &anchors).unwrap();
            self.anchors.insert(id, anchors);
        }
    }

    /// Starts a keeper and kills it at its `stops`-th entry into, or return from, a system call. Says whether it got that far.
    pub fn run_until_stop(&mut self, stops: u32) -> bool {
        let null = std::process::Stdio::null;
        let mut keeper = self.command().stdout(null()).stderr(null()).spawn().unwrap();
        let tracee = sys::trace::Tracee::seize(i32::try_from(keeper.id()).unwrap()).unwrap();
        let far = (0..stops).all(|_| tracee.step().unwrap());
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        far
    }

    pub fn connect(&mut self) {
        let mut client = Client::connect(self.root()).unwrap();
        client.subscribe().unwrap();
        self.client = Some(client);
    }

    pub fn client(&mut self) -> &mut Client {
        self.client.as_mut().unwrap()
    }

    pub fn keeper_pid(&self) -> u32 {
        self.keeper.as_ref().unwrap().id()
    }

    /// `kill -9`.
    pub fn kill_keeper(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.kill().unwrap();
            keeper.wait().unwrap();
        }
    }

    pub fn wait_for_keeper_to_end(&mut self) -> i32 {
        self.keeper.take().unwrap().wait().unwrap().code().unwrap()
    }

    pub fn log_path(&self, name: &str) -> PathBuf {
        self.root().join(format!("{name}.log"))
    }

    pub fn launch(&mut self, name: &str, io: Io, script: &str) -> Launched {
        let log = LogConfig::json_file(self.log_path(name));
        self.launch_with(name, io, script, log, &[])
    }

    pub fn launch_with(
        &mut self,
        name: &str,
        io: Io,
        script: &str,
        log: LogConfig,
        attaches: &[(AttachSpec, BorrowedFd<'_>)],
    ) -> Launched {
        let launch = Launch {
            id: id(name),
            plan: shell(script),
            io,
            log,
            attaches: attaches.iter().map(|(spec, _)| spec.clone()).collect(),
        };
        let fds: Vec<_> = attaches.iter().map(|(_, fd)| *fd).collect();
        let mut launched = self.client().launch(launch, &fds).unwrap();
        self.anchors.insert(id(name), std::mem::take(&mut launched.anchors));
        launched
    }

    pub fn event(&mut self) -> Event {
        let event = self.client().next_event(Duration::from_secs(20)).unwrap();
        event.expect("an event within 20 s")
    }

    /// Waits until a task is said to have ended.
    pub fn wait(&mut self, name: &str) -> ExitRecord {
        loop {
            if let Some(exit) = self.exited.get(&id(name)) {
                return exit.clone();
            }
            if let Event::Exited(exit) = self.event() {
                self.exited.insert(exit.id.clone(), exit);
            }
        }
    }

    pub fn wait_code(&mut self, name: &str) -> ExitStatus {
        self.wait(name).status
    }

    pub fn phase(&mut self, name: &str) -> Phase {
        let tasks = self.client().inventory().unwrap();
        tasks.iter().find(|(task, _)| task.id == id(name)).unwrap().0.phase
    }

    /// All of a log's text.
    pub fn log(&self, name: &str) -> String {
        read_log(Driver::JsonFile, &self.log_path(name))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for anchors in self.anchors.values() {
            if let Some(pidfd) = &anchors.pidfd {
                let _already_gone = sys::pidfd::send_signal(pidfd.as_fd(), 9);
            }
        }
        if let Some(mut keeper) = self.keeper.take() {
            let _already_gone = keeper.kill();
            let _reaped = keeper.wait();
        }
    }
}

pub fn read_log(driver: Driver, path: &Path) -> String {
    let mut reader = LogReader::open(driver, path, &ReadOptions::default()).unwrap();
    let mut text = Vec::new();
    while let Next::Record(record) = reader.next().unwrap() {
        text.extend(record.data);
    }
    String::from_utf8(text).unwrap()
}

/// Waits until `done` says so.
pub fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! A Cale engine on private roots and a private socket, stopped and removed when dropped.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use crate::{
    fixture, program,
    program::{Said, run},
};

/// Each engine of this process gets its own bridge subnet: 10.231.N.1/24.
static NEXT_SUBNET: AtomicU8 = AtomicU8::new(1);

/// How an engine is started.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// Further arguments of `cale daemon`.
    pub args: Vec<String>,
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
    options: Options,
    subnet: u8,
}

impl Engine {
    /// Starts an engine and waits until it answers.
    ///
    /// # Panics
    /// If it doesn't within ten seconds; its log is in the message.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// [`Engine::start`] with options.
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn start_with(options: Options) -> Self {
        let dir =
            tempfile::Builder::new().prefix("cale-e2e-").tempdir().expect("a temporary directory");
        // Test processes run side by side: start from a number of their own.
        let start = (std::process::id() % 25) as u8 * 10;
        let subnet = start + NEXT_SUBNET.fetch_add(1, Ordering::Relaxed) % 10;
        let mut engine = Self { dir, daemon: None, options, subnet };
        engine.restart();
        engine
    }

    /// Starts the daemon on the same roots again; the old one must be gone.
    ///
    /// # Panics
    /// As [`Engine::start`].
    pub fn restart(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("daemon.log"))
            .expect("the daemon's log can be made");
        let mut command = Command::new(program::cale());
        command
            .arg("daemon")
            .args(["-H", &self.host()])
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--pidfile")
            .arg(self.path("daemon.pid"))
            .args(["--bip", &format!("10.231.{}.1/24", self.subnet)])
            .args(&self.options.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a duplicate of an open file"))
            .stderr(log);
        self.daemon = Some(command.spawn().expect("the cale binary can be run"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let died = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
            assert!(
                died.is_none() && Instant::now() < deadline,
                "the engine does not answer ({died:?}):\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Path below the engine's private directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The private directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.path("cale.sock")
    }

    /// `unix://…`
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The daemon's process id.
    ///
    /// # Panics
    /// If it isn't running.
    pub fn daemon_pid(&self) -> u32 {
        self.daemon.as_ref().expect("the daemon was started").id()
    }

    /// Everything that the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// The real `docker` client, talking to this engine.
    pub fn docker(&self, args: &[&str]) -> Said {
        run(&mut self.docker_command(args))
    }

    /// The command that [`Engine::docker`] runs.
    pub fn docker_command(&self, args: &[&str]) -> Command {
        self.client(Path::new("docker"), args)
    }

    /// The `cale` client, talking to this engine.
    pub fn cale(&self, args: &[&str]) -> Said {
        run(&mut self.cale_command(args))
    }

    /// The command that [`Engine::cale`] runs.
    pub fn cale_command(&self, args: &[&str]) -> Command {
        self.client(&program::cale(), args)
    }

    fn client(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("DOCKER_HOST", self.host())
            .env("DOCKER_CONFIG", self.path("client"))
            .env("DOCKER_CLI_HINTS", "false")
            .stdin(Stdio::null());
        command
    }

    /// Imports the busybox fixture as `busybox:latest` with `sh` as its command.
    pub fn with_busybox(self) -> Self {
        let tar = fixture::busybox_tar();
        self.docker(&[
            "import",
            "-c",
            "CMD [\"sh\"]",
            &tar.display().to_string(),
            "busybox:latest",
        ])
        .ok();
        self
    }

    /// Imports the Debian fixture as `debian:latest` with `bash` as its command.
    pub fn with_debian(self) -> Self {
        let tar = fixture::debian_tar();
        self.docker(&[
            "import",
            "-c",
            "CMD [\"bash\"]",
            &tar.display().to_string(),
            "debian:latest",
        ])
        .ok();
        self
    }

    /// Ends the daemon with SIGKILL; containers and keeper stay.
    ///
    /// # Panics
    /// If the daemon isn't running.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().expect("the daemon was started");
        daemon.kill().expect("a child can be killed");
        daemon.wait().expect("a child can be waited for");
    }
}

impl Drop for Engine {
    /// Removes every container, then ends the daemon; the keeper ends when it has nothing left.
    fn drop(&mut self) {
        let ids = self.docker(&["ps", "-aq"]).out;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let mut args = vec!["rm", "-f", "-v"];
            args.extend(ids);
            self.docker(&args);
        }
        for network in
            self.docker(&["network", "ls", "-q", "--filter", "type=custom"]).out.split_whitespace()
        {
            self.docker(&["network", "rm", network]);
        }
        if let Some(mut daemon) = self.daemon.take() {
            let pid = daemon.id().to_string();
            run(Command::new("kill").args(["-TERM", &pid]));
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && matches!(daemon.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            // After a clean end this is a no-op.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if std::thread::panicking() {
            eprintln!("daemon log:\n{}", self.log());
        }
    }
}

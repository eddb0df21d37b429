//! The two engines of a benchmark, each with a network namespace, roots and a socket of its own.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Result, bench::measure::quiet, source};

/// A running engine, stopped when dropped.
pub struct Engine {
    dir: PathBuf,
    process: Child,
    pub client: PathBuf,
}

/// The release build of `cale`.
pub fn cale() -> PathBuf {
    source::root().join("target/release/cale")
}

impl Engine {
    /// Our engine.
    pub fn cale(dir: &Path) -> Result<Self> {
        let arguments = ["daemon".to_owned()];
        Self::start(dir, &cale(), &arguments, cale())
    }

    /// Debian's dockerd.
    pub fn docker(dir: &Path) -> Result<Self> {
        Self::start(dir, Path::new("/usr/sbin/dockerd"), &[], PathBuf::from("docker"))
    }

    fn start(dir: &Path, program: &Path, arguments: &[String], client: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let log = std::fs::File::create(dir.join("log")).map_err(|error| error.to_string())?;
        let error_log = log.try_clone().map_err(|error| error.to_string())?;
        let process = Command::new("unshare")
            .args(["-m", "-n", "--"])
            .args(["sh", "-c", "ip link set lo up; exec \"$@\"", "sh"])
            .arg(program)
            .args(arguments)
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .args(["-H", &format!("unix://{}", dir.join("sock").display())])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(error_log)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let engine = Self { dir: dir.to_owned(), process, client };
        engine.wait()?;
        Ok(engine)
    }

    fn wait(&self) -> Result {
        let deadline = Instant::now() + Duration::from_secs(30);
        while quiet(&mut self.command(&["version"])).is_err() {
            if Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                return Err(format!("an engine does not answer:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The engine's process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A client command for this engine.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.client);
        command
            .env("DOCKER_HOST", format!("unix://{}", self.dir.join("sock").display()))
            .env("DOCKER_CONFIG", self.dir.join("client"))
            .args(args);
        command
    }

    /// Runs a client command.
    pub fn client(&self, args: &[&str]) -> Result {
        quiet(&mut self.command(args))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Containers first, so that nothing of theirs outlives the engine; then ask it to end.
        let listed =
            self.command(&["ps", "-aq"]).output().map(|output| output.stdout).unwrap_or_default();
        let ids = String::from_utf8_lossy(&listed).into_owned();
        let mut args = vec!["rm", "-f"];
        args.extend(ids.split_whitespace());
        if args.len() > 2 {
            let _ = self.client(&args);
        }
        let _ = quiet(Command::new("kill").args(["-TERM", &self.process.id().to_string()]));
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

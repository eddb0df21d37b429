//! A private `dockerd` to compare with: own data, own sockets, own network and mount namespaces,
//! stopped by its process id, nothing left behind.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `dockerd`.
pub struct Dockerd {
    child: Child,
    dir: tempfile::TempDir,
    cgroup: String,
}

impl Dockerd {
    /// Starts one without networking; `None` if the program isn't installed.
    ///
    /// # Panics
    /// If it is installed but doesn't come up.
    pub fn start() -> Option<Self> {
        let installed = std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|dir| dir.join("dockerd").exists())
        });
        if !installed {
            return None;
        }
        let dir = tempfile::tempdir().expect("temporary directory");
        let cgroup = format!("cale-parity-{}", std::process::id());
        let path = |name: &str| dir.path().join(name).display().to_string();
        let log = std::fs::File::create(path("log")).expect("log file");
        let child = Command::new("unshare")
            .args(["-n", "-m", "--", "dockerd", "--bridge=none", "--iptables=false"])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "-H", &format!("unix://{}", path("sock"))])
            .args(["--cgroup-parent", &format!("/{cgroup}")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("log file"))
            .stderr(log)
            .spawn()
            .expect("unshare runs");
        let dockerd = Dockerd { child, dir, cgroup };
        let begin = Instant::now();
        while std::os::unix::net::UnixStream::connect(dockerd.dir.path().join("sock")).is_err() {
            assert!(begin.elapsed() < PATIENCE, "dockerd doesn't answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(dockerd)
    }

    /// Its address.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dir.path().join("sock").display())
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Some(pid) =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            // It may have died on its own.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        drop(self.child.wait());
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let groups = hierarchies.map(|hierarchy| hierarchy.path().join(&self.cgroup));
        groups.chain([PathBuf::from("/sys/fs/cgroup").join(&self.cgroup)]).for_each(|group| {
            // Absent where the controller isn't used.
            drop(std::fs::remove_dir(group));
        });
    }
}

//! A busybox root, a specification like Docker's, and a way to run it and read what it prints.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use runtime::perform::{LaunchError, Launched, launch};
use runtime::plan::{FdRole, HostFacts, LaunchPlan, PlanContext, plan};
use runtime::spec::Spec;
use serde_json::{Value, json};

/// A temporary bundle.
pub struct Bundle {
    dir: tempfile::TempDir,
    pub spec: Value,
    pub context: PlanContext,
}

/// What a run gave.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub output: String,
}

impl Outcome {
    /// The output's line that starts with `key`, without it.
    pub fn field(&self, key: &str) -> &str {
        let line = self.output.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("no {key} in {}", self.output)).trim()
    }
}

impl Bundle {
    /// A root with busybox and a specification that runs `script` by its shell.
    pub fn new(script: &str) -> Bundle {
        let dir = tempfile::tempdir().expect("makes a directory");
        let root = dir.path().join("rootfs");
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "home/web"] {
            fs::create_dir_all(root.join(name)).expect("makes a directory");
        }
        // Not a copy: a fork of another test would hold it open for writing, and exec says ETXTBSY.
        fs::hard_link("/usr/bin/busybox", root.join("bin/busybox")).expect("links busybox");
        for applet in [
            "sh", "cat", "ls", "id", "mount", "readlink", "stat", "sleep", "touch", "mkdir",
            "kill", "ps", "grep", "hostname", "tty", "stty", "env", "true", "head", "wc", "awk",
            "umount", "ip", "pwd",
        ] {
            symlink("busybox", root.join("bin").join(applet)).expect("links an applet");
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/home/web:/bin/sh\n",
        )
        .expect("writes passwd");
        Bundle { spec: spec(script), context: context(dir.path()), dir }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("rootfs")
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Adds a mount.
    pub fn mount(&mut self, mount: Value) -> &mut Bundle {
        self.spec["mounts"].as_array_mut().expect("a list").push(mount);
        self
    }

    pub fn plan(&self) -> LaunchPlan {
        let spec: Spec = serde_json::from_value(self.spec.clone()).expect("is a specification");
        let made = plan(&spec, &self.context).expect("plans");
        let bytes = made.encode().expect("encodes");
        let again = LaunchPlan::decode(&bytes).expect("decodes");
        assert_eq!(made, again);
        again
    }

    /// Launches with a pipe for both outputs; the receiver gets all of it.
    pub fn launch(&mut self) -> Result<(Launched, OwnedFd), LaunchError> {
        self.context.fds = vec![FdRole::Stdin, FdRole::Stdout, FdRole::Stderr];
        let plan = self.plan();
        let (reader, writer) = std::io::pipe().expect("makes a pipe");
        let null = File::open("/dev/null").expect("opens null");
        let fds = [null.as_fd(), writer.as_fd(), writer.as_fd()];
        launch(&plan, &fds).map(|launched| (launched, reader.into()))
    }

    /// Launches and waits.
    pub fn run(&mut self) -> Outcome {
        let (launched, output) = self.launch().unwrap_or_else(|error| panic!("launches: {error}"));
        let mut text = String::new();
        File::from(output).read_to_string(&mut text).expect("reads");
        let code = sys::pidfd::wait(&launched.pidfd).expect("waits").code();
        Outcome { code, output: text }
    }
}

fn context(bundle: &Path) -> PlanContext {
    PlanContext {
        id: "test".into(),
        bundle: bundle.into(),
        host: HostFacts::detect(),
        ..PlanContext::default()
    }
}

fn spec(script: &str) -> Value {
    let caps = json!(["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["sh", "-c", script],
            "env": ["PATH=/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"},
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/acpi", "/proc/missing", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

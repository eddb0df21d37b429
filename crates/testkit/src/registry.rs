//! Debian's `docker-registry` on a private port and directory.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running registry, stopped and removed when dropped.
#[derive(Debug)]
pub struct Registry {
    dir: tempfile::TempDir,
    process: Child,
    port: u16,
}

impl Registry {
    /// Starts a registry that speaks plain HTTP on loopback.
    ///
    /// # Panics
    /// If it doesn't answer within ten seconds.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// [`Registry::start`] with further configuration below `http:` (YAML, indented by two).
    ///
    /// # Panics
    /// As [`Registry::start`].
    pub fn start_with(http_options: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("cale-registry-")
            .tempdir()
            .expect("a temporary directory");
        let port = free_port();
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n{http_options}",
            dir.path().join("data").display()
        );
        let path = dir.path().join("config.yml");
        std::fs::write(&path, config).expect("the registry's configuration can be written");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self { dir, process, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1))
            .is_err()
        {
            assert!(Instant::now() < deadline, "the registry does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    /// `127.0.0.1:PORT`, the first part of a reference.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The registry's private directory; blobs are below `data`.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // The process may be gone already; there is nothing else to undo.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that was free a moment ago.
///
/// # Panics
/// If loopback has none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
    listener.local_addr().expect("a bound address").port()
}

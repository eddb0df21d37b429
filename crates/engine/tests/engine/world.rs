//! What every test has: an engine in fresh roots with a busybox image, and its clean end.

use std::{
    future::Future,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use engine::{Config, Engine, container::*};
use model::container::ContainerSpec;

/// One test.
#[derive(Clone, Copy)]
pub struct Test {
    pub name: &'static str,
    pub body: fn(World) -> Pin<Box<dyn Future<Output = World>>>,
}

/// Makes the table entry of an async function.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub const TESTS: &[$crate::world::Test] = &[$(
            $crate::world::Test {
                name: concat!(module_path!(), "::", stringify!($name)),
                body: |world| Box::pin($name(world)),
            },
        )*];
    };
}

pub struct World {
    pub engine: Arc<Engine>,
    pub config: Config,
    roots: Arc<Roots>,
}

/// The directories of a world. A test that fails leaves processes; they end with it.
pub struct Roots {
    _dir: tempfile::TempDir,
    config: Config,
}

impl Drop for Roots {
    fn drop(&mut self) {
        if let Ok(keeper) = keeper::client::Client::connect(&self.config.exec_root) {
            let pid = keeper.keeper().pid.to_string();
            let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
        }
        let groups = runtime::cgroup::Hierarchies::detect().expect("groups");
        let path = runtime::cgroup::GroupPath::new(&self.config.cgroup_parent).expect("a path");
        if let Ok(group) = groups.open(&path) {
            let _ = group.kill();
            if let Err(error) = group.remove(Duration::from_secs(5)) {
                eprintln!("control groups stay: {error}");
            }
        }
    }
}

/// Runs one test in its own world and looks that nothing is left.
pub fn run(test: Test) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let world = World::open().await;
        let world = (test.body)(world).await;
        world.close().await;
    });
}

pub fn loopback_up() {
    let status = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(status.is_ok_and(|status| status.success()), "loopback");
}

impl World {
    async fn open() -> Self {
        let roots = tempfile::Builder::new().prefix("cale-engine").tempdir().expect("roots");
        let mut config = Config::new(roots.path().join("data"), roots.path().join("exec"));
        config.keeper_program = Some(std::env::current_exe().expect("this program"));
        config.bridge.name = "ctest0".to_owned();
        config.bridge.address = Some(("10.222.0.1".parse().expect("an address"), 24));
        static WORLDS: AtomicU32 = AtomicU32::new(0);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        config.cgroup_parent = format!("/cale-test-{}-{number}", std::process::id());
        let roots = Arc::new(Roots { _dir: roots, config: config.clone() });
        let engine = open(&config).await;
        let world = Self { engine, config, roots };
        world.import_busybox().await;
        world
    }

    async fn import_busybox(&self) {
        let file = tokio::fs::File::open(testkit::fixture::busybox_tar()).await.expect("busybox");
        let request = engine::image::ImportRequest {
            reference: Some("busybox:latest".parse().expect("a name")),
            changes: vec!["CMD [\"sh\"]".to_owned(), "ENV PATH=/bin:/sbin".to_owned()],
            ..Default::default()
        };
        let (progress, _steps) = tokio::sync::mpsc::channel(8);
        self.engine.images().import(Box::pin(file), request, progress).await.expect("import");
    }

    /// The engine goes (as by SIGTERM) and a new one comes, on the same roots.
    pub async fn restart(self) -> Self {
        self.restart_after(Duration::ZERO).await
    }

    /// The same, with a time without an engine.
    pub async fn restart_after(self, pause: Duration) -> Self {
        let Self { engine, config, roots } = self;
        engine.shutdown().await.expect("shutdown");
        gone(engine).await;
        tokio::time::sleep(pause).await;
        let engine = open(&config).await;
        Self { engine, config, roots }
    }

    async fn close(self) {
        for summary in self.all().await {
            let id = summary.snapshot.record.id.to_string();
            let remove = RemoveRequest { force: true, volumes: true, link: false };
            if let Err(error) = self.engine.containers().remove(&id, remove).await {
                eprintln!("remove {id}: {}", error.text());
            }
        }
        let Self { engine, config, roots } = self;
        engine.end_keeper().await;
        engine.shutdown().await.expect("shutdown");
        gone(engine).await;
        let groups = runtime::cgroup::Hierarchies::detect().expect("groups");
        let path = runtime::cgroup::GroupPath::new(&config.cgroup_parent).expect("a path");
        if let Ok(group) = groups.open(&path) {
            group.remove(Duration::from_secs(5)).expect("control groups removed");
        }
        drop(roots);
    }

    pub async fn all(&self) -> Vec<Summary> {
        let all = ListRequest { all: true, ..ListRequest::default() };
        self.engine.containers().list(all).await.expect("list")
    }

    /// Makes a busybox container that runs `sh -c script`.
    pub async fn create(&self, script: &str, change: impl FnOnce(&mut ContainerSpec)) -> String {
        let spec = shell(script, change);
        let request = CreateRequest { name: None, spec };
        self.engine.containers().create(request).await.expect("create").id.to_string()
    }

    /// Runs it to its end; exit code, and what it wrote to both streams.
    pub async fn run(
        &self,
        script: &str,
        change: impl FnOnce(&mut ContainerSpec),
    ) -> (i64, String) {
        let id = self.create(script, change).await;
        self.finish(&id).await
    }

    pub async fn finish(&self, id: &str) -> (i64, String) {
        let containers = self.engine.containers();
        let waiting = containers.wait(id, WaitCondition::NextExit).await.expect("wait");
        let output = self.attach(id, false).await;
        if let Err(error) = containers.start(id).await {
            panic!("start: {}", error.text());
        }
        let outcome = timely(waiting.outcome()).await;
        (outcome.exit_code, output.text().await)
    }

    /// Attaches to both output streams, unframed.
    pub async fn attach(&self, id: &str, stdin: bool) -> Client {
        let request = AttachRequest {
            stdin,
            stdout: true,
            stderr: true,
            stream: true,
            ..AttachRequest::default()
        };
        let ticket = self.engine.containers().attach(id, request).await.expect("attach");
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let io = AttachIo { fd: theirs.into(), input: Vec::new(), raw: true };
        ticket.connect(io).await.expect("connect");
        Client { stream: ours }
    }

    pub async fn state(&self, id: &str) -> State {
        self.engine.containers().inspect(id, false).await.expect("inspect").snapshot.state
    }

    /// Waits until a container is as wanted.
    pub async fn until(&self, id: &str, wanted: impl Fn(&State) -> bool) -> State {
        for _ in 0..400 {
            let state = self.state(id).await;
            if wanted(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not as wanted: {:?}", self.state(id).await);
    }

    pub async fn exec(&self, id: &str, command: &[&str]) -> (i64, String) {
        let request = engine::exec::CreateRequest {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let exec = self.engine.execs().create(id, request).await.expect("exec create").to_string();
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let ticket = self.engine.execs().start(&exec, Default::default()).await.expect("ticket");
        let io = AttachIo { fd: theirs.into(), input: Vec::new(), raw: true };
        let started = ticket.start(Some(io)).await;
        if let Err(error) = started {
            return (-1, error.text());
        }
        let text = Client { stream: ours }.text().await;
        for _ in 0..200 {
            let found = self.engine.execs().inspect(&exec).await.expect("exec inspect");
            if let engine::exec::Phase::Ended { exit_code } = found.phase {
                return (exit_code, text);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("exec did not end");
    }
}

/// A client's end of an attach.
pub struct Client {
    pub stream: UnixStream,
}

impl Client {
    /// Everything until the other end closes.
    pub async fn text(self) -> String {
        let read = tokio::task::spawn_blocking(move || {
            let mut stream = self.stream;
            stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).expect("read");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        read.await.expect("a reader")
    }

    pub fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("write");
    }
}

/// A shell container's specification.
pub fn shell(script: &str, change: impl FnOnce(&mut ContainerSpec)) -> ContainerSpec {
    let mut spec = ContainerSpec { image: "busybox".to_owned(), ..ContainerSpec::default() };
    spec.process.cmd = Some(["sh", "-c", script].map(str::to_owned).to_vec());
    spec.process.stop_timeout_s = Some(1);
    spec.host.network_mode = model::network::NetworkMode::None;
    change(&mut spec);
    spec
}

async fn open(config: &Config) -> Arc<Engine> {
    match Engine::open(config.clone()).await {
        Ok(engine) => engine,
        Err(error) => panic!("open: {}", error.text()),
    }
}

/// The store's lock is free again.
async fn gone(engine: Arc<Engine>) {
    for _ in 0..200 {
        if Arc::strong_count(&engine) == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} handles of the engine are left", Arc::strong_count(&engine));
}

pub async fn timely<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("in time")
}

pub fn keeper_pid(config: &Config) -> u32 {
    keeper::client::Client::connect(&config.exec_root).expect("a keeper").keeper().pid
}

pub fn directory(world: &World, id: &str) -> PathBuf {
    world.config.data_root.join("containers").join(id)
}

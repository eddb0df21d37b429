//! The client against the real `docker` command, on the same engine: same output, same errors,
//! same exit codes. The engine is a private `dockerd`, or whatever `CALE_PARITY_HOST` names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use testkit::dockerd::Dockerd;

/// Lines that only look: output must be equal to the byte.
const LOOK: &[&str] = &[
    "ps",
    "ps -a",
    "ps -as",
    "ps -aq --no-trunc",
    "ps -a --no-trunc",
    "ps -a --format json",
    "ps -a --format {{.Names}}\\t{{.Label \"who\"}}",
    "ps -a --format table {{.ID}}\\t{{.Names}}\\t{{.Label \"com.x.who\"}}",
    "ps -a --filter name=base --format {{upper .Names}}{{json .Labels}}",
    "ps --format {{.Nope}}",
    "container ls -a",
    "images",
    "images -q",
    "images --no-trunc",
    "images --digests",
    "images --format json",
    "image ls",
    "network ls",
    "network ls --format json",
    "volume ls",
    "volume ls --format json",
    "volume ls -q",
    "inspect base",
    "inspect --format json base",
    "inspect -f {{.State.Status}}:{{.Config.Cmd}}:{{.HostConfig.Binds}}:{{len .Mounts}} base",
    "inspect -f {{range .Config.Env}}{{println .}}{{end}} base",
    "inspect -f {{json .Config.Labels}}{{index .Config.Labels \"who\"}} base",
    "inspect -f {{.Nope}} base",
    "inspect nope",
    "inspect --type image base",
    "inspect pv",
    "inspect none",
    "inspect parity:1",
    "image inspect parity:1",
    "network inspect none",
    "volume inspect pv",
    "history parity:1",
    "history --no-trunc parity:1",
    "history --format json parity:1",
    "system df --format json",
    "logs base",
    "logs -n 1 base",
    "port base",
    "diff base",
    "top nope",
    "logs nope",
    "attach nope",
    "wait nope",
    "exec nope true",
    "rm nope",
    "rm -f nope",
    "rmi nope",
    "stop nope",
    "kill nope",
    "start nope",
    "volume rm nope",
    "cp a b",
    "tag a",
    "tag parity:1 UPPER",
    "rename base",
    "ps --nope",
    "ps -n x",
    "ps -f x",
    "ps x",
    "ps --all=maybe",
    "run -m lots parity:1",
    "run --name",
    "run --pull=sometimes parity:1",
    "run -p a:b:c:d:e parity:1",
    "run --rm --restart always parity:1",
    "nope",
    "container nope",
    "help nope",
    "pull parity:nope",
    "update base",
    "login -p x",
    "events --since 2h --until 0s",
    "context ls",
    "context inspect",
    "context show",
    "context use nope",
];

/// Lines that do: each client works on names of its own (`NAME`), identifiers and times differ.
const DO: &[&str] = &[
    "run --rm --network none parity:1 echo hello",
    "run --rm --network none parity:1 sh -c 'echo out; echo err >&2; exit 7'",
    "run --rm --network none parity:1 no-such-program",
    "run --rm --network none parity:1 /etc",
    "run --rm --network none no-such-image:1",
    "run --rm --network none -e A=1 -w /tmp -u 5:6 -h box parity:1 sh -c 'echo $A; pwd; id -u; hostname'",
    "run -d --network none --name NAME parity:1 sleep 100",
    "run -d --network none --name NAME parity:1 sleep 100",
    "ps --filter name=NAME --format {{.Names}}:{{.State}}:{{.Command}}",
    "exec NAME echo in",
    "exec NAME sh -c 'exit 4'",
    "exec NAME no-such-program",
    "exec -e X=y NAME sh -c 'echo $X'",
    "top NAME -o args",
    "pause NAME",
    "unpause NAME",
    "cp NAME:/etc/passwd -",
    "cp NAME:/nope -",
    "rename NAME NAME-new",
    "rename NAME-new NAME",
    "update --restart no NAME",
    "stop -t 0 NAME",
    "wait NAME",
    "start NAME",
    "restart -t 0 NAME",
    "kill NAME",
    "commit -m note NAME NAME:1",
    "rm NAME",
    "image inspect -f {{.Comment}} NAME:1",
    "tag NAME:1 NAME:2",
    "rmi NAME:1",
    "rmi NAME:2",
    "volume create --label a=b NAME",
    "volume inspect -f {{.Labels}} NAME",
    "volume rm NAME",
    "create --name NAME parity:1 true",
    "start -a NAME",
    "rm NAME",
];

struct Side {
    program: PathBuf,
    name: &'static str,
    host: String,
    config: PathBuf,
}

struct Outcome {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Side {
    fn run(&self, words: &[String]) -> Outcome {
        let output = Command::new(&self.program)
            .args(words)
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_CONFIG", &self.config)
            .env("DOCKER_CLI_HINTS", "false")
            .stdin(Stdio::null())
            .output()
            .expect("the client runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Outcome {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            code: output.status.code(),
        }
    }

    fn line(&self, line: &str) -> Outcome {
        self.run(&words(&line.replace("NAME", self.name)))
    }
}

/// Words of a line: single quotes hold together; so does a template, which begins with `{{` or
/// `table`.
fn words(line: &str) -> Vec<String> {
    if let Some(at) = line.find(" {{").or_else(|| line.find(" table ")) {
        let mut all: Vec<String> = line[..at].split(' ').map(str::to_owned).collect();
        let rest = line[at + 1..].to_owned();
        // Behind the template of `inspect` come names.
        match rest.rsplit_once("}} ").filter(|_| line.contains("inspect")) {
            Some((template, names)) => {
                all.push(format!("{template}}}}}"));
                all.extend(names.split(' ').map(str::to_owned));
            }
            None => all.push(rest),
        }
        return all;
    }
    let mut all = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            all.push(part.to_owned());
        } else {
            all.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    all
}

/// Replaces what differs between two runs: identifiers, times, sides' names.
fn normal(text: &str, side: &Side) -> String {
    let text = text.replace(side.name, "NAME");
    let mut out = String::new();
    let mut hex = String::new();
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_hexdigit() && !c.is_ascii_uppercase() {
            hex.push(c);
            continue;
        }
        out.push_str(if hex.len() >= 12 { "<id>" } else { &hex });
        hex.clear();
        out.push(c);
    }
    out
}

/// Lists whose order the engine leaves open, and small known differences in talk.
fn settled(line: &str, text: &str) -> String {
    let text =
        text.replace("\nSee 'docker", "\nRun 'docker").replace("SRun 'docker", "Run 'docker");
    let mut lines: Vec<&str> = text.lines().collect();
    if line.starts_with("images") || line.starts_with("image ls") {
        lines.sort_unstable();
    }
    lines.join("\n")
}

/// The message of a failed `--format` names Go's types; ours ends before.
fn same_error(ours: &str, docker: &str) -> bool {
    ours == docker
        || (docker.contains(" in type *formatter.") && docker.starts_with(ours.trim_end()))
}

fn busybox_archive() -> Vec<u8> {
    let program = std::fs::read("/usr/bin/busybox").expect("busybox-static is installed");
    let mut builder = tar::Builder::new(Vec::new());
    let mut file = |name: &str, mode: u32, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).expect("in memory");
    };
    file("bin/busybox", 0o755, &program);
    file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n");
    file("tmp/.keep", 0o644, b"");
    for applet in ["sh", "sleep", "echo", "true", "cat", "id", "hostname", "pwd"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Link);
        header.set_mode(0o755);
        header.set_size(0);
        builder
            .append_link(&mut header, format!("bin/{applet}"), "bin/busybox")
            .expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

fn prepare(docker: &Side, dir: &Path) {
    let archive = dir.join("rootfs.tar");
    std::fs::write(&archive, busybox_archive()).expect("written");
    let import = format!("import -c {} {} parity:1", "CMD=sh", archive.display());
    let mut import = words(&import);
    import[2] = "CMD [\"sh\"]".to_owned();
    for words in [
        import,
        words("volume create --label a=b pv"),
        words(
            "run --network none --name base --label who=me --label com.x.who=you -e A=1 -v pv:/data parity:1 sh -c 'echo one; echo two >&2; echo three'",
        ),
    ] {
        let outcome = docker.run(&words);
        assert_eq!(outcome.code, Some(0), "{words:?}: {}", outcome.stderr);
    }
}

#[test]
fn same_as_docker() {
    let real = PathBuf::from("/usr/local/bin/docker");
    let (host, dockerd) = match std::env::var("CALE_PARITY_HOST") {
        Ok(host) => (host, None),
        Err(_) => match Dockerd::start() {
            Some(dockerd) => (dockerd.host(), Some(dockerd)),
            None => return eprintln!("skipped: no dockerd and no CALE_PARITY_HOST"),
        },
    };
    if !real.exists() {
        return eprintln!("skipped: no docker command");
    }
    let dir = tempfile::tempdir().expect("temporary directory");
    // Under this name it behaves as docker.
    let ours = dir.path().join("docker");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cale"), &ours).expect("linked");
    let config = dir.path().join("config");
    let docker =
        Side { program: real, name: "side-docker", host: host.clone(), config: config.clone() };
    let cale = Side { program: ours, name: "side-cale", host, config };
    prepare(&docker, dir.path());
    let mut differences = Vec::new();
    for (line, exact) in LOOK.iter().map(|l| (l, true)).chain(DO.iter().map(|l| (l, false))) {
        let (theirs, ours) = (docker.line(line), cale.line(line));
        let shape = |outcome: &Outcome, side: &Side| {
            let form = |text: &str| {
                let text = if exact { text.to_owned() } else { normal(text, side) };
                settled(line, &text)
            };
            (form(&outcome.stdout), form(&outcome.stderr), outcome.code)
        };
        let (theirs, ours) = (shape(&theirs, &docker), shape(&ours, &cale));
        if theirs.0 != ours.0 || !same_error(&ours.1, &theirs.1) || theirs.2 != ours.2 {
            differences.push(format!("$ docker {line}\ndocker: {theirs:?}\ncale:   {ours:?}\n"));
        }
    }
    drop(dockerd);
    let count = LOOK.len() + DO.len();
    assert!(
        differences.is_empty(),
        "{} of {count} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

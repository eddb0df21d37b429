//! What starting a container costs: runtime, `run --rm`, `exec`, throughput, memory.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use crate::{
    Result,
    bench::{
        measure::{
            Row, interleaved, output, pids_with, print_table, private_kib, quiet, resident_kib,
            timed,
        },
        peers::{self, Engine},
    },
    packages, source,
};

const IDLE_CONTAINERS: usize = 100;
const STOPPED_CONTAINERS: usize = 200;
const CLIENTS: usize = 8;

/// Runs the whole comparison.
pub fn run(quick: bool) -> Result {
    packages::run(&[])?;
    quiet(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "-p", "cale"])
            .current_dir(source::root()),
    )?;
    let dir = std::env::temp_dir().join(format!("cale-bench-{}", std::process::id()));
    let result = compare(&dir, quick);
    // The rows are printed already; what can't be removed is only disk space.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

fn compare(dir: &Path, quick: bool) -> Result {
    let count = if quick { 5 } else { 25 };
    let tar = busybox(dir)?;
    let mut rows = vec![runtime(dir, &tar, count)?];
    print_table("OCI runtime, same bundle", "runc", &rows);
    rows.clear();
    let ours = Engine::cale(&dir.join("cale"))?;
    let theirs = Engine::docker(&dir.join("docker"))?;
    for engine in [&ours, &theirs] {
        engine.client(&["import", &tar.display().to_string(), "busybox:latest"])?;
    }
    for (what, args) in [
        ("`run --rm … true`, with network", ["run", "--rm", "busybox", "true"].as_slice()),
        (
            "`run --rm … true`, no network",
            ["run", "--rm", "--network", "none", "busybox", "true"].as_slice(),
        ),
    ] {
        let (own, other) = interleaved(count, || ours.client(args), || theirs.client(args))?;
        rows.push(Row::times(what, &own, &other));
    }
    rows.push(exec(&ours, &theirs, count)?);
    rows.push(throughput(&ours, &theirs, if quick { 40 } else { 400 })?);
    rows.extend(memory(dir, &ours, &theirs)?);
    drop(theirs);
    drop(ours);
    rows.push(startup(dir)?);
    print_table("Engine, same image", "docker.io", &rows);
    Ok(())
}

/// The busybox root filesystem as a tar, made from Debian's static build.
fn busybox(dir: &Path) -> Result<PathBuf> {
    let root = dir.join("rootfs");
    let script = format!(
        "mkdir -p {root}/bin {root}/etc {root}/tmp {root}/proc {root}/sys {root}/dev && cp /bin/busybox {root}/bin/busybox && \
         for applet in $(/bin/busybox --list); do ln -f {root}/bin/busybox {root}/bin/$applet 2>/dev/null || true; done && \
         echo root:x:0:0:root:/root:/bin/sh > {root}/etc/passwd && tar -C {root} -cf {dir}/busybox.tar .",
        root = root.display(),
        dir = dir.display()
    );
    quiet(Command::new("sh").args(["-c", &script]))?;
    Ok(dir.join("busybox.tar"))
}

/// `cale runtime run` against `runc run` on one bundle (runc's own default configuration).
fn runtime(dir: &Path, _tar: &Path, count: usize) -> Result<Row> {
    let bundle = dir.to_owned();
    quiet(Command::new("runc").arg("spec").current_dir(&bundle))?;
    let config = bundle.join("config.json");
    let text = source::read(&config)?;
    let text =
        text.replace("\"sh\"", "\"true\"").replace("\"terminal\": true", "\"terminal\": false");
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let mut number = 0;
    let mut id = || {
        number += 1;
        format!("bench{}-{number}", std::process::id())
    };
    let mut other_number = 0;
    let mut other_id = || {
        other_number += 1;
        format!("benchc{}-{other_number}", std::process::id())
    };
    let (own, other) = interleaved(
        count,
        || {
            quiet(
                Command::new(peers::cale())
                    .args(["runtime", "--root"])
                    .arg(dir.join("r1"))
                    .args(["run", "--bundle"])
                    .arg(&bundle)
                    .arg(id()),
            )
        },
        || {
            quiet(
                Command::new("runc")
                    .arg("--root")
                    .arg(dir.join("r2"))
                    .args(["run", "--bundle"])
                    .arg(&bundle)
                    .arg(other_id()),
            )
        },
    )?;
    Ok(Row::times("`run` of `true`", &own, &other))
}

fn exec(ours: &Engine, theirs: &Engine, count: usize) -> Result<Row> {
    for engine in [ours, theirs] {
        engine.client(&["run", "-d", "--name", "bench-exec", "busybox", "sleep", "100000"])?;
    }
    let args = ["exec", "bench-exec", "true"];
    let (own, other) = interleaved(count, || ours.client(&args), || theirs.client(&args))?;
    for engine in [ours, theirs] {
        engine.client(&["rm", "-f", "bench-exec"])?;
    }
    Ok(Row::times("`exec … true`", &own, &other))
}

/// Containers a second, started and removed with network by several clients at once.
fn throughput(ours: &Engine, theirs: &Engine, total: usize) -> Result<Row> {
    let rate = |engine: &Engine, total: usize| -> Result<f64> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    scope.spawn(|| {
                        (0..total / CLIENTS)
                            .try_for_each(|_| engine.client(&["run", "--rm", "busybox", "true"]))
                    })
                })
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| "a worker panicked".to_owned())?)
        })?;
        Ok((total / CLIENTS * CLIENTS) as f64 / start.elapsed().as_secs_f64())
    };
    let own = rate(ours, total)?;
    let other = rate(theirs, (total / 10).max(CLIENTS))?;
    Ok(Row::figures("containers started and removed, 8 clients", own, Some(other), "/s", true))
}

/// Private memory of all helper processes at 100 idle containers, and of the daemons.
fn memory(dir: &Path, ours: &Engine, theirs: &Engine) -> Result<Vec<Row>> {
    for engine in [ours, theirs] {
        for _ in 0..IDLE_CONTAINERS {
            engine.client(&["run", "-d", "busybox", "sleep", "100000"])?;
        }
    }
    let own_dir = dir.join("cale").display().to_string();
    let other_dir = dir.join("docker").display().to_string();
    let own_all: u64 = pids_with(&[&own_dir]).into_iter().map(private_kib).sum();
    let other_all: u64 = pids_with(&[&other_dir]).into_iter().map(private_kib).sum();
    let each = |total: u64| total as f64 / IDLE_CONTAINERS as f64 / 1024.0;
    let other_engine: u64 =
        pids_with(&[&other_dir]).into_iter().filter(|pid| !is_shim(*pid)).map(resident_kib).sum();
    let rows = vec![
        Row::figures(
            "private memory of all our processes, per idle container at 100",
            each(own_all),
            Some(each(other_all)),
            "MiB",
            false,
        ),
        Row::figures(
            "resident memory of the daemon(s) at 100 containers",
            resident_kib(ours.pid()) as f64 / 1024.0,
            Some(other_engine as f64 / 1024.0),
            "MiB",
            false,
        ),
    ];
    for engine in [ours, theirs] {
        let ids = output(&mut engine.command(&["ps", "-aq"]))?;
        let mut args = vec!["rm", "-f"];
        args.extend(ids.split_whitespace());
        engine.client(&args)?;
    }
    Ok(rows)
}

fn is_shim(pid: u32) -> bool {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.contains("shim") || name.contains("docker-proxy")
}

/// From the start of the daemon to its first answer, with stopped containers in the store.
fn startup(dir: &Path) -> Result<Row> {
    let mut measured = Vec::new();
    for start in [Engine::cale as fn(&Path) -> Result<Engine>, Engine::docker] {
        let name = if measured.is_empty() { "cale" } else { "docker" };
        let root = dir.join(name);
        let engine = start(&root)?;
        for _ in 0..STOPPED_CONTAINERS {
            engine.client(&["create", "busybox", "true"])?;
        }
        stop_keeping_containers(engine)?;
        let mut restarted = None;
        let mut begin = || {
            restarted = Some(start(&root)?);
            Ok(())
        };
        measured.push(timed(&mut begin)?.as_secs_f64() * 1000.0);
    }
    Ok(Row::figures(
        "start-up with 200 stopped containers",
        measured[0],
        Some(measured[1]),
        "ms",
        false,
    ))
}

/// Ends the daemon without removing its containers first.
fn stop_keeping_containers(engine: Engine) -> Result {
    let pid = engine.pid().to_string();
    quiet(Command::new("kill").args(["-KILL", &pid]))?;
    drop(engine);
    Ok(())
}

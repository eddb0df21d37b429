//! Builds through the classic door, by the real docker client and by cale.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use testkit::{
    engine::Engine,
    program::{Said, run},
};

/// A context below the engine's private directory.
fn context(engine: &Engine, files: &[(&str, &str)]) -> PathBuf {
    let dir = engine.path("context");
    for (name, text) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn docker_build(engine: &Engine, dir: &Path, args: &[&str]) -> Said {
    let mut command = engine.docker_command(&["build"]);
    command.args(args).arg(dir).env("DOCKER_BUILDKIT", "0");
    run(&mut command)
}

#[test]
fn stages_copies_and_commands_make_an_image() {
    let engine = Engine::start().with_busybox();
    let dir = context(
        &engine,
        &[
            (
                "Dockerfile",
                "ARG BASE=busybox\nFROM $BASE AS one\nRUN echo made > /made\nFROM busybox\nENV V=1\nWORKDIR /w\n\
                 COPY --from=one /made ./\nCOPY --chown=5:6 --chmod=640 dir /d\nCOPY *.txt /t/\n\
                 RUN test \"$(cat made)\" = made && test $V = 1\nCMD [\"cat\", \"made\"]\n",
            ),
            (".dockerignore", "dir/secret\n"),
            ("dir/f", "f"),
            ("dir/secret", "s"),
            ("a.txt", "a"),
            ("b.txt", "b"),
        ],
    );
    let said = docker_build(&engine, &dir, &["-t", "made:1"]).ok();
    assert!(said.contains("Step 1/10 : FROM $BASE AS one"), "{said}");
    assert!(said.contains("Successfully tagged made:1"), "{said}");
    assert_eq!(engine.docker(&["run", "--rm", "made:1"]).ok(), "made\n");
    let listed = engine
        .docker(&["run", "--rm", "made:1", "sh", "-c", "stat -c '%n %u:%g %a' /d/* /t/* && ls /d"])
        .ok();
    assert_eq!(listed, "/d/f 5:6 640\n/t/a.txt 0:0 644\n/t/b.txt 0:0 644\nf\n");
    let again = docker_build(&engine, &dir, &["-t", "made:2"]).ok();
    assert_eq!(again.matches("Using cache").count(), 6, "{again}");
    let id = |tag: &str| engine.docker(&["images", "-q", "--no-trunc", tag]).ok();
    assert_eq!(id("made:1"), id("made:2"));
    // Nothing stays of the steps: no container, no image without a name.
    assert_eq!(engine.docker(&["ps", "-aq"]).ok(), "");
    assert_eq!(engine.docker(&["images", "-aq", "--filter", "dangling=true"]).ok(), "");
}

#[test]
fn cale_builds_as_docker_does() {
    let engine = Engine::start().with_busybox();
    let dir = context(&engine, &[("Dockerfile", "FROM busybox\nRUN echo x > /x\nCMD cat /x\n")]);
    engine.cale(&["build", "-t", "x", dir.to_str().unwrap()]).ok();
    assert_eq!(engine.cale(&["run", "--rm", "x"]).ok(), "x\n");
    let quiet = docker_build(&engine, &dir, &["-q"]).ok();
    assert!(quiet.starts_with("sha256:"), "{quiet}");
}

#[test]
fn failures_name_the_step_and_leave_nothing() {
    let engine = Engine::start().with_busybox();
    let dir = context(&engine, &[("Dockerfile", "FROM busybox\nRUN echo before; exit 7\n")]);
    let failed = docker_build(&engine, &dir, &[]);
    assert_eq!(failed.code, 7, "{failed:?}");
    assert!(failed.out.contains("before"), "{failed:?}");
    assert!(
        failed
            .err
            .contains("The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7"),
        "{failed:?}"
    );
    assert_eq!(engine.docker(&["ps", "-aq"]).ok(), "");
    for (text, part) in [
        ("FROM busybox\nRNU x\n", "unknown instruction: RNU (did you mean RUN?)"),
        ("FROM busybox\nCOPY nothing /x\n", "not found"),
        ("FROM busybox\nCOPY ../../etc/passwd /x\n", "not found"),
        ("FROM busybox\nRUN --security=insecure true\n", "security.insecure is not allowed"),
        ("FROM busybox\nUSER nobody-here\nRUN true\n", "unable to find user nobody-here"),
    ] {
        fs::write(dir.join("Dockerfile"), text).unwrap();
        let failed = docker_build(&engine, &dir, &[]);
        assert_eq!(failed.code, 1, "{text}: {failed:?}");
        assert!(failed.err.contains(part), "{text}: {failed:?}");
    }
}

#[test]
fn links_in_a_context_stay_links() {
    let engine = Engine::start().with_busybox();
    let dir = context(&engine, &[("Dockerfile", "FROM busybox\nCOPY d /d\n"), ("d/f", "f")]);
    let canary = engine.path("canary");
    fs::write(&canary, "canary").unwrap();
    std::os::unix::fs::symlink(&canary, dir.join("d/link")).unwrap();
    docker_build(&engine, &dir, &["-t", "links"]).ok();
    let target = engine.docker(&["run", "--rm", "links", "readlink", "/d/link"]).ok();
    assert_eq!(target.trim(), canary.to_str().unwrap());
    // Taken by name, it is followed within the context only, where nothing is.
    fs::write(dir.join("Dockerfile"), "FROM busybox\nCOPY d/link /x\n").unwrap();
    assert_ne!(docker_build(&engine, &dir, &[]).code, 0);
}

#[test]
fn mounts_of_steps() {
    let engine = Engine::start().with_busybox();
    let dir = context(
        &engine,
        &[
            (
                "Dockerfile",
                "FROM busybox AS tools\nRUN mkdir /t && echo tool > /t/x\nFROM busybox\n\
                 RUN --mount=type=bind,target=/ctx cat /ctx/f > /got\n\
                 RUN --mount=from=tools,source=/t,target=/mnt/t,rw cat /mnt/t/x >> /got && echo > /mnt/t/y\n\
                 RUN --mount=type=cache,target=/c echo 1 >> /c/n && cp /c/n /n\n\
                 RUN --mount=type=tmpfs,target=/scratch touch /scratch/a\n\
                 RUN <<E\n#!/bin/sh\necho heredoc >> /got\nE\n",
            ),
            ("f", "file\n"),
        ],
    );
    docker_build(&engine, &dir, &["-t", "m"]).ok();
    assert_eq!(engine.docker(&["run", "--rm", "m", "cat", "/got"]).ok(), "file\ntool\nheredoc\n");
    let root = engine.docker(&["run", "--rm", "m", "ls", "/"]).ok();
    for stub in ["ctx", "mnt", "c", "scratch"] {
        assert!(!root.lines().any(|line| line == stub), "{stub} is left in {root}");
    }
    docker_build(&engine, &dir, &["-t", "m", "--no-cache"]).ok();
    assert_eq!(engine.docker(&["run", "--rm", "m", "cat", "/n"]).ok(), "1\n1\n");
}

#[test]
fn two_clean_builds_are_one() {
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let engine = Engine::start().with_busybox();
            let text = "FROM scratch\nCOPY d /d\nCOPY --chmod=600 d/f /f\n";
            let dir = context(&engine, &[("Dockerfile", text), ("d/f", "f"), ("d/g/h", "h")]);
            docker_build(&engine, &dir, &["-q"]).ok()
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

/// The Dockerfile that the project began with, in the names of Debian 12: the base image is called
/// `ubuntu`, packages come by apt and pip, the application by git, and it answers HTTP.
#[test]
fn the_missions_dockerfile() {
    let engine = Engine::start().with_debian();
    engine.docker(&["tag", "debian", "ubuntu"]).ok();
    let repository = engine.path("bottle-sample");
    fs::create_dir_all(&repository).unwrap();
    fs::write(
        repository.join("app.py"),
        "from bottle import route, run\n@route('/')\ndef index():\n    return 'Hello from the hold'\nrun(host='0.0.0.0', port=8080)\n",
    )
    .unwrap();
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(&repository).args(args);
        command.env("HOME", engine.dir()).env("GIT_CONFIG_NOSYSTEM", "1");
        run(&mut command).ok()
    };
    git(&["init", "-q", "-b", "main", "."]);
    git(&["add", "."]);
    git(&["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "app"]);
    let port = 20_000 + std::process::id() % 20_000;
    // `git daemon` would run this program as a child that outlives it.
    let programs = run(Command::new("git").arg("--exec-path")).ok();
    let mut server = Command::new(Path::new(programs.trim()).join("git-daemon"))
        .args(["--export-all", "--reuseaddr", "--listen=0.0.0.0"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", engine.dir().display()))
        .arg(engine.dir())
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .spawn()
        .unwrap();
    let gateway = engine
        .docker(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge"])
        .ok();
    let text = format!(
        "FROM ubuntu\nENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_BREAK_SYSTEM_PACKAGES=1\n\
         RUN apt-get update\nRUN apt-get install -y git-core\nRUN apt-get install -y python3-pip\n\
         RUN pip install bottle\nRUN git clone git://{}:{port}/bottle-sample\n\
         CMD python3 bottle-sample/app.py\n",
        gateway.trim()
    );
    let dir = context(&engine, &[("Dockerfile", &text)]);
    let built = docker_build(&engine, &dir, &["-t", "hello"]);
    server.kill().unwrap();
    server.wait().unwrap();
    built.ok();
    engine.docker(&["run", "-d", "--name", "web", "hello"]).ok();
    let address = engine
        .docker(&["inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "web"])
        .ok();
    let url = format!("http://{}:8080/", address.trim());
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let said = run(Command::new("curl").args(["-s", "--noproxy", "*", &url]));
        if said.out == "Hello from the hold" {
            break;
        }
        assert!(Instant::now() < deadline, "{said:?}\n{}", engine.docker(&["logs", "web"]).err);
        std::thread::sleep(Duration::from_millis(200));
    }
}

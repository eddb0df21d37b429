//! `run` with every everyday flag, through the real `docker` client and through `cale`: both must
//! print the same.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use testkit::{
    engine::Engine,
    program::{Said, run_with_input},
};

/// Runs the same arguments through both clients and demands the same answer.
#[track_caller]
fn both(engine: &Engine, args: &[&str]) -> Said {
    let docker = engine.docker(args);
    let cale = engine.cale(args);
    assert_eq!(
        (docker.code, &docker.out),
        (cale.code, &cale.out),
        "docker and cale differ for {args:?}\ndocker: {}\ncale: {}",
        docker.err,
        cale.err
    );
    cale
}

/// `run --rm` of a shell line in busybox with further flags.
#[track_caller]
fn sh(engine: &Engine, flags: &[&str], script: &str) -> Said {
    let mut args = vec!["run", "--rm"];
    args.extend(flags);
    args.extend(["busybox", "sh", "-c", script]);
    both(engine, &args)
}

#[test]
fn a_command_runs_and_its_code_comes_back() {
    let engine = Engine::start().with_busybox();
    assert_eq!(both(&engine, &["run", "--rm", "busybox", "echo", "hello"]).ok(), "hello\n");
    assert_eq!(sh(&engine, &[], "exit 42").code, 42);
    assert_eq!(sh(&engine, &[], "sleep 9 & kill -9 $!; wait $!").code, 137);
    let said = sh(&engine, &[], "echo out; echo err >&2");
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\n", "err\n"));
}

#[test]
fn environment_directory_user_and_entrypoint() {
    let engine = Engine::start().with_busybox();
    assert_eq!(
        sh(&engine, &["-e", "A=1", "-e", "B=x y"], "echo $A-$B-$HOME").ok(),
        "1-x y-/root\n"
    );
    assert_eq!(sh(&engine, &["-w", "/var/new"], "pwd").ok(), "/var/new\n");
    assert_eq!(
        sh(&engine, &["-u", "www-data"], "id -u; id -g; echo $HOME").ok(),
        "33\n33\n/var/www\n"
    );
    assert_eq!(sh(&engine, &["-u", "1234:99"], "id -u; id -g").ok(), "1234\n99\n");
    assert_eq!(
        sh(&engine, &["-h", "named"], "hostname; grep -c named /etc/hosts").ok(),
        "named\n1\n"
    );
    let said = both(&engine, &["run", "--rm", "--entrypoint", "echo", "busybox", "a", "b"]);
    assert_eq!(said.ok(), "a b\n");
}

#[test]
fn bounds_are_set_and_seen() {
    let engine = Engine::start().with_busybox();
    let memory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
    assert_eq!(sh(&engine, &["--memory", "64m"], memory).ok().trim(), "67108864");
    let cpus = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
    assert_eq!(sh(&engine, &["--cpus", "0.5"], cpus).ok().trim(), "50000");
    let pids = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max";
    assert_eq!(sh(&engine, &["--pids-limit", "77"], pids).ok().trim(), "77");
    assert_eq!(sh(&engine, &["--ulimit", "nofile=512:512"], "ulimit -n").ok(), "512\n");
    assert_eq!(
        sh(&engine, &["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward")
            .ok(),
        "1\n"
    );
}

#[test]
fn a_process_over_its_memory_limit_is_killed() {
    let engine = Engine::start().with_busybox();
    let eat = [
        "run",
        "--name",
        "eater",
        "--memory",
        "16m",
        "--memory-swap",
        "16m",
        "busybox",
        "sh",
        "-c",
        "tail -c 200000000 /dev/zero",
    ];
    assert_eq!(engine.cale(&eat).code, 137);
    let oom = engine.docker(&["inspect", "--format", "{{.State.OOMKilled}}", "eater"]).ok();
    assert_eq!(oom, "true\n");
}

#[test]
fn the_root_is_confined() {
    let engine = Engine::start().with_busybox();
    let caps = "grep CapEff /proc/self/status | cut -f2";
    assert_eq!(sh(&engine, &[], caps).ok(), "00000000a80425fb\n");
    assert_eq!(sh(&engine, &["--cap-drop", "ALL"], caps).ok(), "0000000000000000\n");
    assert_eq!(
        sh(&engine, &["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"], caps).ok(),
        "0000000000001000\n"
    );
    assert_eq!(sh(&engine, &[], "grep Seccomp: /proc/self/status | cut -f2").ok(), "2\n");
    assert_eq!(
        sh(&engine, &["--privileged"], "grep Seccomp: /proc/self/status | cut -f2").ok(),
        "0\n"
    );
    assert_ne!(sh(&engine, &[], "mount -t tmpfs x /mnt").code, 0);
    assert_ne!(sh(&engine, &[], "echo 1 > /proc/sys/kernel/sysrq").code, 0);
    assert_eq!(sh(&engine, &[], "wc -c < /proc/keys").ok(), "0\n");
    assert_eq!(
        sh(
            &engine,
            &["--security-opt", "no-new-privileges"],
            "grep NoNewPrivs /proc/self/status | cut -f2"
        )
        .ok(),
        "1\n"
    );
}

#[test]
fn files_of_the_host_and_of_memory() {
    let engine = Engine::start().with_busybox();
    let dir = engine.path("shared");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("file"), "from the host\n").unwrap();
    let bind = format!("{}:/data", dir.display());
    let readonly = format!("{bind}:ro");
    assert_eq!(
        sh(&engine, &["-v", &bind], "cat /data/file; echo in > /data/made").ok(),
        "from the host\n"
    );
    assert_eq!(std::fs::read_to_string(dir.join("made")).unwrap(), "in\n");
    assert_ne!(sh(&engine, &["-v", &readonly], "echo x > /data/file").code, 0);
    let mount = format!("type=bind,source={},target=/data,readonly", dir.display());
    assert_eq!(sh(&engine, &["--mount", &mount], "cat /data/file").ok(), "from the host\n");
    assert_eq!(
        sh(
            &engine,
            &["--tmpfs", "/scratch:size=1m"],
            "df -k /scratch | tail -1 | awk '{print $2}'"
        )
        .ok(),
        "1024\n"
    );
    assert_ne!(sh(&engine, &["--read-only"], "echo x > /file").code, 0);
    assert_eq!(
        sh(&engine, &["--read-only", "--tmpfs", "/tmp"], "echo x > /tmp/f && cat /tmp/f").ok(),
        "x\n"
    );
    engine.cale(&["run", "--rm", "-v", "kept:/v", "busybox", "sh", "-c", "echo stays > /v/f"]).ok();
    assert_eq!(sh(&engine, &["-v", "kept:/v"], "cat /v/f").ok(), "stays\n");
}

#[test]
fn standard_input_reaches_the_process() {
    let engine = Engine::start().with_busybox();
    let args = ["run", "-i", "--rm", "busybox", "cat"];
    assert_eq!(
        run_with_input(&mut engine.docker_command(&args), b"through docker").ok(),
        "through docker"
    );
    let long = vec![b'x'; 3_000_000];
    let said = run_with_input(&mut engine.cale_command(&args), &long);
    assert_eq!(said.ok().len(), long.len());
}

#[test]
fn init_reaps_and_forwards() {
    let engine = Engine::start().with_busybox();
    let script = "(sleep 0.1 &) ; sleep 0.5; ps -o stat | grep -c Z";
    assert_eq!(sh(&engine, &["--init"], script).out, "0\n");
    assert_eq!(sh(&engine, &["--init"], "exit 7").code, 7);
}

#[test]
fn a_terminal_is_a_terminal() {
    let engine = Engine::start().with_busybox();
    for command in [
        engine.docker_command(&[
            "run",
            "--rm",
            "-t",
            "busybox",
            "sh",
            "-c",
            "tty; test -t 1 && echo yes",
        ]),
        engine.cale_command(&[
            "run",
            "--rm",
            "-t",
            "busybox",
            "sh",
            "-c",
            "tty; test -t 1 && echo yes",
        ]),
    ] {
        let mut command = command;
        assert_eq!(testkit::program::run(&mut command).ok(), "/dev/pts/0\r\nyes\r\n");
    }
}

#[test]
fn namespaces_are_shared_only_when_asked() {
    let engine = Engine::start().with_busybox();
    assert_eq!(sh(&engine, &[], "echo $$").ok(), "1\n");
    let host = std::fs::read_link("/proc/self/ns/uts").unwrap();
    let uts = "readlink /proc/self/ns/uts";
    assert_ne!(
        engine.cale(&["run", "--rm", "busybox", "sh", "-c", uts]).ok().trim(),
        host.to_str().unwrap()
    );
    assert_eq!(sh(&engine, &["--uts", "host"], uts).ok().trim(), host.to_str().unwrap());
    engine.cale(&["run", "-d", "--name", "base", "busybox", "sleep", "60"]).ok();
    let joined = sh(&engine, &["--pid", "container:base"], "ps | grep -c 'sleep 60'").ok();
    assert_ne!(joined.trim(), "0");
    let net = "readlink /proc/self/ns/net";
    let base = engine.docker(&["exec", "base", "sh", "-c", net]).ok();
    assert_eq!(sh(&engine, &["--network", "container:base"], net).ok(), base);
}

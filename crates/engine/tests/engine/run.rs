//! Running things: streams, exit codes, isolation, limits, users, networks.

use engine::container::*;
use model::{container::*, network::NetworkMode};

use crate::{
    tests,
    world::{World, shell, timely},
};

tests![
    hello,
    output_and_exit_code,
    errors_of_the_program,
    isolation,
    limits,
    users_and_environment,
    standard_input,
    terminal,
    readonly_and_tmpfs,
    privileged,
    shared_with_the_host,
    image_mounts,
    init_reaps,
    namespaces_of_others,
    bridge_network,
    execs,
];

async fn hello(world: World) -> World {
    let spec = ContainerSpec { image: "hello".to_owned(), ..ContainerSpec::default() };
    let request = CreateRequest { name: Some("greeter".to_owned()), spec };
    let id = world.engine.containers().create(request).await.unwrap().id.to_string();
    let (code, text) = world.finish(&id).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("I am process 1 of 1"), "{text}");
    assert!(text.contains("interfaces lo, eth0"), "{text}");
    assert!(text.contains("14 of root's"), "{text}");
    world
}

async fn output_and_exit_code(world: World) -> World {
    let (code, text) = world.run("echo out; echo err >&2; exit 7", |_| {}).await;
    assert_eq!((code, text.as_str()), (7, "out\nerr\n"));
    let id = world.create("echo logged; sh -c 'kill -9 $$' 2>/dev/null; exit $?", |_| {}).await;
    assert_eq!(world.finish(&id).await.0, 137);
    let request = LogsRequest { stdout: true, stderr: true, ..LogsRequest::default() };
    let mut log = world.engine.containers().logs(&id, request).await.unwrap();
    assert_eq!(log.next().await.unwrap().unwrap().bytes, b"logged\n");
    assert!(log.next().await.is_none());
    world
}

async fn errors_of_the_program(world: World) -> World {
    for (word, code, part) in [
        ("nosuchprogram", 127, "executable file not found in $PATH"),
        ("/etc/passwd", 126, "permission denied"),
    ] {
        let spec = shell("", |spec| spec.process.cmd = Some(vec![word.to_owned()]));
        let request = CreateRequest { name: None, spec };
        let id = world.engine.containers().create(request).await.unwrap().id.to_string();
        let error = world.engine.containers().start(&id).await.unwrap_err();
        assert!(error.text().contains(part), "{}", error.text());
        let state = world.state(&id).await;
        assert_eq!(state.exit_code, code);
        assert_eq!(state.status, model::state::Status::Created);
        assert!(!state.error.is_empty());
    }
    let error = world
        .engine
        .containers()
        .create(CreateRequest { name: None, spec: shell("", |s| s.image = "missing".to_owned()) })
        .await
        .unwrap_err();
    assert_eq!(error.text(), "No such image: missing:latest");
    world
}

async fn isolation(world: World) -> World {
    let script = "echo $$; hostname; ls /proc | grep -c '^[0-9]'; \
        grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/self/status; touch /proc/sys/kernel/hostname 2>&1; \
        cat /proc/kcore | wc -c; ls /dev | tr '\\n' ' '";
    let (code, text) = world.run(script, |_| {}).await;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(code, 0, "{text}");
    assert_eq!(lines[0], "1");
    assert_eq!(lines[1].len(), 12);
    assert!(text.contains("CapEff:\t00000000a80425fb"), "{text}");
    assert!(text.contains("Seccomp:\t2"), "{text}");
    assert!(text.contains("Read-only file system"), "{text}");
    assert!(text.contains("null"), "{text}");
    world
}

async fn limits(world: World) -> World {
    let (_, text) = world
        .run("cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
              cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; ulimit -n", |spec| {
            spec.host.resources.memory = Some(64 << 20);
            spec.host.resources.pids_limit = Some(33);
            spec.host.ulimits = vec![model::resources::Ulimit {
                name: "nofile".to_owned(),
                soft: 123,
                hard: 456,
            }];
        })
        .await;
    assert_eq!(text, "67108864\n33\n123\n");
    let (code, _) = world
        .run("x=a; while true; do x=$x$x$x; done", |spec| {
            spec.host.resources.memory = Some(16 << 20);
            spec.host.resources.memory_swap = Some(16 << 20);
        })
        .await;
    assert_eq!(code, 137);
    let killed = world.all().await.into_iter().find(|c| c.snapshot.state.oom_killed);
    assert!(killed.is_some(), "no container says that memory ran out");
    world
}

async fn users_and_environment(world: World) -> World {
    let (_, text) = world
        .run("id -u; id -g; echo $HOME $A $PWD", |spec| {
            spec.process.user = Some("nobody".to_owned());
            spec.process.env = vec!["A=b c".to_owned()];
            spec.process.working_dir = Some("/tmp".to_owned());
        })
        .await;
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].parse::<u32>().unwrap() > 1000, "{text}");
    assert!(lines[2].ends_with("b c /tmp"), "{text}");
    let spec = shell("id", |spec| spec.process.user = Some("ghost".to_owned()));
    let id = world.engine.containers().create(CreateRequest { name: None, spec }).await.unwrap().id;
    let error = world.engine.containers().start(id.as_str()).await.unwrap_err();
    assert!(error.text().contains("unable to find user ghost"), "{}", error.text());
    world
}

async fn standard_input(world: World) -> World {
    let id = world
        .create("cat; echo end", |spec| {
            spec.process.open_stdin = true;
            spec.process.stdin_once = true;
        })
        .await;
    let mut client = world.attach(&id, true).await;
    world.engine.containers().start(&id).await.unwrap();
    client.write("one\ntwo\n");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.text().await, "one\ntwo\nend\n");
    world
}

async fn terminal(world: World) -> World {
    let id = world
        .create("tty; stty size", |spec| {
            spec.process.tty = true;
            spec.host.console_size = Some((24, 80));
        })
        .await;
    let (code, text) = world.finish(&id).await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("/dev/") && text.contains("24 80"), "{text}");
    world
}

async fn readonly_and_tmpfs(world: World) -> World {
    let (code, text) = world
        .run("touch /x 2>&1; touch /run/y && echo fine; mount | grep -c ' /run '", |spec| {
            spec.host.readonly_rootfs = true;
            spec.host.tmpfs.insert("/run".to_owned(), "size=1m".to_owned());
        })
        .await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Read-only file system") && text.contains("fine"), "{text}");
    world
}

async fn privileged(world: World) -> World {
    let (code, text) = world
        .run("grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /mnt 2>&1 || mkdir /m && mount -t tmpfs x /m && echo mounted; ls /dev | wc -l; echo 1 > /proc/sys/vm/panic_on_oom && echo 0 > /proc/sys/vm/panic_on_oom && echo written", |spec| {
            spec.host.privileged = true;
        })
        .await;
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("Seccomp:\t0") && text.contains("mounted"), "{text}");
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = own.lines().find(|line| line.starts_with("CapBnd")).unwrap();
    let all = line.split('\t').nth(1).unwrap();
    assert!(text.contains(&format!("CapEff:\t{all}")), "{text}");
    world
}

async fn shared_with_the_host(world: World) -> World {
    let (code, text) = world
        .run("for kind in net pid ipc uts; do readlink /proc/self/ns/$kind; done", |spec| {
            spec.host.network_mode = NetworkMode::Host;
            spec.host.namespaces.pid = NamespaceMode::Host;
            spec.host.namespaces.ipc = IpcMode::Host;
            spec.host.namespaces.uts = NamespaceMode::Host;
        })
        .await;
    assert_eq!(code, 0, "{text}");
    for (line, kind) in text.lines().zip(["net", "pid", "ipc", "uts"]) {
        let own = std::fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap();
        assert_eq!(line, own.to_string_lossy(), "{kind}");
    }
    // Without a pid namespace of its own, its children outlive process 1 unless they are ended.
    let id = world
        .create("sleep 1234 & echo $!; exit 0", |spec| {
            spec.host.namespaces.pid = NamespaceMode::Host;
        })
        .await;
    let containers = world.engine.containers();
    let waiting = containers.wait(&id, WaitCondition::NextExit).await.unwrap();
    containers.start(&id).await.unwrap();
    timely(waiting.outcome()).await;
    let request = LogsRequest { stdout: true, ..LogsRequest::default() };
    let mut log = containers.logs(&id, request).await.unwrap();
    let line = String::from_utf8(log.next().await.unwrap().unwrap().bytes).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{}", line.trim()));
    for _ in 0..100 {
        if !process.exists() {
            return world;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("a child of the container is left");
}

async fn image_mounts(world: World) -> World {
    let mount = model::mount::Mount {
        target: "/img".to_owned(),
        readonly: false,
        source: model::mount::MountSource::Image { reference: "busybox".to_owned(), subpath: None },
        origin: model::mount::MountOrigin::Mount,
    };
    let (code, text) = world
        .run("cat /img/etc/passwd | head -1; touch /img/x 2>&1; true", |spec| {
            spec.host.mounts = vec![mount];
        })
        .await;
    assert_eq!(code, 0);
    assert!(text.starts_with("root:") && text.contains("Read-only file system"), "{text}");
    world
}

async fn init_reaps(world: World) -> World {
    let (code, text) = world
        .run(
            "sh -c 'sleep 0.1 & exit 0'; sleep 0.4; ps -o stat | grep -c '^Z'; echo $$; exit 3",
            |spec| {
                spec.host.init = Some(true);
            },
        )
        .await;
    assert_eq!(code, 3);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0", "{text}");
    assert_ne!(lines[1], "1", "{text}");
    world
}

async fn namespaces_of_others(world: World) -> World {
    let donor = world
        .create("echo 1 > /dev/shm/mark; hostname donor 2>/dev/null; sleep 60", |spec| {
            spec.host.namespaces.ipc = IpcMode::Shareable;
            spec.process.stop_signal = Some("KILL".to_owned());
        })
        .await;
    world.engine.containers().start(&donor).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let (code, text) = world
        .run("ls /proc | grep -c '^[0-9]'; cat /dev/shm/mark; readlink /proc/self/ns/net", |spec| {
            spec.host.namespaces.ipc = IpcMode::Container(donor.clone());
            spec.host.namespaces.pid = NamespaceMode::Container(donor.clone());
            spec.host.network_mode = NetworkMode::Container(donor.clone());
        })
        .await;
    assert_eq!(code, 0, "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].parse::<u32>().unwrap() >= 3, "{text}");
    assert_eq!(lines[1], "1");
    let pid = world.state(&donor).await.pid;
    let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_eq!(lines[2], theirs.to_string_lossy());
    world
}

async fn bridge_network(world: World) -> World {
    let server = world
        .create("echo hi > /i; httpd -f -p 80 -h /", |spec| {
            spec.host.network_mode = NetworkMode::Default;
            spec.host.port_bindings = vec![model::port::PortBinding {
                container: "80/tcp".parse().unwrap(),
                host_ip: None,
                host_ports: Some((8123, 8123)),
            }];
        })
        .await;
    world.engine.containers().start(&server).await.unwrap();
    let state = world.state(&server).await;
    let (address, _) = state.endpoints["bridge"].ipv4.unwrap();
    let second = world
        .create("true", |spec| {
            spec.host.network_mode = NetworkMode::Default;
            spec.host.port_bindings = vec![model::port::PortBinding {
                container: "80/tcp".parse().unwrap(),
                host_ip: None,
                host_ports: Some((8123, 8123)),
            }];
        })
        .await;
    let error = world.engine.containers().start(&second).await.unwrap_err();
    assert!(error.text().contains("port is already allocated"), "{}", error.text());
    assert_eq!(world.engine.containers().start(&second).await.unwrap_err().text(), error.text());
    assert!(!state.ports.is_empty());
    let (code, text) = world
        .run(
            &format!("for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://{address}/i 2>/dev/null && break; sleep 0.1; done; cat /etc/resolv.conf | wc -l; hostname -i"),
            |spec| {
                spec.host.network_mode = NetworkMode::Default;
            },
        )
        .await;
    assert_eq!(code, 0, "{text}");
    assert!(text.starts_with("hi\n"), "{text}");
    let (code, text) = world
        .run("wget -qO- http://10.222.0.1:8123/i", |spec| {
            spec.host.network_mode = NetworkMode::Default;
        })
        .await;
    assert_eq!((code, text.as_str()), (0, "hi\n"));
    world
}

async fn execs(world: World) -> World {
    let id = world.create("sleep 60", |spec| spec.process.env = vec!["A=1".to_owned()]).await;
    world.engine.containers().start(&id).await.unwrap();
    let (code, text) = world.exec(&id, &["sh", "-c", "echo $A $$; exit 5"]).await;
    assert_eq!(code, 5);
    assert!(text.starts_with("1 "), "{text}");
    let (_, text) = world.exec(&id, &["nosuch"]).await;
    assert!(text.contains("executable file not found"), "{text}");
    let top = world.engine.containers().top(&id, "").await.unwrap();
    assert_eq!(top.processes.len(), 1);
    let mut stats = world.engine.containers().stats(&id).await.unwrap();
    let frame = timely(stats.next()).await.unwrap();
    assert_eq!(frame.current.unwrap().usage.pids.current, Some(1));
    world
}

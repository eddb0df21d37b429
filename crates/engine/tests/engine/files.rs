//! Files: volumes, binds, archives in and out, changes, export, commit.

use engine::container::*;
use indexmap::IndexMap;
use model::mount::*;
use tokio::io::AsyncReadExt;

use crate::{tests, world::World};

tests![volumes, binds, copies, changes_and_commit];

fn volume(name: Option<&str>, target: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        readonly: false,
        source: MountSource::Volume {
            name: name.map(str::to_owned),
            copy_up: true,
            labels: IndexMap::new(),
            driver: None,
            driver_options: IndexMap::new(),
            subpath: None,
        },
        origin: MountOrigin::Mount,
    }
}

async fn volumes(world: World) -> World {
    let (code, text) = world
        .run("ls /etc | head -1; echo kept > /etc/mark", |spec| {
            spec.host.mounts = vec![volume(Some("data"), "/etc")];
        })
        .await;
    assert_eq!(code, 0, "{text}");
    let (_, text) = world
        .run("cat /v/mark; test -e /v/passwd && echo copied", |spec| {
            spec.host.mounts = vec![volume(Some("data"), "/v")];
        })
        .await;
    assert_eq!(text, "kept\ncopied\n");
    let error = world.engine.volumes().remove("data", false).await.unwrap_err();
    assert!(error.text().starts_with("remove data: volume is in use"), "{}", error.text());
    let id = world.create("true", |spec| spec.volumes = vec!["/anon".to_owned()]).await;
    let record = world.engine.containers().inspect(&id, false).await.unwrap().snapshot.record;
    let name = record.mounts[0].name.clone();
    assert_eq!(name.len(), 64);
    let remove = RemoveRequest { volumes: true, ..RemoveRequest::default() };
    world.engine.containers().remove(&id, remove).await.unwrap();
    assert_eq!(
        world.engine.volumes().inspect(&name).await.unwrap_err().to_string(),
        format!("get {name}: no such volume")
    );
    world
}

async fn binds(world: World) -> World {
    let host = tempfile::tempdir().unwrap();
    std::fs::write(host.path().join("f"), "from the host").unwrap();
    let bind = |path: &std::path::Path, create: bool, readonly: bool| Mount {
        target: "/b".to_owned(),
        readonly,
        source: MountSource::Bind {
            path: path.display().to_string(),
            create,
            propagation: Propagation::Unset,
            recursive: true,
            readonly_recursion: ReadonlyRecursion::IfPossible,
            relabel: Relabel::No,
        },
        origin: MountOrigin::Mount,
    };
    let (_, text) = world
        .run("cat /b/f; (echo x > /b/g) 2>&1 || echo no", |spec| {
            spec.host.mounts = vec![bind(host.path(), false, true)];
        })
        .await;
    assert!(text.starts_with("from the host") && text.ends_with("no\n"), "{text}");
    let missing = host.path().join("missing");
    let spec = crate::world::shell("true", |spec| {
        spec.host.mounts = vec![bind(&missing, false, false)];
    });
    let request = CreateRequest { name: None, spec };
    let error = world.engine.containers().create(request).await.unwrap_err();
    assert!(error.text().contains("bind source path does not exist"), "{}", error.text());
    let (code, _) = world
        .run("touch /b/made", |spec| spec.host.mounts = vec![bind(&missing, true, false)])
        .await;
    assert_eq!(code, 0);
    assert!(missing.join("made").exists());
    world
}

fn archive(name: &str, content: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = store::archive::Writer::new(&mut bytes);
    let mut entry =
        store::archive::Entry::new(name.as_bytes(), store::archive::EntryKind::File, 0o640);
    entry.size = content.len() as u64;
    entry.uid = 1234;
    writer.append(&entry, content.as_bytes()).unwrap();
    writer.finish().unwrap();
    bytes
}

async fn copies(world: World) -> World {
    let id = world.create("cat /tmp/in; ln -s /etc/passwd /tmp/link; sleep 60", |_| {}).await;
    let containers = world.engine.containers();
    // Into one that rests, out of one that runs.
    let body = Box::pin(std::io::Cursor::new(archive("in", "copied in\n")));
    containers.archive_put(&id, "/tmp", PutRequest::default(), body).await.unwrap();
    let output = world.attach(&id, false).await;
    containers.start(&id).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let stat = containers.archive_stat(&id, "/tmp/in").await.unwrap();
    assert_eq!((stat.name.as_str(), stat.size, stat.unix_mode), ("in", 10, 0o100_640));
    let link = containers.archive_stat(&id, "/tmp/link").await.unwrap();
    assert_eq!(link.link_target, "/etc/passwd");
    let (_, mut reader) = containers.archive_get(&id, "/tmp/in").await.unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes.windows(9).any(|part| part == b"copied in"));
    let body = Box::pin(std::io::Cursor::new(archive("live", "x")));
    let keep = PutRequest { keep_owners: true, ..PutRequest::default() };
    containers.archive_put(&id, "/tmp/", keep, body).await.unwrap();
    let (_, text) = world.exec(&id, &["stat", "-c", "%u %a", "/tmp/live"]).await;
    assert_eq!(text, "1234 640\n");
    let error = containers.archive_stat(&id, "/no/such").await.unwrap_err();
    assert_eq!(error.to_string(), format!("Could not find the file /no/such in container {id}"));
    containers.kill(&id, None).await.unwrap();
    assert!(output.text().await.contains("copied in"));
    world
}

async fn changes_and_commit(world: World) -> World {
    let id = world.create("echo 1 > /new; rm /etc/group; echo x >> /etc/passwd", |_| {}).await;
    world.finish(&id).await;
    let containers = world.engine.containers();
    let changes = containers.changes(&id).await.unwrap();
    let kind = |path: &str| changes.iter().find(|c| c.path == path).map(|c| c.kind);
    assert_eq!(kind("/new"), Some(ChangeKind::Added));
    assert_eq!(kind("/etc/group"), Some(ChangeKind::Deleted));
    assert_eq!(kind("/etc/passwd"), Some(ChangeKind::Modified));
    let request = CommitRequest {
        reference: Some("mine:1".parse().unwrap()),
        changes: vec!["CMD [\"cat\", \"/new\"]".to_owned()],
        comment: "made by hand".to_owned(),
        ..CommitRequest::default()
    };
    containers.commit(&id, request).await.unwrap();
    let spec = crate::world::shell("", |spec| {
        spec.image = "mine:1".to_owned();
        spec.process.cmd = None;
    });
    let new = containers.create(CreateRequest { name: None, spec }).await.unwrap().id.to_string();
    assert_eq!(world.finish(&new).await, (0, "1\n".to_owned()));
    let mut reader = containers.export(&id).await.unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    let mut names = tar_names(&bytes);
    names.retain(|name| name == "new" || name == "etc/group");
    assert_eq!(names, ["new"]);
    world
}

fn tar_names(bytes: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            entry.unwrap().path().unwrap().to_string_lossy().trim_end_matches('/').to_owned()
        })
        .collect()
}

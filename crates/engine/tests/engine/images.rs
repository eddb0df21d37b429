//! Images: names, history, removal, save and load.

use model::{ErrorKind, filter::Filters};
use tokio::io::AsyncReadExt;

use crate::{tests, world::World};

tests![names_and_removal, save_and_load];

async fn names_and_removal(world: World) -> World {
    let images = world.engine.images();
    images.tag("busybox", &"me/box:2".parse().unwrap()).await.unwrap();
    let found = images.inspect("me/box:2", None).await.unwrap();
    assert_eq!(found.tags.len(), 2);
    let history = images.history("busybox", None).await.unwrap();
    assert_eq!(history[0].id.as_ref(), Some(&found.id));
    assert!(history[0].size > 0);
    let removed = images.remove("me/box:2", Default::default()).await.unwrap();
    assert_eq!(removed, [engine::image::Removed::Untagged("me/box:2".to_owned())]);
    let id = world.create("true", |_| {}).await;
    let error = images.remove("busybox", Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    world.engine.containers().remove(&id, Default::default()).await.unwrap();
    images.remove("busybox", Default::default()).await.unwrap();
    let error = images.inspect("busybox", None).await.unwrap_err();
    assert_eq!(error.to_string(), "No such image: busybox:latest");
    assert!(images.list(Default::default()).await.unwrap().is_empty());
    world
}

async fn save_and_load(world: World) -> World {
    let images = world.engine.images();
    let before = images.inspect("busybox", None).await.unwrap();
    let mut reader = images.save(&["busybox".to_owned()], None).await.unwrap();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    images.remove("busybox", Default::default()).await.unwrap();
    images.prune(Filters::default()).await.unwrap();
    let (progress, mut steps) = tokio::sync::mpsc::channel(64);
    let archive = Box::pin(std::io::Cursor::new(bytes));
    let ids = images.load(archive, None, progress).await.unwrap();
    assert_eq!(ids, std::slice::from_ref(&before.id));
    let mut said = Vec::new();
    while let Some(step) = steps.recv().await {
        said.push(format!("{step:?}"));
    }
    assert!(said.iter().any(|step| step.contains("Loaded image: busybox:latest")), "{said:?}");
    assert_eq!(world.run("echo again", |_| {}).await, (0, "again\n".to_owned()));
    world
}

//! Lifecycle: stop, kill, restart, pause, rename, update, policies, health, removal, events.

use std::time::Duration;

use engine::{container::*, event::EventsRequest};
use model::{ErrorKind, container::*, filter::Filters, state::*};

use crate::{
    tests,
    world::{World, shell, timely},
};

tests![
    stop_and_start,
    pause_and_kill,
    names,
    restart_policy,
    health,
    auto_remove,
    updates,
    lists,
    events_of_a_life,
    forced_removal,
    concurrent_requests,
];

async fn stop_and_start(world: World) -> World {
    let id = world
        .create("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done", |_| {})
        .await;
    let containers = world.engine.containers();
    containers.start(&id).await.unwrap();
    let error = containers.start(&id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotModified);
    tokio::time::sleep(Duration::from_millis(200)).await;
    timely(containers.stop(&id, StopRequest::default())).await.unwrap();
    let state = world.state(&id).await;
    assert_eq!((state.status, state.exit_code), (Status::Exited, 3));
    let error = containers.stop(&id, StopRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotModified);
    timely(containers.restart(&id, StopRequest::default())).await.unwrap();
    assert_eq!(world.state(&id).await.status, Status::Running);
    timely(containers.restart(&id, StopRequest { timeout_s: Some(0), ..Default::default() }))
        .await
        .unwrap();
    assert_eq!(world.state(&id).await.status, Status::Running);
    // A program that ignores the signal is killed when its time is over.
    let deaf = world.create("trap '' TERM; while :; do sleep 0.1; done", |_| {}).await;
    containers.start(&deaf).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    timely(containers.stop(&deaf, StopRequest::default())).await.unwrap();
    assert_eq!(world.state(&deaf).await.exit_code, 137);
    world
}

async fn pause_and_kill(world: World) -> World {
    let id = world.create("sleep 60", |_| {}).await;
    let containers = world.engine.containers();
    assert_eq!(containers.pause(&id).await.unwrap_err().kind(), ErrorKind::Conflict);
    containers.start(&id).await.unwrap();
    containers.pause(&id).await.unwrap();
    assert_eq!(world.state(&id).await.status, Status::Paused);
    containers.unpause(&id).await.unwrap();
    containers.pause(&id).await.unwrap();
    containers.kill(&id, None).await.unwrap();
    let state = world.until(&id, |state| !state.is_running()).await;
    assert_eq!(state.exit_code, 137);
    assert_eq!(containers.kill(&id, None).await.unwrap_err().kind(), ErrorKind::Conflict);
    world
}

async fn names(world: World) -> World {
    let containers = world.engine.containers();
    let request =
        |name: &str| CreateRequest { name: Some(name.to_owned()), spec: shell("true", |_| {}) };
    let first = containers.create(request("/web")).await.unwrap().id.to_string();
    let error = containers.create(request("web")).await.unwrap_err();
    assert!(error.text().starts_with("Conflict. The container name \"/web\" is already in use by"));
    containers.rename("web", "front").await.unwrap();
    containers.create(request("web")).await.unwrap();
    assert_eq!(containers.resolve("front").await.unwrap().to_string(), first);
    assert_eq!(containers.resolve(&first[..8]).await.unwrap().to_string(), first);
    assert_eq!(containers.rename("web", "front").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(
        containers.resolve("nobody").await.unwrap_err().to_string(),
        "No such container: nobody"
    );
    world
}

async fn restart_policy(world: World) -> World {
    let id = world
        .create("echo run >> /count; exit 1", |spec| {
            spec.host.restart_policy = RestartPolicy::OnFailure { max_retries: 2 };
        })
        .await;
    world.engine.containers().start(&id).await.unwrap();
    world.until(&id, |state| state.status == Status::Exited).await;
    let found = world.engine.containers().inspect(&id, false).await.unwrap();
    assert_eq!(found.snapshot.record.restart_count, 2);
    let always =
        world.create("sleep 60", |spec| spec.host.restart_policy = RestartPolicy::Always).await;
    world.engine.containers().start(&always).await.unwrap();
    timely(world.engine.containers().stop(&always, StopRequest::default())).await.unwrap();
    assert_eq!(world.state(&always).await.status, Status::Exited);
    world
}

async fn health(world: World) -> World {
    let id = world
        .create("sleep 60", |spec| {
            spec.healthcheck = Some(HealthCheck {
                test: vec!["CMD-SHELL".to_owned(), "echo probe; test -e /well".to_owned()],
                interval: 100_000_000,
                timeout: 5_000_000_000,
                retries: 2,
                ..HealthCheck::default()
            });
        })
        .await;
    world.engine.containers().start(&id).await.unwrap();
    assert_eq!(world.state(&id).await.health.status, Health::Starting);
    let state = world.until(&id, |state| state.health.status == Health::Unhealthy).await;
    assert_eq!(state.health.log[0].output, "probe\n");
    world.exec(&id, &["touch", "/well"]).await;
    world.until(&id, |state| state.health.status == Health::Healthy).await;
    world
}

async fn auto_remove(world: World) -> World {
    let id = world.create("exit 4", |spec| spec.host.auto_remove = true).await;
    let waiting = world.engine.containers().wait(&id, WaitCondition::Removed).await.unwrap();
    world.engine.containers().start(&id).await.unwrap();
    assert_eq!(timely(waiting.outcome()).await.exit_code, 4);
    assert!(world.engine.containers().resolve(&id).await.is_err());
    assert!(!crate::world::directory(&world, &id).exists());
    world
}

async fn updates(world: World) -> World {
    let id = world.create("sleep 60", |_| {}).await;
    world.engine.containers().start(&id).await.unwrap();
    let mut request = UpdateRequest::default();
    request.resources.memory = Some(32 << 20);
    request.resources.pids_limit = Some(50);
    request.restart_policy = Some(RestartPolicy::Always);
    world.engine.containers().update(&id, request).await.unwrap();
    let script =
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
    let (_, text) = world.exec(&id, &["sh", "-c", script]).await;
    assert_eq!(text, "33554432\n");
    let record = world.engine.containers().inspect(&id, false).await.unwrap().snapshot.record;
    assert_eq!(record.spec.host.restart_policy, RestartPolicy::Always);
    world
}

async fn lists(world: World) -> World {
    let one = world.create("true", |spec| {
        spec.labels.insert("tier".to_owned(), "db".to_owned());
    });
    let one = one.await;
    let two = world.create("sleep 60", |_| {}).await;
    world.engine.containers().start(&two).await.unwrap();
    let listed = async |key: &str, value: &str, expected: &[&String]| {
        let mut filters = Filters::default();
        filters.add(key, value);
        let request = ListRequest { all: true, filters, ..ListRequest::default() };
        let found = world.engine.containers().list(request).await.unwrap();
        let ids: Vec<String> =
            found.into_iter().map(|c| c.snapshot.record.id.to_string()).collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected, "{key}={value}");
    };
    listed("label", "tier=db", &[&one]).await;
    listed("status", "running", &[&two]).await;
    listed("ancestor", "busybox", &[&two, &one]).await;
    listed("since", &one, &[&two]).await;
    listed("id", &one[..10], &[&one]).await;
    let mut filters = Filters::default();
    filters.add("colour", "red");
    let request = ListRequest { filters, ..ListRequest::default() };
    let error = world.engine.containers().list(request).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid filter 'colour'");
    let running = world.engine.containers().list(ListRequest::default()).await.unwrap();
    assert_eq!(running.len(), 1);
    let pruned = world.engine.containers().prune(Filters::default()).await.unwrap();
    assert_eq!(pruned.removed, [one]);
    world
}

async fn events_of_a_life(world: World) -> World {
    let id = world.create("exit 2", |_| {}).await;
    world.finish(&id).await;
    world.engine.containers().remove(&id, RemoveRequest::default()).await.unwrap();
    let mut filters = Filters::default();
    filters.add("container", &id);
    let request = EventsRequest {
        since_ns: Some(0),
        until_ns: Some(i64::MAX / 2),
        filters,
        ..EventsRequest::default()
    };
    let mut stream = world.engine.events().follow(request).await.unwrap();
    let mut actions = Vec::new();
    while let Ok(Some(event)) =
        tokio::time::timeout(Duration::from_millis(300), stream.next()).await
    {
        actions.push(event.action.clone());
        if event.action == "die" {
            assert_eq!(event.attributes["exitCode"], "2");
        }
    }
    assert_eq!(actions, ["create", "attach", "start", "die", "destroy"]);
    world
}

async fn forced_removal(world: World) -> World {
    let id = world.create("sleep 60", |_| {}).await;
    let containers = world.engine.containers();
    containers.start(&id).await.unwrap();
    let error = containers.remove(&id, RemoveRequest::default()).await.unwrap_err();
    assert!(error.text().contains("stop the container before removing or force remove"));
    let force = RemoveRequest { force: true, ..RemoveRequest::default() };
    timely(containers.remove(&id, force)).await.unwrap();
    assert!(containers.resolve(&id).await.is_err());
    world
}

/// Of many who ask for contradicting things, each gets an answer, and the container ends well.
async fn concurrent_requests(world: World) -> World {
    let id = world.create("sleep 60", |_| {}).await;
    let mut asks = tokio::task::JoinSet::new();
    for round in 0..24 {
        let (engine, id) = (world.engine.clone(), id.clone());
        asks.spawn(async move {
            let containers = engine.containers();
            let stop = StopRequest { timeout_s: Some(0), ..StopRequest::default() };
            let _ = match round % 4 {
                0 => containers.start(&id).await,
                1 => containers.restart(&id, stop).await,
                2 => containers.kill(&id, None).await,
                _ => containers.stop(&id, stop).await,
            };
        });
    }
    timely(async { while asks.join_next().await.is_some() {} }).await;
    let force = RemoveRequest { force: true, ..RemoveRequest::default() };
    timely(world.engine.containers().remove(&id, force)).await.unwrap();
    world
}

//! What outlives what: the engine ends and comes back, the keeper is killed.

use std::time::Duration;

use engine::container::*;
use model::{container::RestartPolicy, network::NetworkMode, state::*};

use crate::{
    tests,
    world::{World, keeper_pid, timely},
};

tests![the_engine_goes_and_comes, the_keeper_is_killed, stopped_containers_cost_nothing];

async fn the_engine_goes_and_comes(world: World) -> World {
    let lives = world
        .create("i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done", |spec| {
            spec.host.network_mode = NetworkMode::Default;
        })
        .await;
    let ends = world.create("sleep 0.6; exit 9", |_| {}).await;
    let goes = world.create("sleep 0.6; exit 1", |spec| spec.host.auto_remove = true).await;
    let again = world
        .create("sleep 0.6; exit 1", |spec| spec.host.restart_policy = RestartPolicy::Always)
        .await;
    for id in [&lives, &ends, &goes, &again] {
        world.engine.containers().start(id).await.unwrap();
    }
    let before = world.state(&lives).await;
    let world = world.restart_after(Duration::from_millis(900)).await;
    let after = world.state(&lives).await;
    assert_eq!((after.pid, after.status), (before.pid, Status::Running));
    assert_eq!(after.endpoints["bridge"].ipv4, before.endpoints["bridge"].ipv4);
    world.until(&ends, |state| state.exit_code == 9 && !state.is_running()).await;
    assert!(groups_go(&world, &ends).await, "a control group is left");
    for _ in 0..100 {
        if world.engine.containers().resolve(&goes).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(world.engine.containers().resolve(&goes).await.is_err());
    world.until(&again, |state| state.status == Status::Running).await;
    let (code, _) = world.exec(&lives, &["true"]).await;
    assert_eq!(code, 0);
    let stop = StopRequest { timeout_s: Some(0), ..StopRequest::default() };
    timely(world.engine.containers().stop(&lives, stop)).await.unwrap();
    assert!(consecutive(&log(&world, &lives).await));
    world
}

async fn groups_go(world: &World, id: &str) -> bool {
    let groups = runtime::cgroup::Hierarchies::detect().unwrap();
    let path = format!("{}/{id}", world.config.cgroup_parent);
    let path = runtime::cgroup::GroupPath::new(&path).unwrap();
    for _ in 0..100 {
        if groups.open(&path).is_err() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    false
}

async fn log(world: &World, id: &str) -> Vec<u64> {
    let request = LogsRequest { stdout: true, stderr: true, ..LogsRequest::default() };
    let mut stream = world.engine.containers().logs(id, request).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(line) = stream.next().await {
        let text = String::from_utf8(line.unwrap().bytes).unwrap();
        numbers.extend(text.trim().parse::<u64>());
    }
    numbers
}

fn consecutive(numbers: &[u64]) -> bool {
    !numbers.is_empty() && numbers.iter().zip(1..).all(|(have, want)| *have == want)
}

async fn the_keeper_is_killed(world: World) -> World {
    let id = world
        .create(
            "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.02; done; exit 6",
            |_| {},
        )
        .await;
    world.engine.containers().start(&id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pid = keeper_pid(&world.config);
    let killed = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.unwrap().success());
    let state = world.until(&id, |state| !state.is_running()).await;
    assert_eq!(state.exit_code, 6);
    let numbers = log(&world, &id).await;
    assert!(consecutive(&numbers) && numbers.len() == 60, "{numbers:?}");
    assert_ne!(keeper_pid(&world.config), pid);
    assert_eq!(world.run("echo fine", |_| {}).await, (0, "fine\n".to_owned()));
    world
}

async fn stopped_containers_cost_nothing(world: World) -> World {
    for _ in 0..200 {
        world.create("true", |_| {}).await;
    }
    let began = std::time::Instant::now();
    let world = world.restart().await;
    let ready = began.elapsed();
    println!("    ready with 200 stopped containers, restart included: {ready:?}");
    assert_eq!(world.all().await.len(), 200);
    assert!(ready < Duration::from_secs(3));
    world
}

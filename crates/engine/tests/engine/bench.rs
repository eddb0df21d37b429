//! What a start costs, as numbers for people; fails only when something is very wrong.

use std::time::{Duration, Instant};

use engine::container::*;
use model::network::NetworkMode;

use crate::{
    tests,
    world::{World, timely},
};

tests![start_times];

const ROUNDS: usize = 40;

async fn start_times(world: World) -> World {
    for (name, mode) in [("none", NetworkMode::None), ("bridge", NetworkMode::Default)] {
        let (mut create, mut start, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let id = world
                .create("", |spec| {
                    spec.process.cmd = Some(vec!["/bin/true".to_owned()]);
                    spec.host.auto_remove = true;
                    spec.host.network_mode = mode.clone();
                })
                .await;
            create.push(began.elapsed());
            let waiting =
                world.engine.containers().wait(&id, WaitCondition::Removed).await.unwrap();
            let starting = Instant::now();
            world.engine.containers().start(&id).await.unwrap();
            start.push(starting.elapsed());
            timely(waiting.outcome()).await;
            whole.push(began.elapsed());
            // The kernel's own clean-up of the last one isn't part of this one.
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        println!(
            "    {name:7} create {}  start {}  create to removed {}",
            text(&mut create),
            text(&mut start),
            text(&mut whole)
        );
        assert!(start[ROUNDS / 2] < Duration::from_millis(500));
    }
    world
}

/// Least and median.
fn text(times: &mut [Duration]) -> String {
    times.sort();
    let ms = |at: usize| times[at].as_secs_f64() * 1e3;
    format!("{:.2}/{:.2} ms", ms(0), ms(times.len() / 2))
}

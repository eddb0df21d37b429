//! Solving with a fake executor: order, cache, cancellation.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Built, solve};
use crate::{Request, fake::Fake, lower, progress::Event};

async fn build(worker: &Arc<Fake>, request: &Request) -> (Result<Built, String>, Vec<Event>) {
    let graph = match lower(request, worker.as_ref()).await {
        Ok(graph) => graph,
        Err(error) => return (Err(error.text()), Vec::new()),
    };
    let (sender, mut receiver) = mpsc::channel(1000);
    let built = solve(&graph, request, worker.clone(), sender).await.map_err(|e| e.text());
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    (built, events)
}

fn cached(events: &[Event]) -> Vec<bool> {
    let mut all: Vec<(usize, bool)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Completed { vertex, cached } => Some((*vertex, *cached)),
            _ => None,
        })
        .collect();
    all.sort_unstable();
    all.into_iter().map(|(_, cached)| cached).collect()
}

const TEXT: &str = "FROM busybox\nWORKDIR /there\nRUN one\nCOPY a /a\nRUN two\nENV x=y\n";

#[tokio::test]
async fn the_same_again_is_known() {
    let worker = Arc::new(Fake::new().with_file("a", "1"));
    let request = Request::new(TEXT);
    let (first, events) = build(&worker, &request).await;
    assert_eq!(cached(&events), [true, false, false, false, false]);
    let (second, events) = build(&worker, &request).await;
    assert_eq!(cached(&events), [true; 5]);
    assert_eq!(first.unwrap().config, second.unwrap().config);
    worker.files.lock().unwrap().insert("a".to_owned(), "2".to_owned());
    let (_, events) = build(&worker, &request).await;
    // The fake's copy gives the same layer whatever it copied, so what follows is known again.
    assert_eq!(cached(&events), [true, true, true, false, true]);
    let mut request = request;
    request.no_cache = true;
    assert_eq!(cached(&build(&worker, &request).await.1), [true, false, false, false, false]);
}

#[tokio::test]
async fn layers_and_history_agree() {
    let worker = Arc::new(Fake::new().with_file("a", "1"));
    let config = build(&worker, &Request::new(TEXT)).await.0.unwrap().config;
    let with_layer: Vec<bool> = config.history.iter().map(|line| !line.empty_layer).collect();
    // WORKDIR /there was there already: no layer.
    assert_eq!(with_layer, [false, true, true, true, false]);
    assert_eq!(config.rootfs.diff_ids.len(), 1 + 3);
}

#[tokio::test]
async fn independent_stages_run_together() {
    let worker = Arc::new(Fake::new());
    let stages: String = (0..8).map(|n| format!("FROM busybox AS s{n}\nRUN {n}\n")).collect();
    let copies: String = (0..8).map(|n| format!("COPY --from=s{n} /x /{n}\n")).collect();
    let mut request = Request::new(format!("{stages}FROM scratch\n{copies}"));
    build(&worker, &request).await.0.unwrap();
    assert!(worker.together.lock().unwrap().1 > 1);
    *worker.together.lock().unwrap() = (0, 0);
    request.sequential = true;
    request.no_cache = true;
    build(&worker, &request).await.0.unwrap();
    assert_eq!(worker.together.lock().unwrap().1, 1);
}

#[tokio::test]
async fn a_failure_ends_the_build_with_its_place() {
    let worker = Arc::new(Fake::new());
    let request = Request::new("FROM busybox\nRUN exit 7\nRUN never\n");
    let graph = lower(&request, worker.as_ref()).await.unwrap();
    let (sender, _receiver) = mpsc::channel(1000);
    let error = solve(&graph, &request, worker.clone(), sender).await.unwrap_err();
    let shown = error.with_excerpt("Dockerfile", &request.dockerfile);
    assert!(shown.contains("   2 | >>> RUN exit 7"), "{shown}");
    assert!(shown.contains("did not complete successfully: exit code: 7"), "{shown}");
    assert!(worker.done.lock().unwrap().is_empty());
}

#[tokio::test]
async fn arguments_are_part_of_the_key() {
    let worker = Arc::new(Fake::new());
    let mut request = Request::new("FROM busybox\nARG A\nRUN x\n");
    build(&worker, &request).await.0.unwrap();
    request.build_args.insert("A".to_owned(), "1".to_owned());
    assert_eq!(cached(&build(&worker, &request).await.1), [true, false]);
    request.build_args.insert("HTTPS_PROXY".to_owned(), "p".to_owned());
    assert_eq!(cached(&build(&worker, &request).await.1), [true, true]);
}

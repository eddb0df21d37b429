//! Pull and push against Debian's registry: the same image arrives, nothing is sent twice.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::sync::{Arc, Mutex};

use model::{
    Reference,
    image::{ImageConfig, Platform},
};
use registry::{Client, Credentials, Hosts, Progress, progress, pull, push};
use store::{Options, Store};
use testkit::{fixture, registry::Registry};

fn store(dir: &tempfile::TempDir, name: &str) -> Store {
    Store::open(&dir.path().join(name), Options::default()).unwrap()
}

fn with_busybox(store: &Store, reference: &Reference) {
    let tar = std::fs::File::open(fixture::busybox_tar()).unwrap();
    let platform = Platform::host();
    let config = ImageConfig {
        architecture: platform.architecture,
        os: platform.os,
        ..ImageConfig::default()
    };
    let lease = store.lease();
    store.image_import(&lease, tar, config, "test", vec![reference.clone()]).unwrap();
}

/// A sink that keeps the sentences.
fn listen() -> (progress::Sink, Arc<Mutex<Vec<String>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let sink: progress::Sink = Arc::new(move |progress| {
        if let Progress::Status { text, .. } = progress {
            kept.lock().unwrap().push(text);
        }
    });
    (sink, heard)
}

fn wanted(reference: &Reference) -> pull::Pull {
    pull::Pull {
        reference: reference.clone(),
        platform: Platform::host(),
        credentials: Credentials::Anonymous,
        parallel: 3,
    }
}

#[tokio::test]
async fn what_is_pushed_is_what_is_pulled() {
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (store(&dir, "first"), store(&dir, "second"));
    let reference: Reference = format!("{}/team/box:v1", registry.host()).parse().unwrap();
    with_busybox(&first, &reference);
    let client = Client::new(Hosts::default());
    let sending = push::Push {
        reference: reference.clone(),
        credentials: Credentials::Anonymous,
        parallel: 5,
    };
    let (sink, _) = listen();
    let pushed = push::push(&client, &first, &sending, &sink).await.unwrap();

    let (sink, heard) = listen();
    let pulled = pull::pull(&client, &second, &wanted(&reference), &sink).await.unwrap();
    assert_eq!(pulled.digest, pushed.digest);
    assert!(pulled.newer);
    assert!(heard.lock().unwrap().iter().any(|text| text == "Pull complete"));
    assert_eq!(first.resolve(&reference).unwrap().0, second.resolve(&reference).unwrap().0);

    let (sink, heard) = listen();
    assert!(!pull::pull(&client, &second, &wanted(&reference), &sink).await.unwrap().newer);
    assert!(
        heard.lock().unwrap().iter().any(|text| text.starts_with("Status: Image is up to date"))
    );

    let (sink, heard) = listen();
    push::push(&client, &second, &sending, &sink).await.unwrap();
    assert!(heard.lock().unwrap().iter().any(|text| text == "Layer already exists"));
    let tags = pull::tags(&client, &reference, &Credentials::Anonymous).await.unwrap();
    assert_eq!(tags, ["v1"]);
}

#[tokio::test]
async fn refusals_are_worded() {
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir, "store");
    let client = Client::new(Hosts::default());
    let (sink, _) = listen();
    let missing: Reference = format!("{}/none:x", registry.host()).parse().unwrap();
    let error = pull::pull(&client, &store, &wanted(&missing), &sink).await.unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::NotFound, "{error}");
    let closed: Reference =
        format!("127.0.0.1:{}/x", testkit::registry::free_port()).parse().unwrap();
    let error = pull::pull(&client, &store, &wanted(&closed), &sink).await.unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn blobs_damaged_in_the_registry_never_become_visible() {
    let registry = Registry::start();
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (store(&dir, "first"), store(&dir, "second"));
    let reference: Reference = format!("{}/box:bad", registry.host()).parse().unwrap();
    with_busybox(&first, &reference);
    let client = Client::new(Hosts::default());
    let (sink, _) = listen();
    let sending = push::Push {
        reference: reference.clone(),
        credentials: Credentials::Anonymous,
        parallel: 1,
    };
    push::push(&client, &first, &sending, &sink).await.unwrap();
    damage_largest_blob(registry.dir());
    let error = pull::pull(&client, &second, &wanted(&reference), &sink).await.unwrap_err();
    assert!(matches!(error, registry::Error::Store(_)), "{error:?}");
    assert!(second.images().unwrap().is_empty());
}

fn damage_largest_blob(dir: &std::path::Path) {
    let mut waiting = vec![dir.to_owned()];
    let mut largest = (0, std::path::PathBuf::new());
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                waiting.push(entry.path());
            } else if meta.len() > largest.0 {
                largest = (meta.len(), entry.path());
            }
        }
    }
    let mut bytes = std::fs::read(&largest.1).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&largest.1, bytes).unwrap();
}

//! Telling others of pushes, pulls, mounts and deletes.
//!
//! Events have the shape that Docker's registry sends, one envelope per event. Each receiver has a queue
//! of its own: one that is slow or away delays nobody, and its oldest events wait, with growing pauses;
//! beyond the queue's length events are lost, and counted.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderName, HeaderValue};
use model::{Digest, image::media_type};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    config::Notify,
    metrics::Metrics,
    route::{ManifestReference, Name, Tag},
    storage::NewManifest,
};
use crate::client::{Client, webhook};

const QUEUE: usize = 10_000;
const ATTEMPTS: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What happened, as the `action` and `target` of an event.
#[derive(Clone, Debug)]
pub struct Happening {
    action: &'static str,
    repository: Name,
    target: Value,
}

impl Happening {
    fn new(action: &'static str, name: &Name, mut target: Value) -> Self {
        target["repository"] = json!(name.as_str());
        Self { action, repository: name.clone(), target }
    }

    pub(super) fn pushed_blob(name: &Name, digest: &Digest, size: u64) -> Self {
        let target = json!({
            "mediaType": "application/octet-stream", "digest": digest.to_string(),
            "size": size, "length": size, "url": format!("/v2/{name}/blobs/{digest}"),
        });
        Self::new("push", name, target)
    }

    pub(super) fn mounted(name: &Name, digest: &Digest) -> Self {
        Self::new("mount", name, json!({"digest": digest.to_string()}))
    }

    pub(super) fn pushed_manifest(
        name: &Name,
        new: &NewManifest,
        reference: &ManifestReference,
    ) -> Self {
        let mut target = json!({
            "mediaType": new.media_type, "digest": new.digest.to_string(),
            "size": new.bytes.len(), "length": new.bytes.len(),
            "url": format!("/v2/{name}/manifests/{}", new.digest),
        });
        if let ManifestReference::Tag(tag) = reference {
            target["tag"] = json!(tag.as_str());
        }
        Self::new("push", name, target)
    }

    pub(super) fn pulled(name: &Name, digest: &Digest, reference: &ManifestReference) -> Self {
        let mut target =
            json!({"mediaType": media_type::OCI_MANIFEST, "digest": digest.to_string()});
        if let ManifestReference::Tag(tag) = reference {
            target["tag"] = json!(tag.as_str());
        }
        Self::new("pull", name, target)
    }

    pub(super) fn deleted(name: &Name, digest: Option<Digest>, tag: Option<Tag>) -> Self {
        let mut target = json!({});
        if let Some(digest) = digest {
            target["digest"] = json!(digest.to_string());
        }
        if let Some(tag) = tag {
            target["tag"] = json!(tag.as_str());
        }
        Self::new("delete", name, target)
    }

    fn envelope(&self, user: &str) -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        json!({"events": [{
            "id": format!("{:x}", now.as_nanos()),
            "timestamp": jiff::Timestamp::now().to_string(),
            "action": self.action,
            "target": self.target,
            "actor": {"name": user},
        }]})
    }
}

/// All receivers.
#[derive(Debug, Default)]
pub struct Notifier {
    receivers: Vec<(Notify, mpsc::Sender<Value>)>,
    metrics: Arc<Metrics>,
}

impl Notifier {
    /// Starts one sender a receiver.
    pub(super) fn start(receivers: &[Notify], client: &Client, metrics: Arc<Metrics>) -> Self {
        let start = |receiver: &Notify| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tokio::spawn(deliver(receiver.clone(), client.clone(), waiting, metrics.clone()));
            (receiver.clone(), queue)
        };
        Self { receivers: receivers.iter().map(start).collect(), metrics }
    }

    /// Queues an event; never waits.
    pub(super) fn tell(&self, user: &str, happening: &Happening) {
        for (receiver, queue) in &self.receivers {
            if receiver.repositories.matches(happening.repository.as_str())
                && queue.try_send(happening.envelope(user)).is_err()
            {
                self.metrics.event_lost();
            }
        }
    }
}

async fn deliver(
    receiver: Notify,
    client: Client,
    mut waiting: mpsc::Receiver<Value>,
    metrics: Arc<Metrics>,
) {
    let headers: Vec<(HeaderName, HeaderValue)> = receiver
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
        .collect();
    while let Some(event) = waiting.recv().await {
        let body = bytes::Bytes::from(event.to_string());
        let mut attempt = 1;
        while let Err(error) = webhook::post(&client, &receiver.url, &headers, &body).await {
            if attempt == ATTEMPTS {
                tracing::warn!(url = receiver.url, %error, "an event was given up");
                metrics.event_lost();
                break;
            }
            let pause = Duration::from_millis(200) * 2u32.pow(attempt - 1);
            tokio::time::sleep(pause.min(LONGEST_PAUSE)).await;
            attempt += 1;
        }
    }
}

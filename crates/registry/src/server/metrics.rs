//! Numbers for Prometheus (OpenMetrics text).

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::storage::gc::Report;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: String,
    method: String,
    status: u32,
}

/// All counters of one registry.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    sent: Counter,
    received: Counter,
    connections: Gauge,
    collections: Counter,
    collected_blobs: Counter,
    collected_bytes: Counter,
    upstream_fetches: Counter,
    events_lost: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("cale_registry"),
            requests: Family::default(),
            seconds: Histogram::new(exponential_buckets(0.0005, 4.0, 10)),
            sent: Counter::default(),
            received: Counter::default(),
            connections: Gauge::default(),
            collections: Counter::default(),
            collected_blobs: Counter::default(),
            collected_bytes: Counter::default(),
            upstream_fetches: Counter::default(),
            events_lost: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests", "Answered requests", self.requests.clone());
        registry.register("request_seconds", "Until the answer's head", self.seconds.clone());
        registry.register("sent_bytes", "Blob bytes given out", self.sent.clone());
        registry.register("received_bytes", "Blob bytes taken in", self.received.clone());
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("collections", "Garbage collections", self.collections.clone());
        registry.register("collected_blobs", "Blobs removed", self.collected_blobs.clone());
        registry.register("collected_bytes", "Their bytes", self.collected_bytes.clone());
        registry.register(
            "upstream_fetches",
            "Blobs and manifests fetched from upstream registries",
            self.upstream_fetches.clone(),
        );
        registry.register("events_lost", "Events given up", self.events_lost.clone());
    }

    pub(super) fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        // A method is the client's text: only those we know become labels.
        let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        let method = if known.contains(&method) { method } else { "other" };
        let labels = Labels {
            route: route.to_owned(),
            method: method.to_owned(),
            status: u32::from(status),
        };
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    pub(super) fn connected(&self) {
        self.connections.inc();
    }

    pub(super) fn disconnected(&self) {
        self.connections.dec();
    }

    pub(super) fn collected(&self, report: &Report) {
        self.collections.inc();
        self.collected_blobs.inc_by(report.blobs);
        self.collected_bytes.inc_by(report.bytes);
    }

    pub(super) fn fetched_upstream(&self) {
        self.upstream_fetches.inc();
    }

    pub(super) fn event_lost(&self) {
        self.events_lost.inc();
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

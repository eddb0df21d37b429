//! List, with Docker's filters.

use std::sync::Arc;

use indexmap::IndexMap;
use model::{
    filter::Filters,
    network::NetworkMode,
    port::ContainerPort,
    state::{Health, Status},
};

use super::{Containers, ListRequest, Snapshot, Summary};
use crate::{Error, Result};

const KEYS: [&str; 16] = [
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
    "label!",
];

impl Containers<'_> {
    /// Lists them, newest first.
    pub async fn list(&self, request: ListRequest) -> Result<Vec<Summary>> {
        let filters = &request.filters;
        filters.check_keys(&KEYS).map_err(|error| Error::Invalid(error.to_string()))?;
        let mut matching = self.chosen(filters)?;
        // A limit or these filters mean "of all", as in Docker.
        let all = request.all
            || request.limit.is_some()
            || ["status", "exited", "before", "since"].iter().any(|key| filters.has(key));
        matching.retain(|snapshot| all || snapshot.state.is_running());
        matching.sort_by_key(|snapshot| std::cmp::Reverse(snapshot.record.created_ns));
        if let Some(limit) = request.limit {
            matching.truncate(limit);
        }
        let mut summaries = Vec::with_capacity(matching.len());
        for snapshot in matching {
            let sizes =
                if request.size { Some(self.sizes(&snapshot.record.id).await?) } else { None };
            let image = self.engine.records().shown_image(&snapshot.record);
            summaries.push(Summary { snapshot: (*snapshot).clone(), image, sizes });
        }
        Ok(summaries)
    }

    fn chosen(&self, filters: &Filters) -> Result<Vec<Arc<Snapshot>>> {
        let bound = |key: &str| -> Result<Option<i64>> {
            match filters.values(key).next() {
                Some(text) => {
                    let snapshot = self.engine.registry().find(text)?.snapshot();
                    Ok(Some(snapshot.record.created_ns))
                }
                None => Ok(None),
            }
        };
        let (before, since) = (bound("before")?, bound("since")?);
        check_values(filters)?;
        let ancestors = self.ancestors(filters);
        let published = ports(filters, "publish")?;
        let exposed = ports(filters, "expose")?;
        let names = Patterns::new(filters, "name");
        let keep = |snapshot: &Arc<Snapshot>| {
            let (record, state) = (&snapshot.record, &snapshot.state);
            before.is_none_or(|before| record.created_ns < before)
                && since.is_none_or(|since| record.created_ns > since)
                && filters.any("id", |text| record.id.as_str().starts_with(text))
                && names.accept(record.name.as_str())
                && filters.any("status", |text| status_is(state.status, text))
                && filters.any("exited", |text| {
                    text.parse() == Ok(state.exit_code)
                        && matches!(state.status, Status::Exited | Status::Dead)
                })
                && filters.any("health", |text| health_is(state.health.status, text))
                && filters.any("is-task", |text| !matches!(text, "1" | "true"))
                && labels_chosen(filters, &record.spec.labels)
                && filters.any("network", |text| on_network(snapshot, text))
                && filters.any("volume", |text| has_mount(snapshot, text))
                && (!filters.has("ancestor")
                    || record.image_id.as_ref().is_some_and(|id| ancestors.contains(id)))
                && published.accept(state.ports.iter().map(|port| port.container))
                && exposed.accept(record.spec.exposed_ports.iter().copied())
        };
        Ok(self.engine.registry().all().iter().map(|h| h.snapshot()).filter(keep).collect())
    }

    fn ancestors(&self, filters: &Filters) -> Vec<model::Digest> {
        let ids = filters.values("ancestor");
        ids.flat_map(|text| self.engine.records().descendants(text)).collect()
    }
}

fn check_values(filters: &Filters) -> Result<()> {
    for text in filters.values("status") {
        text.parse::<Status>()
            .map_err(|_| Error::Invalid(format!("invalid filter 'status={text}'")))?;
    }
    for text in filters.values("exited") {
        text.parse::<i64>()
            .map_err(|_| Error::Invalid(format!("invalid filter 'exited={text}'")))?;
    }
    for text in filters.values("health") {
        if !["none", "starting", "healthy", "unhealthy"].contains(&text) {
            return Err(Error::Invalid(format!("invalid filter 'health={text}'")));
        }
    }
    for text in filters.values("is-task") {
        if !["0", "1", "true", "false"].contains(&text) {
            return Err(Error::Invalid(format!("invalid filter 'is-task={text}'")));
        }
    }
    Ok(())
}

fn status_is(status: Status, text: &str) -> bool {
    status.name() == text
}

fn health_is(health: Health, text: &str) -> bool {
    let name = match health {
        Health::None => "none",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    };
    name == text
}

fn on_network(snapshot: &Snapshot, text: &str) -> bool {
    let mode = match &snapshot.record.spec.host.network_mode {
        NetworkMode::Host => text == "host",
        NetworkMode::None => text == "none",
        _ => false,
    };
    mode || snapshot
        .record
        .networks
        .iter()
        .any(|(id, network)| network.name == text || (!text.is_empty() && id.starts_with(text)))
}

fn has_mount(snapshot: &Snapshot, text: &str) -> bool {
    snapshot.record.mounts.iter().any(|point| {
        point.name == text
            || point.mount.target == text
            || (point.name.is_empty() && point.source.to_string_lossy() == text)
    })
}

/// Whether labels pass `label` and `label!`.
pub fn labels_chosen(filters: &Filters, labels: &IndexMap<String, String>) -> bool {
    let has = |wanted: &str| match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|have| have == value),
        None => labels.contains_key(wanted),
    };
    filters.labels_match("label", labels) && !filters.values("label!").any(has)
}

/// The `until` of prune filters: nanoseconds since the epoch.
pub fn until(filters: &Filters) -> Result<Option<i64>> {
    let mut values = filters.values("until");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(text), None) => crate::event::time(text).map(Some),
        (Some(_), Some(_)) => {
            Err(Error::Invalid("more than one until filter specified".to_owned()))
        }
    }
}

/// Name filters are regular expressions in Docker; here: `^` and `$` anchor, the rest is text.
struct Patterns {
    patterns: Vec<Pattern>,
}

enum Pattern {
    Expression(regex::Regex),
    Text(String),
}

impl Patterns {
    fn new(filters: &Filters, key: &str) -> Self {
        let patterns = filters
            .values(key)
            .map(|text| match regex::Regex::new(text) {
                Ok(expression) => Pattern::Expression(expression),
                Err(_) => Pattern::Text(text.to_owned()),
            })
            .collect();
        Self { patterns }
    }

    /// Docker's names have a leading slash, and people write patterns with and without it.
    fn accept(&self, name: &str) -> bool {
        let slashed = format!("/{name}");
        self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| match pattern {
                Pattern::Expression(e) => e.is_match(name) || e.is_match(&slashed),
                Pattern::Text(text) => {
                    name.contains(text.as_str()) || slashed.contains(text.as_str())
                }
            })
    }
}

/// Port filters: `80`, `80/udp`, `8000-8010/tcp`.
struct Ports {
    ranges: Option<Vec<(ContainerPort, ContainerPort)>>,
}

fn ports(filters: &Filters, key: &str) -> Result<Ports> {
    if !filters.has(key) {
        return Ok(Ports { ranges: None });
    }
    let mut ranges = Vec::new();
    for text in filters.values(key) {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let port = |number: &str| {
            format!("{number}/{protocol}")
                .parse::<ContainerPort>()
                .map_err(|error| Error::Invalid(error.to_string()))
        };
        ranges.push((port(first)?, port(last)?));
    }
    Ok(Ports { ranges: Some(ranges) })
}

impl Ports {
    fn accept(&self, mut have: impl Iterator<Item = ContainerPort>) -> bool {
        let Some(ranges) = &self.ranges else { return true };
        have.any(|port| {
            ranges.iter().any(|(first, last)| {
                port.protocol == first.protocol && (first.port..=last.port).contains(&port.port)
            })
        })
    }
}

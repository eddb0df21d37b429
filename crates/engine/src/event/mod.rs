//! Events: a durable log of what happened, and its followers.
//!
//! An event is written in the transaction of the change that it tells of, then shown to those
//! who follow. A follower that falls behind too far is cut off; it can go on from its position.

mod types;

use std::sync::Arc;

use indexmap::IndexMap;
use model::{
    event::{Event, EventType},
    filter::Filters,
};
use store::{Batch, Store};
use tokio::sync::{broadcast, mpsc};

pub use types::*;

use crate::{
    Engine, Error, Result, blocking,
    container::Record,
    moment,
    records::{Weight, stored},
};

/// Events that a follower may lag behind.
const BACKLOG: usize = 4096;
/// Events read from the store at once.
const PAGE: usize = 512;

/// An event to be.
#[derive(Clone, Debug)]
pub struct Draft {
    /// About what.
    pub kind: EventType,
    /// What happened.
    pub action: String,
    /// To whom.
    pub actor_id: String,
    /// Details.
    pub attributes: IndexMap<String, String>,
}

impl Draft {
    /// About a container: its labels, image and name come along, as in Docker.
    pub fn container(record: &Record, action: &str, more: &[(&str, &str)]) -> Self {
        let mut attributes = record.spec.labels.clone();
        attributes.insert("image".to_owned(), record.spec.image.clone());
        attributes.insert("name".to_owned(), record.name.to_string());
        for (key, value) in more {
            attributes.insert((*key).to_owned(), (*value).to_owned());
        }
        Self {
            kind: EventType::Container,
            action: action.to_owned(),
            actor_id: record.id.to_string(),
            attributes,
        }
    }

    /// About anything else.
    pub fn new(kind: EventType, action: &str, actor_id: &str, more: &[(&str, &str)]) -> Self {
        let attributes =
            more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { kind, action: action.to_owned(), actor_id: actor_id.to_owned(), attributes }
    }

    fn event(self) -> Event {
        Event {
            sequence: 0,
            kind: self.kind,
            action: self.action,
            actor_id: self.actor_id,
            attributes: self.attributes,
            time_ns: moment::now_ns(),
        }
    }
}

/// The log.
pub struct Log {
    store: Store,
    live: broadcast::Sender<Event>,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("followers", &self.live.receiver_count()).finish()
    }
}

impl Log {
    /// On an open store.
    pub fn new(store: Store) -> Self {
        Self { store, live: broadcast::Sender::new(BACKLOG) }
    }

    /// Applies a change together with the events that tell of it, then shows them.
    pub fn commit(&self, batch: Batch, events: Vec<Draft>, weight: Weight) -> Result<()> {
        let batch = events.into_iter().fold(batch, |batch, draft| batch.event(draft.event()));
        let written = blocking::brief(|| self.store.apply(batch, weight.into()))
            .map_err(stored("write", "the engine's records"))?;
        for event in written {
            // Nobody may be listening.
            let _ = self.live.send(event);
        }
        Ok(())
    }

    /// Writes an event that tells of no change of record.
    pub fn tell(&self, draft: Draft) {
        let action = draft.action.clone();
        if let Err(error) = self.commit(Batch::new(), vec![draft], Weight::Lazy) {
            tracing::error!(action, error = error.text(), "event not written");
        }
    }

    /// How many follow.
    pub fn followers(&self) -> usize {
        self.live.receiver_count()
    }
}

/// The event log.
#[derive(Clone, Copy, Debug)]
pub struct Events<'a> {
    pub(crate) engine: &'a Arc<Engine>,
}

/// Events in order.
#[derive(Debug)]
pub struct EventStream {
    receiver: mpsc::Receiver<Event>,
}

impl EventStream {
    /// The next event; `None` at `until`, or when the reader was too slow.
    pub async fn next(&mut self) -> Option<Event> {
        self.receiver.recv().await
    }
}

impl Events<'_> {
    /// Past events from `since`, then new ones until `until`.
    pub async fn follow(&self, request: EventsRequest) -> Result<EventStream> {
        check(&request.filters)?;
        let log = self.engine.log().clone();
        // Subscribed before the past is read: nothing falls between.
        let live = log.live.subscribe();
        let (sender, receiver) = mpsc::channel(PAGE);
        let stop = self.engine.stopping();
        self.engine.tasks().spawn(async move {
            tokio::select! {
                () = feed(log, live, request, sender) => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(EventStream { receiver })
    }

    /// Tells about a container.
    pub(crate) fn container(&self, record: &Record, action: &str, more: &[(&str, &str)]) {
        self.engine.log().tell(Draft::container(record, action, more));
    }

    /// Tells about something else.
    pub(crate) fn other(&self, kind: EventType, action: &str, id: &str, more: &[(&str, &str)]) {
        self.engine.log().tell(Draft::new(kind, action, id, more));
    }

    /// Tells about a prune.
    pub(crate) fn pruned(&self, kind: EventType, reclaimed: u64) {
        self.other(kind, "prune", "", &[("reclaimed", &reclaimed.to_string())]);
    }
}

async fn feed(
    log: Arc<Log>,
    mut live: broadcast::Receiver<Event>,
    request: EventsRequest,
    sender: mpsc::Sender<Event>,
) {
    let until = request.until_ns;
    let mut seen = 0;
    if request.since_ns.is_some() || request.after.is_some() {
        let mut cursor = request.after.unwrap_or(0);
        loop {
            let page = blocking::brief(|| log.store.events_since(cursor, PAGE));
            let page = match page {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "past events can't be read");
                    return;
                }
            };
            let Some(last) = page.last() else { break };
            cursor = last.sequence;
            seen = cursor;
            for event in page {
                let recent = request.since_ns.is_none_or(|since| event.time_ns >= since);
                let past = until.is_some_and(|until| event.time_ns > until);
                if recent
                    && !past
                    && matches(&request.filters, &event)
                    && sender.send(event).await.is_err()
                {
                    return;
                }
            }
        }
    }
    let deadline = until.map(|until| {
        let left = u64::try_from(until.saturating_sub(moment::now_ns())).unwrap_or(0);
        tokio::time::Instant::now() + std::time::Duration::from_nanos(left)
    });
    loop {
        let event = tokio::select! {
            event = live.recv() => event,
            () = sender.closed() => return,
            () = sleep_until(deadline) => return,
        };
        match event {
            Ok(event) if event.sequence <= seen => {}
            Ok(event) => {
                if matches(&request.filters, &event) && sender.send(event).await.is_err() {
                    return;
                }
            }
            Err(broadcast::error::RecvError::Lagged(_) | broadcast::error::RecvError::Closed) => {
                return;
            }
        }
    }
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

const KEYS: [&str; 17] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
    "builder",
    "id",
    "name",
];

fn check(filters: &Filters) -> Result<()> {
    filters.check_keys(&KEYS).map_err(|error| Error::Invalid(error.to_string()))
}

/// Whether an event passes, by Docker's rules.
pub fn matches(filters: &Filters, event: &Event) -> bool {
    let name = event.attributes.get("name").map(String::as_str);
    let actor = |key: &str, kind: EventType| {
        filters.any(key, |text| {
            event.kind == kind
                && (event.actor_id == text
                    || name == Some(text)
                    || (text.len() >= 12 && event.actor_id.starts_with(text)))
        })
    };
    let image = filters.any("image", |text| {
        let of = |value: &str| value == text || value.split(':').next() == Some(text);
        match event.kind {
            EventType::Image => of(&event.actor_id) || name.is_some_and(of),
            _ => event.attributes.get("image").is_some_and(|image| of(image)),
        }
    });
    filters
        .any("event", |text| event.action == text || event.action.split(':').next() == Some(text))
        && filters.any("type", |text| event.kind.name() == text)
        && filters.any("scope", |text| text == "local")
        && actor("container", EventType::Container)
        && actor("volume", EventType::Volume)
        && actor("network", EventType::Network)
        && actor("daemon", EventType::Daemon)
        && image
        && filters.labels_match("label", &event.attributes)
}

/// Reads a time as Docker's clients send it: seconds since the epoch with an optional fraction,
/// a time in RFC 3339, or a duration before now.
pub fn time(text: &str) -> Result<i64> {
    let invalid = || Error::Invalid(format!("invalid value for time: {text:?}"));
    if let Some((seconds, fraction)) = numeric(text) {
        return Ok(seconds.saturating_mul(1_000_000_000).saturating_add(fraction));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return i64::try_from(time.as_nanosecond()).map_err(|_| invalid());
    }
    if let Some(ago) = duration(text) {
        return Ok(moment::now_ns().saturating_sub(ago));
    }
    let local = text.parse::<jiff::civil::DateTime>().map_err(|_| invalid())?;
    let zoned = local.to_zoned(jiff::tz::TimeZone::system()).map_err(|_| invalid())?;
    i64::try_from(zoned.timestamp().as_nanosecond()).map_err(|_| invalid())
}

fn numeric(text: &str) -> Option<(i64, i64)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds = seconds.parse::<i64>().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{fraction:0<9}");
    Some((seconds, padded.parse().ok()?))
}

/// `1h30m`, `10m`, `1.5s`: nanoseconds.
fn duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let factor = match &rest[..unit_end] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number * factor;
        rest = &rest[unit_end..];
    }
    (total < 9e18).then_some(total as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_clients_send_them() {
        assert_eq!(time("1.5").unwrap(), 1_500_000_000);
        assert_eq!(time("1700000000.000000001").unwrap(), 1_700_000_000_000_000_001);
        assert_eq!(time("1970-01-01T00:00:02Z").unwrap(), 2_000_000_000);
        let hour_ago = moment::now_ns() - time("1h").unwrap();
        assert!((hour_ago - 3_600_000_000_000).abs() < 1_000_000_000);
        for bad in ["", "yesterday", "1x", "1.0000000000001"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_choose() {
        let event = Event {
            sequence: 1,
            kind: EventType::Container,
            action: "health_status: healthy".to_owned(),
            actor_id: "a".repeat(64),
            attributes: [
                ("name".to_owned(), "web".to_owned()),
                ("image".to_owned(), "b:1".to_owned()),
            ]
            .into_iter()
            .collect(),
            time_ns: 0,
        };
        let with = |key: &str, value: &str| {
            let mut filters = Filters::default();
            filters.add(key, value);
            matches(&filters, &event)
        };
        assert!(with("event", "health_status"));
        assert!(with("container", "web"));
        assert!(with("container", "aaaaaaaaaaaa"));
        assert!(with("image", "b"));
        assert!(!with("type", "image"));
        assert!(!with("container", "db"));
    }
}

//! `GET /events`

use std::collections::BTreeMap;

use api::{
    convert,
    version::Shape,
    wire::{EventActor, EventMessage},
};
use bytes::{BufMut, Bytes, BytesMut};
use engine::event::EventsRequest;
use http::header::ACCEPT;
use model::event::Event;

use super::{call::Call, error::ApiError, reply, routes::Answer, view};

const JSON: &str = "application/json";
const LINES: &str = "application/jsonl";
const OLD_LINES: &str = "application/x-ndjson";
const SEQUENCE: &str = "application/json-seq";

/// Streams events.
pub async fn route(call: Call) -> Answer {
    if call.method() != "GET" {
        return Err(ApiError::page_not_found());
    }
    let now_ns = view::now_ns();
    let time = |key: &str| match call.query.text(key) {
        "" => Ok(None),
        text => convert::parse_timestamp(text, now_ns).map(Some),
    };
    let (since_ns, until_ns) = (time("since")?, time("until")?);
    if let (Some(since), Some(until)) = (since_ns, until_ns)
        && until < since
    {
        return Err(ApiError::invalid(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            call.query.text("since"),
            call.query.text("until")
        )));
    }
    let request = EventsRequest { since_ns, until_ns, after: None, filters: call.query.filters()? };
    let media_type = media_type(call.header(ACCEPT.as_str()));
    let version = call.version;
    let mut events = call.engine().events().follow(request).await?;
    let (pieces, answer) = reply::stream(media_type);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = pieces.closed() => return,
            };
            let Some(event) = event else { return };
            // Images were not announced before 1.46.
            if version.before(46) && event.kind.name() == "image" && event.action == "create" {
                continue;
            }
            let mut document = document(event);
            document.shape(version);
            let mut piece = reply::document(&document);
            if media_type == SEQUENCE {
                piece = record(&piece);
            }
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    Ok(answer)
}

/// What the client takes; the first of ours that it names, else what older ones expect.
fn media_type(accept: &str) -> &'static str {
    let wants = |kind: &str| {
        accept.split(',').any(|part| {
            part.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
        })
    };
    [LINES, OLD_LINES, SEQUENCE].into_iter().find(|kind| wants(kind)).unwrap_or(JSON)
}

/// A record of RFC 7464.
fn record(document: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(document.len() + 1);
    out.put_u8(0x1e);
    out.extend_from_slice(document);
    out.freeze()
}

fn document(event: Event) -> EventMessage {
    let attributes: BTreeMap<String, String> = event.attributes.into_iter().collect();
    EventMessage {
        kind: event.kind.name().to_owned(),
        action: event.action,
        actor: EventActor { id: event.actor_id, attributes },
        scope: "local".to_owned(),
        time: convert::unix_seconds(event.time_ns),
        time_nano: event.time_ns,
        ..EventMessage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_negotiated() {
        assert_eq!(media_type(""), JSON);
        assert_eq!(media_type("*/*"), JSON);
        assert_eq!(media_type("application/x-ndjson, application/json-seq"), OLD_LINES);
        assert_eq!(media_type("application/jsonl"), LINES);
        assert_eq!(media_type("application/json-seq;q=0.5"), SEQUENCE);
    }
}

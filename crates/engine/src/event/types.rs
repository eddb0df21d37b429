//! Requests on the event log.

use model::filter::Filters;

/// Follow or read events.
#[derive(Clone, Debug, Default)]
pub struct EventsRequest {
    /// Nanoseconds since the epoch; `None`: from now on.
    pub since_ns: Option<i64>,
    /// Nanoseconds since the epoch; the stream ends there. `None`: never.
    pub until_ns: Option<i64>,
    /// Events after this position of the durable log (a cursor of an earlier reading).
    pub after: Option<u64>,
    /// Keys as Docker has them.
    pub filters: Filters,
}

//! What happened: the Engine API's events.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The sort of thing an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum EventType {
    Builder,
    Container,
    Daemon,
    Image,
    Network,
    Volume,
}

impl EventType {
    /// The Engine API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Builder => "builder",
            Self::Container => "container",
            Self::Daemon => "daemon",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
        }
    }
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the durable log, rising by one.
    pub sequence: u64,
    /// About what.
    pub kind: EventType,
    /// `start`, `die`, `exec_create: sh`, …
    pub action: String,
    /// Id (or name, for volumes) of the thing.
    pub actor_id: String,
    /// Name, image, labels, exit code, …
    pub attributes: IndexMap<String, String>,
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
}

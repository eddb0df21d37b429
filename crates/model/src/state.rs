//! The states of a container, as the Engine API names them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Where a container is in its life.
///
/// ```text
/// created ──start──▶ running ⇄ paused
///                    running ──exit──▶ exited | restarting ──back-off──▶ running
/// any but running ──rm──▶ removing ──▶ (gone) | dead
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Status {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    /// Every status, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Created,
        Self::Running,
        Self::Paused,
        Self::Restarting,
        Self::Removing,
        Self::Exited,
        Self::Dead,
    ];

    /// The Engine API's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid value for state ({0}): must be one of created, running, paused, restarting, removing, exited, dead"
)]
pub struct StatusError(pub String);

impl FromStr for Status {
    type Err = StatusError;
    fn from_str(text: &str) -> Result<Self, StatusError> {
        Self::ALL
            .into_iter()
            .find(|status| status.name() == text)
            .ok_or_else(|| StatusError(text.to_owned()))
    }
}

/// Health of a container that has a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Health {
    /// There is no check.
    #[default]
    None,
    Starting,
    Healthy,
    Unhealthy,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitStatus {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
    /// Nobody was there to see it (only where the kernel keeps no record, Linux < 6.15).
    Unknown,
}

impl ExitStatus {
    /// The code that Docker shows: 128 + signal for a killed process, 255 where unknown.
    pub fn code(self) -> i64 {
        match self {
            Self::Code(code) => i64::from(code),
            Self::Signal(signal) => 128 + i64::from(signal),
            Self::Unknown => 255,
        }
    }
}

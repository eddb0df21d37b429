//! Requests of the newest version → validated `model` values, and back, with Docker's texts.
//!
//! Owns what can be judged from the document alone. What needs the host or the store (does a
//! runtime, network, bind source exist?) is the engine's to say.

use std::net::IpAddr;

use model::ErrorKind;

mod create;
mod endpoint;
mod filters;
mod host;
mod limits;
mod mounts;
mod ports;
mod show;
mod time;

pub use create::{container_spec, health_check};
pub use endpoint::{endpoint_settings, endpoint_spec};
pub use filters::parse_filters;
pub use host::restart_policy;
pub use limits::{HostFacts, resources};
pub use mounts::{parse_bind, parse_mount};
pub use ports::{parse_container_ports, parse_port_bindings};
pub use show::{config, host_config, log_config, mount_kind, propagation_name};
pub use time::{parse_timestamp, rfc3339_nano, unix_seconds};

/// A request that is refused for what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Docker's text.
    pub message: String,
}

impl Refusal {
    /// A refusal with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }

    /// Always [`ErrorKind::InvalidInput`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

/// Shorthand of this module.
type Result<T> = std::result::Result<T, Refusal>;

/// `None` for Go's empty text.
fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// An address, or a refusal naming `what`.
fn address(what: &str, text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Refusal::new(format!("invalid {what}: {text}")))
}

/// Go's `path.Clean` for absolute paths.
fn clean_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_are_cleaned_as_in_go() {
        for (given, clean) in
            [("/", "/"), ("//a//b/", "/a/b"), ("/a/../..", "/"), ("/a/./b/..", "/a")]
        {
            assert_eq!(super::clean_path(given), clean);
        }
    }
}

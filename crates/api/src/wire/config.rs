//! `Config`: the portable half of a container's configuration.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Empty, HostConfig, List, Map, NetworkingConfig};
use crate::go::{self, Words};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    pub hostname: String,
    pub domainname: String,
    pub user: String,
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    pub tty: bool,
    pub open_stdin: bool,
    pub stdin_once: bool,
    pub env: List<String>,
    pub cmd: Option<Words>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub args_escaped: bool,
    pub image: String,
    pub volumes: Map<Empty>,
    pub working_dir: String,
    pub entrypoint: Option<Words>,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub network_disabled: bool,
    /// Only before 1.52.
    #[serde(skip_serializing_if = "go::is_zero")]
    pub mac_address: String,
    /// `Some(None)` is `null`, which versions before 1.52 show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_build: Option<List<String>>,
    pub labels: Map<String>,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "go::is_empty")]
    pub shell: Option<Words>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthConfig {
    #[serde(skip_serializing_if = "go::is_empty")]
    pub test: List<String>,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub interval: i64,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub start_interval: i64,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub retries: i64,
}

/// Body of `POST /containers/create`, as a client writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateRequest {
    #[serde(flatten)]
    pub config: Config,
    pub host_config: HostConfig,
    pub networking_config: NetworkingConfig,
}

/// What stands beside the configuration in a create request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CreateRest {
    host_config: Option<HostConfig>,
    networking_config: Option<NetworkingConfig>,
}

impl CreateRequest {
    /// Reads the flat document twice, once for each half: flattening would lose the rules of
    /// [`crate::go`].
    pub fn from_slice(text: &[u8]) -> serde_json::Result<Self> {
        let config = go::from_slice::<Option<Config>>(text)?;
        let rest: CreateRest = go::from_slice(text)?;
        Ok(Self {
            config: config.unwrap_or_default(),
            host_config: rest.host_config.unwrap_or_default(),
            networking_config: rest.networking_config.unwrap_or_default(),
        })
    }
}

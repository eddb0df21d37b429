//! Events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::go;

/// One line of `GET /events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventMessage {
    /// Before 1.52, containers and images only: the action.
    #[serde(rename = "status", skip_serializing_if = "Option::is_none")]
    pub legacy_status: Option<String>,
    /// Before 1.52, containers and images only: the actor.
    #[serde(rename = "id", skip_serializing_if = "Option::is_none")]
    pub legacy_id: Option<String>,
    /// Before 1.52, containers only: the image.
    #[serde(rename = "from", skip_serializing_if = "Option::is_none")]
    pub legacy_from: Option<String>,
    #[serde(rename = "Type")]
    pub kind: String,
    pub action: String,
    pub actor: EventActor,
    #[serde(rename = "scope", skip_serializing_if = "go::is_zero")]
    pub scope: String,
    #[serde(rename = "time", skip_serializing_if = "go::is_zero")]
    pub time: i64,
    #[serde(rename = "timeNano", skip_serializing_if = "go::is_zero")]
    pub time_nano: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EventActor {
    #[serde(rename = "ID")]
    pub id: String,
    pub attributes: BTreeMap<String, String>,
}

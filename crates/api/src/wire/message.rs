//! Lines of progress streams: pull, push, load, import, build.

use serde::{Deserialize, Serialize};

use crate::go;

/// One JSON line of a progress stream (`jsonmessage`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamMessage {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub stream: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub status: String,
    #[serde(rename = "progressDetail", skip_serializing_if = "Option::is_none")]
    pub progress_detail: Option<ProgressDetail>,
    /// The rendered bar; absent from 1.52 on.
    #[serde(skip_serializing_if = "go::is_zero")]
    pub progress: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub id: String,
    #[serde(rename = "errorDetail", skip_serializing_if = "Option::is_none")]
    pub error_detail: Option<ErrorDetail>,
    /// The message again; absent from 1.52 on.
    #[serde(skip_serializing_if = "go::is_zero")]
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aux: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgressDetail {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub current: i64,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub total: i64,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub start: i64,
    #[serde(rename = "hidecounts", skip_serializing_if = "go::is_zero")]
    pub hide_counts: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorDetail {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub code: i64,
    pub message: String,
}

/// `aux` of a finished push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PushResult {
    pub tag: String,
    pub digest: String,
    pub size: i64,
}

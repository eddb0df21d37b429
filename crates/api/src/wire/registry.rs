//! Registries: login and what a registry says of an image.

use serde::{Deserialize, Serialize};

use super::{Descriptor, Platform};
use crate::go;

/// Body of `POST /auth`, and (base64url) of the header `X-Registry-Auth`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthConfig {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub username: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub password: String,
    /// base64 of `user:password`, where a client sends that instead.
    #[serde(skip_serializing_if = "go::is_zero")]
    pub auth: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub serveraddress: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub identitytoken: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub registrytoken: String,
}

/// Secrets stay out of logs.
impl std::fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthConfig")
            .field("username", &self.username)
            .field("serveraddress", &self.serveraddress)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthResponse {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub identity_token: String,
    pub status: String,
}

/// `GET /distribution/{name}/json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DistributionInspect {
    pub descriptor: Descriptor,
    pub platforms: Vec<Platform>,
}

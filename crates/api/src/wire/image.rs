//! Images as listed, inspected, searched and removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};

use super::{Empty, HealthConfig, List, Map};
use crate::go;

/// An OCI descriptor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Descriptor {
    pub media_type: String,
    pub digest: String,
    pub size: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub artifact_type: String,
}

/// An OCI platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(rename = "os.version", skip_serializing_if = "go::is_zero")]
    pub os_version: String,
    #[serde(rename = "os.features", skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub variant: String,
}

/// An image in `GET /images/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageSummary {
    /// −1 where not counted.
    pub containers: i64,
    pub created: i64,
    pub id: String,
    pub labels: Map<String>,
    pub parent_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    #[serde(skip_serializing_if = "go::is_empty")]
    pub manifests: List<ManifestSummary>,
    pub repo_digests: List<String>,
    pub repo_tags: List<String>,
    /// −1 where not computed.
    pub shared_size: i64,
    pub size: i64,
    /// Before 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSummary {
    #[serde(rename = "ID")]
    pub id: String,
    pub descriptor: Descriptor,
    pub available: bool,
    pub size: ManifestSize,
    /// `image`, `attestation` or `unknown`.
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_data: Option<ManifestImageData>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation_data: Option<ManifestAttestationData>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestSize {
    pub content: i64,
    pub total: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestImageData {
    pub platform: Platform,
    pub size: UnpackedSize,
    pub containers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnpackedSize {
    pub unpacked: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ManifestAttestationData {
    #[serde(rename = "For")]
    pub subject: String,
}

/// `GET /images/{name}/json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    pub config: Option<ImageConfig>,
    pub architecture: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub variant: String,
    pub os: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub os_version: String,
    pub size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph_driver: Option<DriverData>,
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    pub metadata: ImageMetadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptor: Option<Descriptor>,
    #[serde(skip_serializing_if = "go::is_empty")]
    pub manifests: List<ManifestSummary>,
    /// From 1.53.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<serde_json::Value>,
    /// Before 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_size: Option<i64>,
    /// Before 1.45.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Before 1.45; always an empty one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<super::Config>,
}

/// `Config` of an image. From 1.52 on empty values are left out; before, some were shown.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    pub user: String,
    pub exposed_ports: BTreeMap<String, Empty>,
    pub env: List<String>,
    pub entrypoint: List<String>,
    pub cmd: List<String>,
    pub volumes: Map<Empty>,
    pub working_dir: String,
    pub labels: Map<String>,
    pub stop_signal: String,
    pub args_escaped: bool,
    pub healthcheck: Option<HealthConfig>,
    pub on_build: List<String>,
    pub shell: List<String>,
    /// Which empty values are shown.
    #[serde(skip)]
    pub shown: ShownDefaults,
}

/// Which empty values of an [`ImageConfig`] are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd)]
pub enum ShownDefaults {
    /// 1.52 and newer: none.
    #[default]
    Nothing,
    /// 1.50 and 1.51: the image's own fields.
    Image,
    /// Before 1.50: those of a container's configuration too.
    Container,
}

impl Serialize for ImageConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let image = self.shown != ShownDefaults::Nothing;
        if self.shown == ShownDefaults::Container {
            for key in ["Hostname", "Domainname", "Image"] {
                map.serialize_entry(key, "")?;
            }
            for key in
                ["AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"]
            {
                map.serialize_entry(key, &false)?;
            }
        }
        macro_rules! field {
            ($name:literal, $field:ident, $empty:expr, $always:expr) => {
                if $always || !$empty(&self.$field) {
                    map.serialize_entry($name, &self.$field)?;
                }
            };
        }
        field!("User", user, go::is_zero, image);
        field!("ExposedPorts", exposed_ports, BTreeMap::is_empty, false);
        field!("Env", env, go::is_empty, image);
        field!("Entrypoint", entrypoint, go::is_empty, image);
        field!("Cmd", cmd, go::is_empty, image);
        field!("Volumes", volumes, go::is_empty, image);
        field!("WorkingDir", working_dir, go::is_zero, image);
        field!("Labels", labels, go::is_empty, image);
        field!("StopSignal", stop_signal, go::is_zero, false);
        field!("ArgsEscaped", args_escaped, go::is_zero, false);
        field!("Healthcheck", healthcheck, Option::is_none, false);
        field!("OnBuild", on_build, go::is_empty, image);
        field!("Shell", shell, go::is_empty, false);
        map.end()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DriverData {
    pub data: Map<String>,
    pub name: String,
}

/// Where a container's root filesystem lies, from 1.52 on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Storage {
    #[serde(rename = "RootFS", skip_serializing_if = "Option::is_none")]
    pub root_fs: Option<StorageRootFs>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StorageRootFs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<StorageSnapshot>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StorageSnapshot {
    pub name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RootFs {
    #[serde(rename = "Type", skip_serializing_if = "go::is_zero")]
    pub kind: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageMetadata {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub last_tag_time: String,
}

/// One row of `GET /images/{name}/history`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageHistory {
    pub comment: String,
    pub created: i64,
    pub created_by: String,
    pub id: String,
    pub size: i64,
    pub tags: List<String>,
}

/// One line of what a removal did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageDeleted {
    #[serde(skip_serializing_if = "go::is_zero")]
    pub deleted: String,
    #[serde(skip_serializing_if = "go::is_zero")]
    pub untagged: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImagesPruned {
    pub images_deleted: List<ImageDeleted>,
    pub space_reclaimed: u64,
}

/// One hit of `GET /images/search`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SearchResult {
    pub star_count: i64,
    pub is_official: bool,
    pub name: String,
    pub is_automated: bool,
    pub description: String,
}

//! Reading manifests, indexes and configurations strictly: a document that two readers could
//! take for different things is refused.

use model::Digest;
use model::image::{ImageConfig, Index, Manifest, media_type};
use serde::Deserialize;

use crate::error::{Error, Result};

/// Longest document in bytes: what registries accept as a manifest.
pub const DOCUMENT_MAX: u64 = 4 << 20;

/// Fields whose presence says what a document is.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "schemaVersion")]
    schema_version: Option<u32>,
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde::de::IgnoredAny>,
}

fn bad(what: &'static str, digest: &Digest, reason: impl Into<String>) -> Error {
    Error::BadDocument { what, digest: digest.clone(), reason: reason.into() }
}

fn shape(what: &'static str, digest: &Digest, bytes: &[u8]) -> Result<Shape> {
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(bad(what, digest, format!("longer than {DOCUMENT_MAX} bytes")));
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|source| Error::Document {
        what,
        digest: digest.clone(),
        source,
    })?;
    if shape.fs_layers.is_some() || shape.schema_version == Some(1) {
        return Err(bad(what, digest, "schema 1 is not supported; push the image again"));
    }
    if shape.schema_version != Some(2) {
        return Err(bad(what, digest, "schemaVersion must be 2"));
    }
    if shape.manifests.is_some() && (shape.layers.is_some() || shape.config.is_some()) {
        return Err(bad(what, digest, "it is an index and a manifest at once"));
    }
    Ok(shape)
}

fn check_type(
    what: &'static str,
    digest: &Digest,
    shape: &Shape,
    given: Option<&str>,
    allowed: [&str; 2],
) -> Result<()> {
    for name in [shape.media_type.as_deref(), given].into_iter().flatten() {
        if !allowed.contains(&name) {
            return Err(bad(what, digest, format!("media type {name}")));
        }
    }
    match (shape.media_type.as_deref(), given) {
        (Some(own), Some(given)) if own != given => {
            Err(bad(what, digest, format!("it says {own}, but was given as {given}")))
        }
        _ => Ok(()),
    }
}

/// Reads an image manifest; `given` is the media type that it came with (header, descriptor).
///
/// # Errors
/// [`Error::Document`], [`Error::BadDocument`].
pub fn manifest(digest: &Digest, bytes: &[u8], given: Option<&str>) -> Result<Manifest> {
    let what = "manifest";
    let shape = shape(what, digest, bytes)?;
    check_type(
        what,
        digest,
        &shape,
        given,
        [media_type::OCI_MANIFEST, media_type::DOCKER_MANIFEST],
    )?;
    if shape.config.is_none() {
        return Err(bad(what, digest, "it has no config"));
    }
    serde_json::from_slice(bytes).map_err(|source| Error::Document {
        what,
        digest: digest.clone(),
        source,
    })
}

/// Reads an index (Docker: manifest list).
///
/// # Errors
/// [`Error::Document`], [`Error::BadDocument`].
pub fn index(digest: &Digest, bytes: &[u8], given: Option<&str>) -> Result<Index> {
    let what = "index";
    let shape = shape(what, digest, bytes)?;
    check_type(what, digest, &shape, given, [media_type::OCI_INDEX, media_type::DOCKER_INDEX])?;
    if shape.manifests.is_none() {
        return Err(bad(what, digest, "it has no manifests"));
    }
    serde_json::from_slice(bytes).map_err(|source| Error::Document {
        what,
        digest: digest.clone(),
        source,
    })
}

/// Reads an image configuration.
///
/// # Errors
/// [`Error::Document`], [`Error::BadDocument`].
pub fn config(digest: &Digest, bytes: &[u8]) -> Result<ImageConfig> {
    let what = "configuration";
    if bytes.len() as u64 > DOCUMENT_MAX {
        return Err(bad(what, digest, format!("longer than {DOCUMENT_MAX} bytes")));
    }
    let config: ImageConfig = serde_json::from_slice(bytes).map_err(|source| Error::Document {
        what,
        digest: digest.clone(),
        source,
    })?;
    if config.rootfs.kind != "layers" {
        return Err(bad(what, digest, "rootfs.type must be layers"));
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, given: Option<&str>) -> Result<Manifest> {
        manifest(&Digest::sha256(text.as_bytes()), text.as_bytes(), given)
    }

    #[test]
    fn ambiguous_manifests_are_refused() {
        let d = Digest::sha256(b"");
        let config = format!(r#""config":{{"mediaType":"x","digest":"{d}","size":0}}"#);
        let good = format!(r#"{{"schemaVersion":2,{config},"layers":[]}}"#);
        assert!(read(&good, Some(media_type::OCI_MANIFEST)).is_ok());
        assert!(read(&good, Some(media_type::OCI_INDEX)).is_err());
        for bad in [
            format!(r#"{{"schemaVersion":2,{config},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":2,{config},{config},"layers":[]}}"#),
            format!(r#"{{"schemaVersion":1,{config},"layers":[]}}"#),
            format!(r#"{{{config},"layers":[]}}"#),
            r#"{"schemaVersion":2,"layers":[]}"#.to_owned(),
            good.replace(&d.to_string(), "sha256:../../x"),
            good.replace("\"layers\":[]", &format!("\"mediaType\":\"{}\"", media_type::OCI_INDEX)),
            "[".repeat(100_000),
        ] {
            assert!(read(&bad, None).is_err(), "{bad:.80}");
        }
    }
}

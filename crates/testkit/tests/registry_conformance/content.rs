//! Blobs and manifests to push.

use model::Digest;
use serde_json::json;

use crate::peer::Peer;

/// OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `path` with one more parameter.
pub fn with(path: &str, name: &str, value: &str) -> String {
    let sign = if path.contains('?') { '&' } else { '?' };
    format!("{path}{sign}{name}={value}")
}

/// Pushes a blob by POST and PUT.
#[track_caller]
pub fn push_blob(peer: &Peer, name: &str, bytes: &[u8]) -> Digest {
    let digest = Digest::sha256(bytes);
    let session = peer.ask("POST", &format!("/v2/{name}/blobs/uploads/")).is(202).location();
    let target = with(&session, "digest", &digest.to_string());
    peer.send("PUT", &target, &[("Content-Type", "application/octet-stream")], bytes).is(201);
    digest
}

/// A manifest over a config and one layer, both pushed.
#[track_caller]
pub fn manifest(peer: &Peer, name: &str, salt: &str) -> serde_json::Value {
    let config = format!("{{\"salt\":\"{salt}\"}}");
    let layer = format!("layer of {salt}");
    let config_digest = push_blob(peer, name, config.as_bytes());
    let layer_digest = push_blob(peer, name, layer.as_bytes());
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": config_digest.to_string(), "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            "digest": layer_digest.to_string(), "size": layer.len(),
        }],
    })
}

/// Pushes a manifest under a tag; gives its digest and bytes.
#[track_caller]
pub fn push_image(peer: &Peer, name: &str, tag: &str) -> (Digest, Vec<u8>) {
    let bytes = manifest(peer, name, &format!("{name}:{tag}")).to_string().into_bytes();
    let target = format!("/v2/{name}/manifests/{tag}");
    peer.send("PUT", &target, &[("Content-Type", MANIFEST)], &bytes).is(201);
    (Digest::sha256(&bytes), bytes)
}

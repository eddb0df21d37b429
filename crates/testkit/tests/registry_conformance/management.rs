//! "Content Management": deleting.

use model::Digest;
use serde_json::json;

use crate::{
    Clause,
    content::{MANIFEST, manifest, push_blob, push_image},
    peer::Peer,
};

pub const CLAUSES: &[Clause] = &[
    ("management: a manifest is deleted", manifest_by_digest),
    ("management: a tag is deleted alone", tag),
    ("management: a blob is deleted", blob),
    ("management: a deleted blob stays in other repositories", blob_elsewhere),
    ("management: a deleted manifest refers no more", referrer),
    ("management: what isn't there can't be deleted", missing),
    ("management: methods that don't exist", methods),
];

fn manifest_by_digest(peer: &Peer) {
    let (digest, _) = push_image(peer, "management/manifest", "x");
    let target = format!("/v2/management/manifest/manifests/{digest}");
    peer.ask("DELETE", &target).is(202);
    peer.send("GET", &target, &[("Accept", MANIFEST)], b"").is(404);
    let by_tag = "/v2/management/manifest/manifests/x";
    peer.send("GET", by_tag, &[("Accept", MANIFEST)], b"").is(404);
}

fn tag(peer: &Peer) {
    let (digest, _) = push_image(peer, "management/tag", "x");
    peer.ask("DELETE", "/v2/management/tag/manifests/x").is(202);
    peer.ask("GET", "/v2/management/tag/manifests/x").is(404);
    peer.ask("GET", &format!("/v2/management/tag/manifests/{digest}")).is(200);
}

fn blob(peer: &Peer) {
    let digest = push_blob(peer, "management/blob", b"to go");
    let target = format!("/v2/management/blob/blobs/{digest}");
    peer.ask("DELETE", &target).is(202);
    peer.ask("GET", &target).is(404);
    peer.ask("HEAD", &target).is(404);
}

fn blob_elsewhere(peer: &Peer) {
    let digest = push_blob(peer, "management/here", b"to stay there");
    push_blob(peer, "management/there", b"to stay there");
    peer.ask("DELETE", &format!("/v2/management/here/blobs/{digest}")).is(202);
    peer.ask("GET", &format!("/v2/management/here/blobs/{digest}")).is(404);
    peer.ask("GET", &format!("/v2/management/there/blobs/{digest}")).is(200);
}

fn referrer(peer: &Peer) {
    let name = "management/referrer";
    let (subject, _) = push_image(peer, name, "x");
    let mut document = manifest(peer, name, "r");
    document["subject"] = json!({"mediaType": MANIFEST, "digest": subject.to_string(), "size": 1});
    let bytes = document.to_string().into_bytes();
    let target = format!("/v2/{name}/manifests/{}", Digest::sha256(&bytes));
    peer.send("PUT", &target, &[("Content-Type", MANIFEST)], &bytes).is(201);
    let list = format!("/v2/{name}/referrers/{subject}");
    assert_eq!(
        peer.ask("GET", &list).is(200).json()["manifests"].as_array().map(Vec::len),
        Some(1)
    );
    peer.ask("DELETE", &target).is(202);
    assert_eq!(peer.ask("GET", &list).is(200).json()["manifests"], json!([]));
}

fn missing(peer: &Peer) {
    push_image(peer, "management/missing", "x");
    let none = Digest::sha256(b"not there");
    let answer = peer.ask("DELETE", &format!("/v2/management/missing/blobs/{none}")).is(404);
    assert_eq!(answer.code(), "BLOB_UNKNOWN");
    for reference in ["nothing", &none.to_string()] {
        let target = format!("/v2/management/missing/manifests/{reference}");
        assert_eq!(peer.ask("DELETE", &target).is(404).code(), "MANIFEST_UNKNOWN");
    }
}

fn methods(peer: &Peer) {
    for (method, target) in
        [("POST", "/v2/management/blob/tags/list"), ("PATCH", "/v2/management/blob/manifests/x")]
    {
        peer.send(method, target, &[], b"x").is(405);
    }
}

//! "Pull": manifests and blobs.

use model::Digest;

use crate::{
    Clause,
    content::{MANIFEST, push_blob, push_image},
    peer::Peer,
};

pub const CLAUSES: &[Clause] = &[
    ("pull: end-1 says that this is a registry", base),
    ("pull: a manifest by tag and digest", manifest),
    ("pull: HEAD of a manifest", manifest_head),
    ("pull: an unknown manifest", unknown_manifest),
    ("pull: a blob", blob),
    ("pull: part of a blob", range),
    ("pull: a range outside the blob", range_outside),
    ("pull: an unknown blob", unknown_blob),
    ("pull: a blob of another repository isn't visible", foreign_blob),
    ("pull: bad names and digests", bad_names),
];

fn base(peer: &Peer) {
    let answer = peer.ask("GET", "/v2/").is(200);
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
}

fn manifest(peer: &Peer) {
    let (digest, bytes) = push_image(peer, "pull/manifest", "1.0");
    for reference in ["1.0", &digest.to_string()] {
        let target = format!("/v2/pull/manifest/manifests/{reference}");
        let answer = peer.send("GET", &target, &[("Accept", MANIFEST)], b"").is(200);
        assert_eq!(answer.body, bytes, "byte for byte");
        assert_eq!(answer.header("content-type"), Some(MANIFEST));
        assert_eq!(answer.header("docker-content-digest"), Some(&*digest.to_string()));
    }
}

fn manifest_head(peer: &Peer) {
    let (digest, bytes) = push_image(peer, "pull/head", "x");
    let target = "/v2/pull/head/manifests/x";
    let answer = peer.send("HEAD", target, &[("Accept", MANIFEST)], b"").is(200);
    assert_eq!(answer.header("content-length"), Some(&*bytes.len().to_string()));
    assert_eq!(answer.header("docker-content-digest"), Some(&*digest.to_string()));
    assert!(answer.body.is_empty());
    assert!(peer.ask("HEAD", "/v2/pull/head/manifests/y").is(404).body.is_empty());
}

fn unknown_manifest(peer: &Peer) {
    push_image(peer, "pull/unknown", "x");
    let none = Digest::sha256(b"no manifest");
    for reference in ["nothing", &none.to_string()] {
        let answer = peer.ask("GET", &format!("/v2/pull/unknown/manifests/{reference}")).is(404);
        assert_eq!(answer.code(), "MANIFEST_UNKNOWN");
    }
}

fn blob(peer: &Peer) {
    let digest = push_blob(peer, "pull/blob", b"0123456789");
    let target = format!("/v2/pull/blob/blobs/{digest}");
    let answer = peer.ask("GET", &target).is(200);
    assert_eq!(answer.body, b"0123456789");
    assert_eq!(answer.header("docker-content-digest"), Some(&*digest.to_string()));
    let answer = peer.ask("HEAD", &target).is(200);
    assert_eq!(answer.header("content-length"), Some("10"));
    assert!(answer.body.is_empty());
}

fn range(peer: &Peer) {
    let digest = push_blob(peer, "pull/range", b"0123456789");
    let target = format!("/v2/pull/range/blobs/{digest}");
    let answer = peer.send("GET", &target, &[("Range", "bytes=2-4")], b"").is(206);
    assert_eq!(
        (&*answer.body, answer.header("content-range")),
        (&b"234"[..], Some("bytes 2-4/10"))
    );
    let answer = peer.send("GET", &target, &[("Range", "bytes=7-")], b"").is(206);
    assert_eq!(answer.body, b"789");
}

fn range_outside(peer: &Peer) {
    let digest = push_blob(peer, "pull/range", b"0123456789");
    let target = format!("/v2/pull/range/blobs/{digest}");
    let answer = peer.send("GET", &target, &[("Range", "bytes=10-")], b"").is(416);
    assert_eq!(answer.header("content-range"), Some("bytes */10"));
}

fn unknown_blob(peer: &Peer) {
    let none = Digest::sha256(b"no blob");
    let target = format!("/v2/pull/blob/blobs/{none}");
    assert_eq!(peer.ask("GET", &target).is(404).code(), "BLOB_UNKNOWN");
    assert!(peer.ask("HEAD", &target).is(404).body.is_empty());
}

fn foreign_blob(peer: &Peer) {
    let digest = push_blob(peer, "pull/theirs", b"a secret of theirs");
    push_blob(peer, "pull/ours", b"ours");
    assert_eq!(
        peer.ask("GET", &format!("/v2/pull/ours/blobs/{digest}")).is(404).code(),
        "BLOB_UNKNOWN"
    );
}

fn bad_names(peer: &Peer) {
    for target in [
        "/v2/pull/blob/blobs/sha256:zz",
        "/v2/pull/blob/blobs/sha256:../../etc/passwd",
        "/v2/Upper/manifests/x",
        "/v2/../manifests/x",
        "/v2/a/../../b/manifests/x",
        "/v2/a%2f..%2f..%2fb/manifests/x",
        "/v2/pull/blob/manifests/-x",
    ] {
        let answer = peer.ask("GET", target);
        assert!(matches!(answer.status, 301 | 400 | 404), "{target}: {}", answer.status);
    }
}

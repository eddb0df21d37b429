//! "Push": uploads and manifests.

use model::Digest;
use serde_json::json;

use crate::{
    Clause,
    content::{INDEX, MANIFEST, manifest, push_blob, push_image, with},
    peer::Peer,
};

pub const CLAUSES: &[Clause] = &[
    ("push: POST then PUT", post_put),
    ("push: a single POST", single_post),
    ("push: a POST with a digest and no body begins a session", post_digest_only),
    ("push: chunks in order", chunks),
    ("push: a stream without Content-Range", stream),
    ("push: a last chunk may come with PUT", last_chunk_with_put),
    ("push: a chunk out of order is refused", out_of_order),
    ("push: Content-Range and Content-Length must agree", range_and_length),
    ("push: an upload's status", status),
    ("push: an upload is cancelled", cancel),
    ("push: an unknown upload", unknown_upload),
    ("push: another's upload session is unknown", foreign_session),
    ("push: a wrong digest is refused", wrong_digest),
    ("push: an unknown digest algorithm is refused", unknown_algorithm),
    ("push: sha512 is taken", sha512),
    ("push: the empty blob", empty_blob),
    ("push: a blob is mounted", mount),
    ("push: a failed mount begins an upload", failed_mount),
    ("push: a mount without from may find the blob", mount_anywhere),
    ("push: a manifest by digest", by_digest),
    ("push: a manifest under the wrong digest is refused", manifest_digest),
    ("push: a manifest without its blobs is refused", missing_blobs),
    ("push: what is no manifest is refused", no_manifest),
    ("push: a mismatching media type is refused", wrong_type),
    ("push: a document of two kinds is refused", two_kinds),
    ("push: an index", index),
    ("push: a tag moves", tag_moves),
    ("push: a subject is acknowledged", subject),
    ("push: a giant manifest is refused", giant),
];

const OCTETS: (&str, &str) = ("Content-Type", "application/octet-stream");

#[track_caller]
fn session(peer: &Peer, name: &str) -> String {
    peer.ask("POST", &format!("/v2/{name}/blobs/uploads/")).is(202).location()
}

#[track_caller]
fn finish(peer: &Peer, session: &str, digest: &Digest, bytes: &[u8]) {
    let target = with(session, "digest", &digest.to_string());
    let answer = peer.send("PUT", &target, &[OCTETS], bytes).is(201);
    assert!(answer.location().contains(&digest.to_string()));
}

#[track_caller]
fn holds(peer: &Peer, name: &str, digest: &Digest, bytes: &[u8]) {
    assert_eq!(peer.ask("GET", &format!("/v2/{name}/blobs/{digest}")).is(200).body, bytes);
}

fn post_put(peer: &Peer) {
    let digest = push_blob(peer, "push/put", b"by put");
    holds(peer, "push/put", &digest, b"by put");
}

fn single_post(peer: &Peer) {
    let digest = Digest::sha256(b"by post");
    let target = format!("/v2/push/post/blobs/uploads/?digest={digest}");
    let answer = peer.send("POST", &target, &[OCTETS], b"by post");
    // "Registries MAY ignore the digest" and answer 202.
    match answer.status {
        201 => holds(peer, "push/post", &digest, b"by post"),
        _ => finish(peer, &answer.is(202).location(), &digest, b"by post"),
    }
}

fn post_digest_only(peer: &Peer) {
    let digest = Digest::sha256(b"later");
    let target = format!("/v2/push/later/blobs/uploads/?digest={digest}");
    let session = peer.ask("POST", &target).is(202).location();
    finish(peer, &session, &digest, b"later");
}

fn chunks(peer: &Peer) {
    let mut at = session(peer, "push/chunks");
    for (range, part) in [("0-3", &b"0123"[..]), ("4-6", b"456")] {
        let answer = peer.send("PATCH", &at, &[OCTETS, ("Content-Range", range)], part).is(202);
        assert_eq!(
            answer.header("range"),
            Some(&*format!("0-{}", range.split('-').nth(1).expect("a range")))
        );
        at = answer.location();
    }
    let digest = Digest::sha256(b"0123456");
    finish(peer, &at, &digest, b"");
    holds(peer, "push/chunks", &digest, b"0123456");
}

fn stream(peer: &Peer) {
    let at = session(peer, "push/stream");
    let at = peer.send("PATCH", &at, &[OCTETS], b"all at once").is(202).location();
    finish(peer, &at, &Digest::sha256(b"all at once"), b"");
}

fn last_chunk_with_put(peer: &Peer) {
    let at = session(peer, "push/last");
    let at =
        peer.send("PATCH", &at, &[OCTETS, ("Content-Range", "0-3")], b"0123").is(202).location();
    let digest = Digest::sha256(b"012345");
    let target = with(&at, "digest", &digest.to_string());
    peer.send("PUT", &target, &[OCTETS, ("Content-Range", "4-5")], b"45").is(201);
    holds(peer, "push/last", &digest, b"012345");
}

fn out_of_order(peer: &Peer) {
    let at = session(peer, "push/order");
    let at =
        peer.send("PATCH", &at, &[OCTETS, ("Content-Range", "0-3")], b"0123").is(202).location();
    for range in ["0-3", "5-8"] {
        let answer = peer.send("PATCH", &at, &[OCTETS, ("Content-Range", range)], b"wrng").is(416);
        assert_eq!(answer.header("range"), Some("0-3"), "where to go on");
        assert!(answer.header("location").is_some());
    }
    let digest = Digest::sha256(b"0123");
    finish(peer, &at, &digest, b"");
}

fn range_and_length(peer: &Peer) {
    let at = session(peer, "push/length");
    let answer = peer.send("PATCH", &at, &[OCTETS, ("Content-Range", "0-9")], b"short").is(400);
    assert_eq!(answer.code(), "SIZE_INVALID");
    peer.send("PATCH", &at, &[OCTETS, ("Content-Range", "nonsense")], b"x").is(400);
}

fn status(peer: &Peer) {
    let at = session(peer, "push/status");
    let at = peer.send("PATCH", &at, &[OCTETS], b"0123").is(202).location();
    let answer = peer.ask("GET", &at).is(204);
    assert_eq!(answer.header("range"), Some("0-3"));
    finish(peer, &answer.location(), &Digest::sha256(b"01234"), b"4");
}

fn cancel(peer: &Peer) {
    let at = session(peer, "push/cancel");
    peer.ask("DELETE", &at).is(204);
    assert_eq!(peer.ask("GET", &at).is(404).code(), "BLOB_UPLOAD_UNKNOWN");
    peer.send("PATCH", &at, &[OCTETS], b"x").is(404);
}

fn unknown_upload(peer: &Peer) {
    let at = session(peer, "push/other");
    peer.ask("DELETE", &at).is(204);
    peer.ask("DELETE", &at).is(404);
}

fn foreign_session(peer: &Peer) {
    let at = session(peer, "push/mine");
    let theirs = at.replace("push/mine", "push/theirs");
    peer.send("PATCH", &theirs, &[OCTETS], b"x").is(404);
}

fn wrong_digest(peer: &Peer) {
    let at = session(peer, "push/wrong");
    let wrong = Digest::sha256(b"something else");
    let target = with(&at, "digest", &wrong.to_string());
    assert_eq!(peer.send("PUT", &target, &[OCTETS], b"content").is(400).code(), "DIGEST_INVALID");
    peer.ask("HEAD", &format!("/v2/push/wrong/blobs/{wrong}")).is(404);
}

fn unknown_algorithm(peer: &Peer) {
    for digest in ["md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:abc", "nonsense", ""] {
        let at = session(peer, "push/algorithm");
        let target = with(&at, "digest", digest);
        assert_eq!(peer.send("PUT", &target, &[OCTETS], b"x").is(400).code(), "DIGEST_INVALID");
    }
}

fn sha512(peer: &Peer) {
    let digest = Digest::sha512(b"long");
    let at = session(peer, "push/sha512");
    finish(peer, &at, &digest, b"long");
    holds(peer, "push/sha512", &digest, b"long");
}

fn empty_blob(peer: &Peer) {
    let digest = push_blob(peer, "push/empty", b"");
    holds(peer, "push/empty", &digest, b"");
}

fn mount(peer: &Peer) {
    let digest = push_blob(peer, "push/source", b"to be mounted");
    let target = format!("/v2/push/target/blobs/uploads/?mount={digest}&from=push/source");
    let answer = peer.ask("POST", &target).is(201);
    assert!(answer.location().ends_with(&format!("/v2/push/target/blobs/{digest}")));
    holds(peer, "push/target", &digest, b"to be mounted");
}

fn failed_mount(peer: &Peer) {
    let digest = Digest::sha256(b"nowhere");
    let target = format!("/v2/push/target/blobs/uploads/?mount={digest}&from=push/source");
    let at = peer.ask("POST", &target).is(202).location();
    finish(peer, &at, &digest, b"nowhere");
}

fn mount_anywhere(peer: &Peer) {
    let digest = push_blob(peer, "push/somewhere", b"found by digest alone");
    let target = format!("/v2/push/anywhere/blobs/uploads/?mount={digest}");
    peer.ask("POST", &target).is(201);
    holds(peer, "push/anywhere", &digest, b"found by digest alone");
}

#[track_caller]
fn put(peer: &Peer, name: &str, reference: &str, kind: &str, bytes: &[u8]) -> crate::http::Answer {
    let target = format!("/v2/{name}/manifests/{reference}");
    peer.send("PUT", &target, &[("Content-Type", kind)], bytes)
}

fn by_digest(peer: &Peer) {
    let bytes = manifest(peer, "push/digest", "d").to_string().into_bytes();
    let digest = Digest::sha256(&bytes).to_string();
    let answer = put(peer, "push/digest", &digest, MANIFEST, &bytes).is(201);
    assert_eq!(answer.header("docker-content-digest"), Some(&*digest));
    assert!(answer.location().ends_with(&digest));
    let target = format!("/v2/push/digest/manifests/{digest}");
    peer.send("HEAD", &target, &[("Accept", MANIFEST)], b"").is(200);
}

fn manifest_digest(peer: &Peer) {
    let bytes = manifest(peer, "push/digest", "e").to_string().into_bytes();
    let wrong = Digest::sha256(b"other").to_string();
    let answer = put(peer, "push/digest", &wrong, MANIFEST, &bytes).is(400);
    assert_eq!(answer.code(), "DIGEST_INVALID");
}

fn missing_blobs(peer: &Peer) {
    let mut document = manifest(peer, "push/missing", "m");
    let none = Digest::sha256(b"never pushed").to_string();
    document["layers"][0]["digest"] = json!(none);
    let answer = put(peer, "push/missing", "x", MANIFEST, document.to_string().as_bytes());
    assert!(matches!(answer.status, 400 | 404), "{}", answer.status);
    assert!(["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN"].contains(&answer.code().as_str()));
    peer.ask("GET", "/v2/push/missing/manifests/x").is(404);
}

fn no_manifest(peer: &Peer) {
    push_blob(peer, "push/no", b"x");
    for bytes in [&b"not json"[..], b"{}", b"[]", b"null", b""] {
        let answer = put(peer, "push/no", "x", MANIFEST, bytes).is(400);
        assert_eq!(answer.code(), "MANIFEST_INVALID");
    }
}

fn wrong_type(peer: &Peer) {
    let bytes = manifest(peer, "push/type", "t").to_string().into_bytes();
    assert_eq!(put(peer, "push/type", "x", INDEX, &bytes).is(400).code(), "MANIFEST_INVALID");
}

fn two_kinds(peer: &Peer) {
    let mut document = manifest(peer, "push/kinds", "t");
    document["manifests"] = json!([]);
    let bytes = document.to_string().into_bytes();
    assert_eq!(put(peer, "push/kinds", "x", MANIFEST, &bytes).is(400).code(), "MANIFEST_INVALID");
}

fn index(peer: &Peer) {
    let (child, bytes) = push_image(peer, "push/index", "child");
    let entry = |digest: &str| {
        json!({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": [{
                "mediaType": MANIFEST, "digest": digest, "size": bytes.len(),
                "platform": {"os": "linux", "architecture": "amd64"},
            }],
        })
        .to_string()
    };
    let good = entry(&child.to_string());
    put(peer, "push/index", "all", INDEX, good.as_bytes()).is(201);
    let target = "/v2/push/index/manifests/all";
    let answer = peer.send("GET", target, &[("Accept", INDEX)], b"").is(200);
    assert_eq!(answer.header("content-type"), Some(INDEX));
    assert_eq!(answer.body, good.as_bytes());
    let none = entry(&Digest::sha256(b"no child").to_string());
    let answer = put(peer, "push/index", "bad", INDEX, none.as_bytes());
    assert!(matches!(answer.status, 400 | 404), "{}", answer.status);
}

fn tag_moves(peer: &Peer) {
    let (first, _) = push_image(peer, "push/move", "v");
    let bytes = manifest(peer, "push/move", "another").to_string().into_bytes();
    put(peer, "push/move", "v", MANIFEST, &bytes).is(201);
    let answer = peer.send("GET", "/v2/push/move/manifests/v", &[("Accept", MANIFEST)], b"");
    assert_eq!(answer.is(200).body, bytes);
    peer.send("GET", &format!("/v2/push/move/manifests/{first}"), &[("Accept", MANIFEST)], b"")
        .is(200);
}

fn subject(peer: &Peer) {
    let missing = Digest::sha256(b"a subject that isn't there").to_string();
    let mut document = manifest(peer, "push/subject", "s");
    document["subject"] = json!({"mediaType": MANIFEST, "digest": missing, "size": 2});
    let bytes = document.to_string().into_bytes();
    let answer = put(peer, "push/subject", "s", MANIFEST, &bytes).is(201);
    assert_eq!(answer.header("oci-subject"), Some(&*missing));
}

fn giant(peer: &Peer) {
    let mut document = manifest(peer, "push/giant", "g");
    document["annotations"] = json!({"x": "y".repeat(5 << 20)});
    let bytes = document.to_string().into_bytes();
    let answer = put(peer, "push/giant", "g", MANIFEST, &bytes);
    assert!(matches!(answer.status, 400 | 413), "{}", answer.status);
}

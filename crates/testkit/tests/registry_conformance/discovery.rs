//! "Content Discovery": tags, repositories, referrers.

use model::Digest;
use serde_json::{Value, json};

use crate::{
    Clause,
    content::{INDEX, MANIFEST, manifest, push_image},
    http::Answer,
    peer::Peer,
};

pub const CLAUSES: &[Clause] = &[
    ("discovery: tags are listed in order", tags),
    ("discovery: tags begin after last, in pages", tag_pages),
    ("discovery: a bad n is refused", bad_n),
    ("discovery: tags of an unknown repository", unknown_repository),
    ("discovery: the catalog in pages", catalog),
    ("discovery: a giant page is refused", giant_page),
    ("discovery: referrers are listed", referrers),
    ("discovery: referrers are filtered", filtered),
    ("discovery: no referrers is an empty list", no_referrers),
    ("discovery: a tag's past can be read", history),
];

fn texts(value: &Value) -> Vec<String> {
    let entries = value.as_array().expect("a list");
    entries.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

/// The target of `Link: <…>; rel="next"`.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.header("link")?;
    assert!(link.contains("rel=\"next\""), "{link}");
    Some(link.trim_start_matches('<').split('>').next().expect("a target").to_owned())
}

fn tags(peer: &Peer) {
    for tag in ["b", "a", "C", "1"] {
        push_image(peer, "discovery/tags", tag);
    }
    let body = peer.ask("GET", "/v2/discovery/tags/tags/list").is(200).json();
    assert_eq!(body["name"], "discovery/tags");
    assert_eq!(texts(&body["tags"]), ["1", "C", "a", "b"]);
}

fn tag_pages(peer: &Peer) {
    for tag in ["t1", "t2", "t3", "t4", "t5"] {
        push_image(peer, "discovery/pages", tag);
    }
    let mut target = Some("/v2/discovery/pages/tags/list?n=2".to_owned());
    let mut pages = Vec::new();
    while let Some(at) = target.take() {
        let answer = peer.ask("GET", &at).is(200);
        pages.push(texts(&answer.json()["tags"]));
        target = next(&answer);
    }
    assert_eq!(pages, [vec!["t1", "t2"], vec!["t3", "t4"], vec!["t5"]]);
    let of = |query: &str| {
        let target = format!("/v2/discovery/pages/tags/list?{query}");
        texts(&peer.ask("GET", &target).is(200).json()["tags"])
    };
    assert_eq!(of("last=t3"), ["t4", "t5"]);
    assert_eq!(of("last=t35"), ["t4", "t5"], "last needn't exist");
    assert_eq!(of("n=1&last=t3"), ["t4"]);
    assert_eq!(of("n=0"), [] as [&str; 0]);
    assert_eq!(of("last=zzz"), [] as [&str; 0]);
}

fn bad_n(peer: &Peer) {
    push_image(peer, "discovery/n", "x");
    for n in ["-1", "x", "99999999999999999999999"] {
        peer.ask("GET", &format!("/v2/discovery/n/tags/list?n={n}")).is(400);
    }
}

fn unknown_repository(peer: &Peer) {
    let answer = peer.ask("GET", "/v2/discovery/nowhere/tags/list").is(404);
    assert_eq!(answer.code(), "NAME_UNKNOWN");
}

fn catalog(peer: &Peer) {
    for name in ["discovery/cat/a", "discovery/cat/b", "discovery/cat/c"] {
        push_image(peer, name, "x");
    }
    let mut target = Some("/v2/_catalog?n=2".to_owned());
    let mut all = Vec::new();
    while let Some(at) = target.take() {
        let answer = peer.ask("GET", &at).is(200);
        let page = texts(&answer.json()["repositories"]);
        assert!(page.len() <= 2);
        all.extend(page);
        target = next(&answer);
    }
    for name in ["discovery/cat/a", "discovery/cat/b", "discovery/cat/c"] {
        assert_eq!(all.iter().filter(|found| *found == name).count(), 1, "{name}");
    }
    assert!(all.is_sorted());
}

fn giant_page(peer: &Peer) {
    let answer = peer.ask("GET", "/v2/_catalog?n=1000000000");
    assert!(matches!(answer.status, 400 | 413), "{}", answer.status);
}

/// Pushes an artifact that refers to `subject`; gives its digest.
fn refer(peer: &Peer, name: &str, subject: &Digest, kind: &str) -> Digest {
    let mut document = manifest(peer, name, kind);
    document["artifactType"] = json!(kind);
    document["annotations"] = json!({"org.example": kind});
    document["subject"] = json!({"mediaType": MANIFEST, "digest": subject.to_string(), "size": 1});
    let bytes = document.to_string().into_bytes();
    let digest = Digest::sha256(&bytes);
    let target = format!("/v2/{name}/manifests/{digest}");
    peer.send("PUT", &target, &[("Content-Type", MANIFEST)], &bytes).is(201);
    digest
}

fn referrers(peer: &Peer) {
    let name = "discovery/referrers";
    let (subject, _) = push_image(peer, name, "x");
    let mut wanted = [refer(peer, name, &subject, "a/one"), refer(peer, name, &subject, "a/two")]
        .map(|d| d.to_string());
    let answer = peer.ask("GET", &format!("/v2/{name}/referrers/{subject}")).is(200);
    assert_eq!(answer.header("content-type"), Some(INDEX));
    let body = answer.json();
    assert_eq!((&body["schemaVersion"], &body["mediaType"]), (&json!(2), &json!(INDEX)));
    let mut found: Vec<String> = Vec::new();
    for entry in body["manifests"].as_array().expect("a list") {
        assert_eq!(entry["mediaType"], MANIFEST);
        assert_eq!(entry["annotations"]["org.example"], entry["artifactType"]);
        assert!(entry["size"].as_u64().expect("a size") > 0);
        found.push(entry["digest"].as_str().expect("a digest").to_owned());
    }
    wanted.sort();
    found.sort();
    assert_eq!(found, wanted);
}

fn filtered(peer: &Peer) {
    let name = "discovery/filtered";
    let (subject, _) = push_image(peer, name, "x");
    refer(peer, name, &subject, "a/one");
    let two = refer(peer, name, &subject, "a/two");
    let target = format!("/v2/{name}/referrers/{subject}?artifactType=a%2Ftwo");
    let answer = peer.ask("GET", &target).is(200);
    assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"));
    let body = answer.json();
    assert_eq!(body["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["manifests"][0]["digest"], two.to_string());
}

fn no_referrers(peer: &Peer) {
    push_image(peer, "discovery/none", "x");
    let none = Digest::sha256(b"nothing");
    let body = peer.ask("GET", &format!("/v2/discovery/none/referrers/{none}")).is(200).json();
    assert_eq!(body["manifests"], json!([]));
    peer.ask("GET", "/v2/discovery/none/referrers/sha256:zz").is(400);
}

fn history(peer: &Peer) {
    let name = "discovery/history";
    let (first, first_bytes) = push_image(peer, name, "v");
    let bytes = manifest(peer, name, "second").to_string().into_bytes();
    let target = format!("/v2/{name}/manifests/v");
    peer.send("PUT", &target, &[("Content-Type", MANIFEST)], &bytes).is(201);
    let body = peer.ask("GET", &format!("/v2/{name}/_cale/tags/v/history")).is(200).json();
    assert_eq!(body["history"][1]["digest"], first.to_string());
    let before = peer.ask("GET", &format!("/v2/{name}/manifests/v@%7B1%7D")).is(200);
    assert_eq!(before.body, first_bytes);
    peer.ask("GET", &format!("/v2/{name}/manifests/v@%7B2%7D")).is(404);
}

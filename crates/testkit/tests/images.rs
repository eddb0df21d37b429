//! Images travel: import, save, load, push and pull against a real registry.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use testkit::{engine::Engine, program::run, registry::Registry};

#[test]
fn saved_images_load_elsewhere() {
    let first = Engine::start().with_busybox();
    let second = Engine::start();
    let tar = first.path("busybox.tar");
    let tar = tar.to_str().unwrap();
    first.docker(&["save", "-o", tar, "busybox"]).ok();
    let loaded = second.cale(&["load", "-i", tar]).ok();
    assert!(loaded.contains("Loaded image: busybox:latest"), "{loaded}");
    assert_eq!(second.docker(&["run", "--rm", "busybox", "echo", "here"]).ok(), "here\n");
    let id = |engine: &Engine| engine.docker(&["images", "-q", "--no-trunc", "busybox"]).ok();
    assert_eq!(id(&first), id(&second));
    let copied = format!("oci:{}:copy", first.path("layout").display());
    run(std::process::Command::new("skopeo").args([
        "copy",
        &format!("docker-archive:{tar}"),
        &copied,
    ]))
    .ok();
}

#[test]
fn push_and_pull_through_a_registry() {
    let registry = Registry::start();
    let first = Engine::start().with_busybox();
    let second = Engine::start();
    let name = format!("{}/team/box:v1", registry.host());
    first.cale(&["tag", "busybox", &name]).ok();
    let pushed = first.docker(&["push", &name]).ok();
    assert!(pushed.contains("digest: sha256:"), "{pushed}");
    let pulled = second.cale(&["pull", &name]).ok();
    assert!(pulled.contains("Status: Downloaded newer image"), "{pulled}");
    assert_eq!(second.docker(&["run", "--rm", &name, "echo", "pulled"]).ok(), "pulled\n");
    let again = second.docker(&["pull", &name]).ok();
    assert!(again.contains("Status: Image is up to date"), "{again}");
    let digests = second.docker(&["images", "--digests", "--format", "{{.Digest}}"]).ok();
    assert!(pushed.contains(digests.trim()), "{digests} not in {pushed}");
    let missing = second.cale(&["pull", &format!("{}/team/none", registry.host())]);
    assert_eq!(missing.code, 1);
}

#[test]
fn the_list_tells_names_and_removal_untags() {
    let engine = Engine::start().with_busybox();
    engine.cale(&["tag", "busybox", "other:x"]).ok();
    for client in [Engine::docker, Engine::cale] {
        let listed = client(&engine, &["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok();
        let mut names: Vec<&str> = listed.lines().collect();
        names.sort_unstable();
        assert_eq!(names, ["busybox:latest", "other:x"]);
    }
    assert_eq!(engine.docker(&["rmi", "other:x"]).ok(), "Untagged: other:x\n");
    engine.cale(&["create", "--name", "user", "busybox"]).ok();
    let refused = engine.docker(&["rmi", "busybox"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("conflict"), "{}", refused.err);
    engine.cale(&["rm", "user"]).ok();
    let removed = engine.cale(&["rmi", "busybox"]).ok();
    assert!(
        removed.contains("Untagged: busybox:latest") && removed.contains("Deleted: sha256:"),
        "{removed}"
    );
}

#[test]
fn hello_needs_no_registry() {
    let engine = Engine::start();
    let said = engine.cale(&["run", "hello"]).ok();
    for word in ["namespace", "memory", "layer"] {
        assert!(said.to_lowercase().contains(word), "no {word} in: {said}");
    }
}

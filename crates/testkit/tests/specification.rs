//! What a running engine answers, judged by the specification.

use std::{path::Path, process::Command};

use serde_json::Value;
use testkit::{engine::Engine, program::run, spec};

/// `METHOD path` → the specification's operation, status, document.
fn ask(socket: &Path, method: &str, path: &str, body: Option<&str>) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}", "--max-time", "20", "-X", method, "--unix-socket"])
        .arg(socket)
        .arg(format!("http://x{path}"));
    if let Some(body) = body {
        curl.args(["-H", "Content-Type: application/json", "-d", body]);
    }
    let said = run(&mut curl).ok();
    let (text, status) = said.trim_end().rsplit_once('\n').unwrap_or(("", said.trim_end()));
    let document = serde_json::from_str(text).unwrap_or(Value::Null);
    (status.parse().expect("curl prints the status"), document)
}

#[test]
fn answers_are_what_the_specification_says() {
    let engine = Engine::start().with_busybox();
    let socket = engine.socket();
    let id = engine.docker(&["run", "-d", "-p", "80", "--name", "web", "busybox", "sleep", "60"]);
    let id = id.ok().trim().to_owned();
    engine.docker(&["volume", "create", "data"]).ok();
    let mut faults = Vec::new();
    let mut check = |operation: &str, path: &str, body: Option<&str>, want: u16| {
        let method = operation.split(' ').next().expect("an operation begins with its method");
        let (status, document) = ask(&socket, method, path, body);
        if status != want {
            faults.push(format!("{operation}: {status} instead of {want}: {document}"));
            return;
        }
        match spec::check_answer(operation, status, &document) {
            Some(more) => faults.extend(more),
            None => faults.push(format!("{operation}: the specification has no {status}")),
        }
    };
    check("GET /version", "/version", None, 200);
    check("GET /info", "/info", None, 200);
    check("GET /containers/json", "/containers/json?size=1", None, 200);
    check("GET /containers/{id}/json", &format!("/containers/{id}/json?size=1"), None, 200);
    check("GET /containers/{id}/json", "/containers/nope/json", None, 404);
    check("GET /containers/{id}/top", "/containers/web/top", None, 200);
    check("GET /containers/{id}/changes", "/containers/web/changes", None, 200);
    check("GET /containers/{id}/stats", "/containers/web/stats?stream=0&one-shot=1", None, 200);
    check("GET /images/json", "/images/json?manifests=1", None, 200);
    check("GET /images/{name}/json", "/images/busybox/json", None, 200);
    check("GET /images/{name}/json", "/images/nope/json", None, 404);
    check("GET /images/{name}/history", "/images/busybox/history", None, 200);
    check("GET /networks", "/networks", None, 200);
    check("GET /networks/{id}", "/networks/bridge", None, 200);
    check("GET /volumes", "/volumes", None, 200);
    check("GET /volumes/{name}", "/volumes/data", None, 200);
    check("GET /system/df", "/system/df?verbose=1", None, 200);
    let create = r#"{"Image":"busybox","Cmd":["true"]}"#;
    check("POST /containers/create", "/containers/create?name=one", Some(create), 201);
    check("POST /containers/create", "/containers/create?name=one", Some(create), 409);
    check("POST /containers/create", "/containers/create", Some(r#"{"Cmd":5}"#), 400);
    let exec = r#"{"Cmd":["true"]}"#;
    check("POST /containers/{id}/exec", "/containers/web/exec", Some(exec), 201);
    check("POST /containers/{id}/exec", "/containers/one/exec", Some(exec), 409);
    check(
        "POST /containers/{id}/update",
        "/containers/web/update",
        Some(r#"{"Memory":67108864}"#),
        200,
    );
    check("POST /containers/{id}/kill", "/containers/web/kill", None, 204);
    check("POST /containers/{id}/wait", "/containers/web/wait", None, 200);
    check("DELETE /containers/{id}", "/containers/nope", None, 404);
    check("POST /containers/prune", "/containers/prune", None, 200);
    check("POST /volumes/prune", "/volumes/prune", None, 200);
    check("POST /networks/prune", "/networks/prune", None, 200);
    check("POST /images/prune", "/images/prune", None, 200);
    check("GET /swarm", "/swarm", None, 503);
    // A status without a document is right; dockerd too writes null for an unset swappiness.
    faults.retain(|fault| {
        fault != "POST /containers/{id}/kill: the specification has no 204"
            && fault != "GET /containers/{id}/json.HostConfig.MemorySwappiness: null is no integer"
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

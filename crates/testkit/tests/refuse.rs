//! Bad input: a clear error, the right code, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use testkit::{engine::Engine, program::run_with_input};

#[track_caller]
fn refused(engine: &Engine, args: &[&str], code: i32, part: &str) {
    for client in [Engine::docker, Engine::cale] {
        let said = client(engine, args);
        assert_eq!(said.code, code, "{args:?}: {}", said.err);
        assert!(said.err.contains(part), "{args:?}: {:?} lacks {part:?}", said.err);
    }
}

#[test]
fn wrong_requests_are_refused_and_leave_nothing() {
    let engine = Engine::start().with_busybox();
    engine.cale(&["create", "--name", "taken", "busybox"]).ok();
    let before = engine.docker(&["ps", "-aq"]).ok();
    refused(&engine, &["run", "--rm", "--pull", "never", "nosuchimage"], 125, "nosuchimage");
    refused(&engine, &["run", "UPPER/Case"], 125, "must be lowercase");
    refused(&engine, &["run", "--name", "taken", "busybox"], 125, "is already in use by container");
    refused(
        &engine,
        &["run", "--rm", "busybox", "nosuchcommand"],
        127,
        "executable file not found in $PATH",
    );
    refused(&engine, &["run", "--rm", "busybox", "/etc/passwd"], 126, "permission denied");
    refused(&engine, &["run", "--rm", "--memory", "1k", "busybox"], 125, "emory");
    refused(&engine, &["run", "--rm", "-u", "nosuchuser", "busybox"], 125, "nosuchuser");
    refused(&engine, &["start", "nosuchcontainer"], 1, "No such container: nosuchcontainer");
    refused(&engine, &["inspect", "nosuchthing"], 1, "nosuchthing");
    refused(
        &engine,
        &["run", "--rm", "--network", "nosuchnet", "busybox"],
        125,
        "network nosuchnet not found",
    );
    assert_eq!(engine.docker(&["ps", "-aq"]).ok(), before);
}

#[test]
fn wrong_bodies_are_four_hundreds() {
    let engine = Engine::start();
    let post = |path: &str, body: &str| {
        let mut command = std::process::Command::new("curl");
        let url = format!("http://engine{path}");
        command
            .args(["-s", "-m", "5", "-w", "\n%{http_code}", "--unix-socket"])
            .arg(engine.socket());
        command.args(["-H", "Content-Type: application/json", "-d", body, &url]);
        let said = testkit::program::run(&mut command).ok();
        let (body, code) = said.rsplit_once('\n').unwrap();
        assert!(body.contains("\"message\""), "{path}: {body}");
        code.to_owned()
    };
    assert_eq!(post("/containers/create", "{"), "400");
    assert_eq!(post("/containers/create", "[]"), "400");
    assert_eq!(post("/containers/create", r#"{"Image":5}"#), "400");
    assert_eq!(
        post(
            "/containers/create",
            r#"{"Image":"x","HostConfig":{"RestartPolicy":{"Name":"sometimes"}}}"#
        ),
        "400"
    );
    assert_eq!(post("/containers/create", r#"{"Image":"nosuchimage"}"#), "404");
    assert_eq!(post("/nosuchpath", "{}"), "404");
    assert_eq!(post("/v9.99/containers/create", "{}"), "400");
    assert_eq!(post("/containers/nosuch/start", ""), "404");
}

#[test]
fn hostile_archives_stay_inside() {
    let engine = Engine::start();
    let canary = engine.path("canary");
    std::fs::write(&canary, "untouched").unwrap();
    let up = format!("../../../../../../../../../..{}", canary.display());
    for (kind, name, link) in [
        (tar::EntryType::Regular, up.as_str(), None),
        (tar::EntryType::Link, "hard", Some(up.as_str())),
    ] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        let raw = &mut header.as_gnu_mut().unwrap().name;
        raw[..name.len().min(99)].copy_from_slice(&name.as_bytes()[..name.len().min(99)]);
        if let Some(link) = link {
            header.set_link_name_literal(link).unwrap();
        }
        header.set_cksum();
        builder.append(&header, &[][..]).unwrap();
        let archive = builder.into_inner().unwrap();
        let said = run_with_input(&mut engine.cale_command(&["import", "-", "hostile"]), &archive);
        assert_ne!(said.code, 0, "{kind:?} {name} was taken");
        assert_eq!(std::fs::read_to_string(&canary).unwrap(), "untouched");
    }
    assert_eq!(engine.docker(&["images", "-q"]).ok(), "");
}

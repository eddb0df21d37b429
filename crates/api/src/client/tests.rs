//! The client against a hand-written server on a unix socket.

use std::path::Path;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::wire::{EventMessage, IdResponse};

/// Reads one request's head (and nothing after it).
async fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap() == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn client(path: &Path) -> Client {
    Client::from_host(&format!("unix://{}", path.display())).unwrap()
}

#[tokio::test]
async fn negotiates_reuses_connections_and_reads_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HEAD /_ping "));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nApi-Version: 1.47\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("GET /v1.47/x?a=b%20c&on=1 HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("host: api.moby.localhost"), "{head}");
        let body = br#"{"Id":null}"#;
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        read_head(&mut stream).await;
        let body = br#"{"message":"No such thing"}"#;
        let answer = format!(
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
    });
    let client = client(&path);
    assert_eq!(client.negotiate().await.unwrap(), Version::new(47));
    let id: IdResponse = client
        .get("/x")
        .query("a", "b c")
        .flag("on", true)
        .flag("off", false)
        .fetch()
        .await
        .unwrap();
    assert_eq!(id.id, "");
    let error = client.get("/y").done().await.unwrap_err();
    assert_eq!(error.to_string(), "No such thing");
    assert_eq!(error.kind(), model::ErrorKind::NotFound);
    server.await.unwrap();
}

#[tokio::test]
async fn streams_json_lines_across_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_head(&mut stream).await;
        let parts: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"Type\":\r\n",
            b"C\r\n\"image\"}\r\n{}\r\n",
            b"0\r\n\r\n",
        ];
        for part in parts {
            stream.write_all(part).await.unwrap();
        }
    });
    let mut events =
        client(&path).get("/events").send().await.unwrap().json_stream::<EventMessage>();
    assert_eq!(events.next().await.unwrap().unwrap().kind, "image");
    assert_eq!(events.next().await.unwrap().unwrap().kind, "");
    assert!(events.next().await.unwrap().is_none());
}

#[tokio::test]
async fn hijacked_connections_half_close() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_head(&mut stream).await;
        assert!(head.to_lowercase().contains("upgrade: tcp"), "{head}");
        stream
            .write_all(b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
            .await
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(b"late").await.unwrap();
        all
    });
    let hijacked = client(&path).post("/attach").hijack().await.unwrap();
    assert_eq!(hijacked.is_multiplexed(), Some(false));
    let (mut reader, mut writer) = hijacked.split();
    writer.write(b"input").await.unwrap();
    writer.close().await.unwrap();
    let mut out = Vec::new();
    let mut buffer = [0; 64];
    loop {
        match reader.read(&mut buffer).await.unwrap() {
            0 => break,
            n => out.extend_from_slice(&buffer[..n]),
        }
    }
    assert_eq!(out, b"earlylate");
    assert_eq!(server.await.unwrap(), b"input");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let error = client(Path::new("/nonexistent/s")).get("/info").done().await.unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
}

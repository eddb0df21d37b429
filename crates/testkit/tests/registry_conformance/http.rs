//! A small HTTP/1.1 client: one connection a request, nothing done behind the test's back.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The first error's code.
    pub fn code(&self) -> String {
        let body = self.json();
        body["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The same, if the status is as wanted.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        assert_eq!(self.status, status, "{:?} {text:.300}", self.headers);
        self
    }

    /// The path and query of `Location`.
    #[track_caller]
    pub fn location(&self) -> String {
        let location = self.header("location").expect("a Location");
        match location.split_once("://") {
            Some((_, rest)) => rest[rest.find('/').expect("a path")..].to_owned(),
            None => location.to_owned(),
        }
    }
}

/// Sends one request and reads the answer to its end.
pub fn request(
    addr: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5)).expect("a peer");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("the head is sent");
    // A peer that refuses early may close before all is sent: its answer counts.
    let _ = stream.write_all(body);
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    assert!(read.is_ok() || !all.is_empty(), "no answer to {method} {target}");
    parse(&all, method)
}

fn parse(all: &[u8], method: &str) -> Answer {
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer {
        status: status.parse().expect("a number"),
        headers,
        body: all[end + 4..].to_vec(),
    };
    if answer.header("transfer-encoding") == Some("chunked") {
        answer.body = unchunk(&answer.body);
    } else if method != "HEAD"
        && let Some(length) = answer.header("content-length")
    {
        assert_eq!(length.parse::<usize>().expect("a length"), answer.body.len());
    }
    answer
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let text = std::str::from_utf8(&rest[..end]).expect("a number");
        let length = usize::from_str_radix(text, 16).expect("a number");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 4 + length..];
    }
}

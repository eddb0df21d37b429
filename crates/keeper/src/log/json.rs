//! Docker's json-file: `{"log":"…\n","stream":"stdout","attrs":{…},"time":"…"}` and a newline, byte for byte.
//!
//! Strings are escaped as moby's `jsonlog` does, which differs from Go's `encoding/json` only in writing a tab and other control characters
//! as `\u00XX`. What isn't UTF-8 becomes `\ufffd`, one per byte.

use std::borrow::Cow;

use serde::Deserialize;

use super::reader::Record;
use super::time;
use crate::protocol::Stream;

/// Appends one record.
pub(crate) fn encode(out: &mut Vec<u8>, data: &[u8], stream: Stream, attrs: &str, time_ns: i64) {
    // An empty "log" is left out (Go's omitempty); records are never empty, so it can't happen.
    out.extend_from_slice(b"{\"log\":");
    quote(out, data);
    out.extend_from_slice(match stream {
        Stream::Stdout => b",\"stream\":\"stdout\"",
        Stream::Stderr => b",\"stream\":\"stderr\"",
    });
    if !attrs.is_empty() {
        out.extend_from_slice(b",\"attrs\":");
        out.extend_from_slice(attrs.as_bytes());
    }
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(&time::format(time_ns));
    out.extend_from_slice(b"\"}\n");
}

/// Attributes as a JSON object, keys sorted as Go sorts a map's; empty when there are none.
pub(crate) fn encode_attrs(attrs: &[(String, String)]) -> String {
    if attrs.is_empty() {
        return String::new();
    }
    let mut sorted: Vec<_> = attrs.iter().collect();
    sorted.sort();
    sorted.dedup_by(|later, first| later.0 == first.0);
    let mut out = vec![b'{'];
    for (position, (name, value)) in sorted.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        quote(&mut out, name.as_bytes());
        out.push(b':');
        quote(&mut out, value.as_bytes());
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// Which bytes can't stand for themselves inside a JSON string (bytes over 127 are looked at apart).
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x20;
    while byte < 0x80 {
        plain[byte] = !matches!(byte as u8, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

fn quote(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut rest = text;
    while !rest.is_empty() {
        let plain = rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        let Some(&byte) = rest.first() else { break };
        if byte >= 0x80 {
            rest = quote_wide(out, rest);
            continue;
        }
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
        rest = &rest[1..];
    }
    out.push(b'"');
}

/// Writes the run of non-ASCII bytes at the start of `text`; gives what follows it.
fn quote_wide<'a>(out: &mut Vec<u8>, text: &'a [u8]) -> &'a [u8] {
    let run = text.iter().position(u8::is_ascii).unwrap_or(text.len());
    let (run, rest) = text.split_at(run);
    for chunk in run.utf8_chunks() {
        let mut valid = chunk.valid();
        // U+2028 and U+2029 end a line in JavaScript.
        while let Some(at) = valid.find(['\u{2028}', '\u{2029}']) {
            out.extend_from_slice(&valid.as_bytes()[..at]);
            let separator: &[u8] =
                if valid.as_bytes()[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" };
            out.extend_from_slice(separator);
            valid = &valid[at + 3..];
        }
        out.extend_from_slice(valid.as_bytes());
        // Go's decoder gives up one byte at a time.
        for _ in chunk.invalid() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    rest
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: serde_json::Map<String, serde_json::Value>,
}

/// The time of a line without reading all of it: it comes last.
pub(crate) fn time_of(line: &[u8]) -> Option<i64> {
    let line = line.trim_ascii_end().strip_suffix(b"\"}")?;
    let key = memchr::memmem::rfind(&line[line.len().saturating_sub(64)..], b"\"time\":\"")?;
    let start = line.len().saturating_sub(64) + key + 8;
    time::parse(std::str::from_utf8(&line[start..]).ok()?)
}

/// Reads one line, ours or Docker's.
pub(crate) fn decode(line: &[u8]) -> Option<Record> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let attrs = line.attrs.into_iter().map(|(name, value)| {
        let value = match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        (name, value)
    });
    Some(Record {
        time_ns: time::parse(&line.time)?,
        stream: if line.stream == "stderr" { Stream::Stderr } else { Stream::Stdout },
        data: line.log.into_owned().into_bytes(),
        attrs: attrs.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(data: &[u8]) -> String {
        let mut out = Vec::new();
        encode(&mut out, data, Stream::Stdout, "", 1_700_000_000_123_456_789);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_as_docker_writes_it() {
        assert_eq!(
            line(b"hello \"<&>\"\\\t\x07\r\n"),
            "{\"log\":\"hello \\\"\\u003c\\u0026\\u003e\\\"\\\\\\u0009\\u0007\\r\\n\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.123456789Z\"}\n"
        );
        assert!(
            line("é\u{7f}\u{2028}\u{2029}✓".as_bytes())
                .starts_with("{\"log\":\"é\u{7f}\\u2028\\u2029✓\",")
        );
        // A cut sequence, a surrogate, an overlong form: each byte is one replacement, as in Go.
        assert!(
            line(b"a\xe2\x82z\xed\xa0\x80\xc0\xaf")
                .starts_with("{\"log\":\"a\\ufffd\\ufffdz\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\",")
        );
    }

    #[test]
    fn attributes_stand_before_the_time() {
        let attrs = encode_attrs(&[("b".into(), "2".into()), ("a".into(), "<".into())]);
        assert_eq!(attrs, "{\"a\":\"\\u003c\",\"b\":\"2\"}");
        let mut out = Vec::new();
        encode(&mut out, b"x\n", Stream::Stderr, &attrs, 1);
        let text = String::from_utf8(out.clone()).unwrap();
        assert_eq!(
            text,
            "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"\\u003c\",\"b\":\"2\"},\"time\":\"1970-01-01T00:00:00.000000001Z\"}\n"
        );
        let record = decode(&out).unwrap();
        assert_eq!(record.attrs, [("a".into(), "<".into()), ("b".into(), "2".into())]);
        assert_eq!((record.stream, record.time_ns), (Stream::Stderr, 1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(data in prop::collection::vec(any::<u8>(), 0..200), time_ns in 1i64..4_000_000_000_000_000_000) {
            let mut out = Vec::new();
            encode(&mut out, &data, Stream::Stderr, "", time_ns);
            prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
            prop_assert_eq!(time_of(&out), Some(time_ns));
            let record = decode(&out).unwrap();
            prop_assert_eq!((record.stream, record.time_ns), (Stream::Stderr, time_ns));
            if let Ok(text) = std::str::from_utf8(&data) {
                prop_assert_eq!(record.data, text.as_bytes());
            }
        }
    }
}

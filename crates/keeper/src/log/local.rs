//! Our own log format: exact bytes, half the size of json-file, and readable from either end.
//!
//! ```text
//! file   = "CALELOG1" len:u32 attrs:[u8; len]  frame*           attrs: a JSON object or nothing; numbers are little-endian
//! frame  = len:u32 flags:u8 time_ns:i64 data:[u8; len - 9] len:u32
//! flags  : 1 = stderr; other bits are zero
//! ```
//! A frame whose data doesn't end in a newline is continued by the next frame of its stream. The attributes belong to all frames of the file:
//! a change of them starts a new file.

use super::reader::Record;
use crate::protocol::Stream;

const MAGIC: &[u8; 8] = b"CALELOG1";
const FIXED: usize = 9;
const STDERR: u8 = 1;

/// Bytes of a frame beside its data.
#[cfg(test)]
const OVERHEAD: usize = FIXED + 8;

/// Appends what a new file starts with.
pub(crate) fn encode_header(out: &mut Vec<u8>, attrs: &str) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&len_bytes(attrs.len()));
    out.extend_from_slice(attrs.as_bytes());
}

/// Appends one record.
pub(crate) fn encode(out: &mut Vec<u8>, data: &[u8], stream: Stream, time_ns: i64) {
    let len = len_bytes(data.len() + FIXED);
    out.extend_from_slice(&len);
    out.push(if stream == Stream::Stderr { STDERR } else { 0 });
    out.extend_from_slice(&time_ns.to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&len);
}

fn len_bytes(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

fn len_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*four)).ok()
}

/// The start of a file: its length and the attributes; `None` when it isn't complete or not ours.
pub(crate) fn decode_header(bytes: &[u8]) -> Option<(usize, &str)> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let len = len_at(rest, 0)?;
    let attrs = rest.get(4..len.checked_add(4)?)?;
    Some((MAGIC.len() + 4 + len, std::str::from_utf8(attrs).ok()?))
}

/// Whole length of the frame that starts at the start of `bytes`, if its length is there already.
pub(crate) fn frame_len(bytes: &[u8]) -> Option<usize> {
    Some(len_at(bytes, 0)? + 8)
}

/// Whole length of the frame that ends at the end of `bytes`.
pub(crate) fn frame_len_before(bytes: &[u8]) -> Option<usize> {
    Some(len_at(bytes, bytes.len().checked_sub(4)?)? + 8)
}

/// Reads a whole frame.
pub(crate) fn decode(frame: &[u8]) -> Option<Record> {
    let len = len_at(frame, 0)?;
    let body = frame.get(4..len.checked_add(4)?)?;
    if frame.len() != len + 8 || len_at(frame, len + 4)? != len {
        return None;
    }
    let (&flags, body) = body.split_first()?;
    let (time, data) = body.split_first_chunk::<8>()?;
    if flags & !STDERR != 0 {
        return None;
    }
    Some(Record {
        time_ns: i64::from_le_bytes(*time),
        stream: if flags & STDERR != 0 { Stream::Stderr } else { Stream::Stdout },
        data: data.to_vec(),
        attrs: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_from_both_ends() {
        let mut file = Vec::new();
        encode_header(&mut file, "{\"a\":\"b\"}");
        let (start, attrs) = decode_header(&file).unwrap();
        assert_eq!((start, attrs), (file.len(), "{\"a\":\"b\"}"));
        encode(&mut file, b"one\xff\n", Stream::Stdout, 5);
        encode(&mut file, b"two", Stream::Stderr, 6);
        assert_eq!(file.len(), start + 5 + 3 + 2 * OVERHEAD);

        let first = &file[start..start + frame_len(&file[start..]).unwrap()];
        let last = &file[file.len() - frame_len_before(&file).unwrap()..];
        let (first, last) = (decode(first).unwrap(), decode(last).unwrap());
        assert_eq!(
            (first.data.as_slice(), first.time_ns, first.stream),
            (&b"one\xff\n"[..], 5, Stream::Stdout)
        );
        assert_eq!(
            (last.data.as_slice(), last.time_ns, last.stream),
            (&b"two"[..], 6, Stream::Stderr)
        );
    }

    #[test]
    fn garbage_is_refused() {
        assert!(decode_header(b"CALELOG2\0\0\0\0").is_none());
        assert!(decode_header(b"CALELOG1\xff\0\0\0").is_none());
        let mut frame = Vec::new();
        encode(&mut frame, b"x", Stream::Stdout, 1);
        for position in [0, 4, frame.len() - 1] {
            let mut bad = frame.clone();
            bad[position] ^= 0x40;
            assert!(decode(&bad).is_none(), "byte {position}");
        }
    }
}

//! Blobs: fetch whole or in part, look, delete.

use std::io::{Seek, SeekFrom};

use http::{Response, StatusCode, header};
use model::Digest;

use super::Call;
use crate::server::{
    answer::{self, Body, CONTENT_DIGEST},
    notify::Happening,
    refusal::{Code, Refusal},
    route::Name,
};

/// end-2.
pub(super) async fn fetch(
    call: Call,
    name: Name,
    digest: Digest,
) -> Result<Response<Body>, Refusal> {
    let (storage, repository, wanted) = (call.state.storage.clone(), name.clone(), digest.clone());
    let opened = answer::blocking(move || storage.blob_open(&repository, &wanted)).await;
    let (mut file, size) = match opened {
        Err(refusal) if refusal.code == Code::BlobUnknown => {
            call.state.upstreams.blob(&call.state, &name, &digest).await?;
            let (storage, digest) = (call.state.storage.clone(), digest.clone());
            answer::blocking(move || storage.blob_open(&name, &digest)).await?
        }
        opened => opened?,
    };
    let mut builder = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{digest}\""))
        .header(header::CACHE_CONTROL, "max-age=31536000, immutable")
        .header(CONTENT_DIGEST, digest.to_string());
    let range = call.header(header::RANGE).map_or(Range::Whole, |text| range(text, size));
    let (start, length) = match range {
        Range::Whole => (0, size),
        Range::Part { start, length } => {
            let end = start + length - 1;
            builder = builder
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {start}-{end}/{size}"));
            (start, length)
        }
        Range::Outside => {
            let refusal = Refusal::new(Code::BlobRangeInvalid, "the range lies outside the blob");
            return Err(refusal.with_header(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    builder = builder.header(header::CONTENT_LENGTH, length);
    if call.request.method() == http::Method::HEAD {
        return answer::done(builder);
    }
    file.seek(SeekFrom::Start(start)).map_err(|error| Refusal::disk("read the blob", error))?;
    call.state.metrics.sent(length);
    answer::finish(builder, answer::file(file, length))
}

/// end-10.
pub(super) async fn delete(
    call: Call,
    name: Name,
    digest: Digest,
) -> Result<Response<Body>, Refusal> {
    let (storage, repository, gone) = (call.state.storage.clone(), name.clone(), digest.clone());
    answer::blocking(move || storage.blob_delete(&repository, &gone)).await?;
    call.state.tell(&call.caller, Happening::deleted(&name, Some(digest), None));
    answer::done(answer::empty(StatusCode::ACCEPTED))
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part { start: u64, length: u64 },
    Outside,
}

/// Reads a `Range` header (RFC 9110, section 14.2). What isn't one range of bytes is ignored, as
/// the RFC allows.
fn range(text: &str, size: u64) -> Range {
    let Some(spec) = text.strip_prefix("bytes=").filter(|spec| !spec.contains(',')) else {
        return Range::Whole;
    };
    let Some((first, last)) = spec.split_once('-') else { return Range::Whole };
    let (start, end) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(start), Ok(end)) if start <= end => (start, end.min(size.saturating_sub(1))),
        (Ok(start), Err(_)) if last.trim().is_empty() => (start, size.saturating_sub(1)),
        (Err(_), Ok(count)) if first.trim().is_empty() => {
            if count == 0 {
                return Range::Outside;
            }
            (size.saturating_sub(count), size.saturating_sub(1))
        }
        _ => return Range::Whole,
    };
    if start >= size { Range::Outside } else { Range::Part { start, length: end - start + 1 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let part = |start, length| Range::Part { start, length };
        for (text, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-", part(2, 8)),
            ("bytes=2-99", part(2, 8)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-99", part(0, 10)),
            ("bytes=10-", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=5-2", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("bytes=x", Range::Whole),
            ("lines=0-1", Range::Whole),
        ] {
            assert_eq!(range(text, 10), wanted, "{text}");
        }
        assert_eq!(range("bytes=0-", 0), Range::Outside);
    }
}

//! Uploads: begin, go on, finish, mount, look, cancel.

use std::sync::Arc;

use http::{Response, StatusCode, header};
use hyper::body::Incoming;
use model::Digest;
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{Call, created, within_quota};
use crate::server::{
    State,
    answer::{self, Body, CONTENT_DIGEST, UPLOAD_ID},
    config::Action,
    notify::Happening,
    refusal::{Code, Refusal},
    route::{self, Name, SessionId},
    storage::Session,
};

/// Frames between the network and the disk.
const FRAMES: usize = 16;

type Held = OwnedMutexGuard<Session>;

/// end-4a, end-4b and end-11.
pub(super) async fn begin(mut call: Call, name: Name) -> Result<Response<Body>, Refusal> {
    if let Some(digest) = call.parameter("mount") {
        let digest = route::digest(&digest)?;
        if mount(&call, &name, &digest).await? {
            call.state.tell(&call.caller, Happening::mounted(&name, &digest));
            let created = created(format!("/v2/{name}/blobs/{digest}"));
            return answer::done(created.header(CONTENT_DIGEST, digest.to_string()));
        }
    }
    let digest = call.parameter("digest").map(|text| route::digest(&text)).transpose()?;
    let storage = call.state.storage.clone();
    let repository = name.clone();
    let (id, upload) = answer::blocking(move || storage.upload_begin(&repository)).await?;
    // Clients that only ask for a session may name the digest, too, and send nothing.
    let sends = hyper::body::Body::size_hint(call.request.body()).exact() != Some(0);
    match digest.filter(|digest| sends || *digest == Digest::sha256(b"")) {
        Some(digest) => {
            let held = upload.lock_owned().await;
            let received = receive(&call.state, call.idle(), &name, held, call.request.body_mut());
            let held = received.await?;
            commit(&call, name, id, held, digest).await
        }
        None => {
            let builder = session(answer::empty(StatusCode::ACCEPTED), &name, &id, 0);
            answer::done(builder)
        }
    }
}

/// Whether the blob could be had from another repository that the caller may read.
async fn mount(call: &Call, name: &Name, digest: &Digest) -> Result<bool, Refusal> {
    let storage = call.state.storage.clone();
    let from = match call.parameter("from") {
        Some(from) => vec![Name::new(&from)?],
        // Without `from` any will do (specification, "Mounting a blob from another repository").
        None => {
            let storage = storage.clone();
            answer::blocking(move || storage.repositories()).await?
        }
    };
    let readable: Vec<Name> =
        from.into_iter().filter(|from| call.caller.may(&call.state, from, Action::Pull)).collect();
    let (name, digest) = (name.clone(), digest.clone());
    answer::blocking(move || {
        for from in readable {
            if storage.mount(&name, &digest, &from)? {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// end-5.
pub(super) async fn chunk(
    mut call: Call,
    name: Name,
    id: SessionId,
) -> Result<Response<Body>, Refusal> {
    let held = open(&call, &name, &id).await?;
    in_order(&call, &name, &id, held.received())?;
    let held = receive(&call.state, call.idle(), &name, held, call.request.body_mut()).await?;
    answer::done(session(answer::empty(StatusCode::ACCEPTED), &name, &id, held.received()))
}

/// end-6.
pub(super) async fn finish(
    mut call: Call,
    name: Name,
    id: SessionId,
) -> Result<Response<Body>, Refusal> {
    let Some(digest) = call.parameter("digest") else {
        return Err(Refusal::new(Code::DigestInvalid, "the digest parameter is missing"));
    };
    let digest = route::digest(&digest)?;
    let held = open(&call, &name, &id).await?;
    in_order(&call, &name, &id, held.received())?;
    let held = receive(&call.state, call.idle(), &name, held, call.request.body_mut()).await?;
    commit(&call, name, id, held, digest).await
}

/// end-13.
pub(super) async fn status(
    call: Call,
    name: Name,
    id: SessionId,
) -> Result<Response<Body>, Refusal> {
    let held = open(&call, &name, &id).await?;
    let builder = Response::builder().status(StatusCode::NO_CONTENT);
    answer::done(session(builder, &name, &id, held.received()))
}

/// end-14.
pub(super) async fn cancel(
    call: Call,
    name: Name,
    id: SessionId,
) -> Result<Response<Body>, Refusal> {
    let storage = call.state.storage.clone();
    answer::blocking(move || storage.upload_cancel(&name, &id)).await?;
    answer::done(Response::builder().status(StatusCode::NO_CONTENT))
}

/// The session; waits for another request on it, which ends at the latest when its client stalls.
async fn open(call: &Call, name: &Name, id: &SessionId) -> Result<Held, Refusal> {
    let (storage, name, id) = (call.state.storage.clone(), name.clone(), id.clone());
    let upload = answer::blocking(move || storage.upload(&name, &id)).await?;
    Ok(upload.lock_owned().await)
}

/// `Content-Range: <start>-<end>`, if given, must go on where the session stands and be as long as
/// the body.
fn in_order(call: &Call, name: &Name, id: &SessionId, received: u64) -> Result<(), Refusal> {
    let Some(text) = call.header(header::CONTENT_RANGE) else { return Ok(()) };
    let bounds = text.strip_prefix("bytes ").unwrap_or(text).split('/').next().and_then(|range| {
        let (start, end) = range.split_once('-')?;
        Some((start.trim().parse::<u64>().ok()?, end.trim().parse::<u64>().ok()?))
    });
    let Some((start, end)) = bounds.filter(|(start, end)| start <= end) else {
        return Err(Refusal::new(Code::BlobUploadInvalid, format!("bad Content-Range {text:?}")));
    };
    if start != received {
        let why = format!("the chunk begins at {start}, but {received} bytes were received");
        return Err(Refusal::new(Code::RangeInvalid, why)
            .with_header(header::LOCATION, location(name, id))
            .with_header(header::RANGE, range(received)));
    }
    let length = hyper::body::Body::size_hint(call.request.body()).exact();
    if length.is_some_and(|length| length != end - start + 1) {
        return Err(Refusal::new(Code::SizeInvalid, "Content-Length and Content-Range differ"));
    }
    Ok(())
}

/// Appends the body to the session. What came before a failure stays, for the client to go on.
async fn receive(
    state: &Arc<State>,
    idle: std::time::Duration,
    name: &Name,
    mut held: Held,
    body: &mut Incoming,
) -> Result<Held, Refusal> {
    let announced = hyper::body::Body::size_hint(body).lower();
    let limit = state.config.blob_max;
    if limit > 0 && held.received() + announced > limit {
        return Err(Refusal::new(Code::TooLarge, format!("a blob may have {limit} bytes")));
    }
    within_quota(state, name, held.received() + announced).await?;
    let before = held.received();
    let (frames, mut incoming) = mpsc::channel::<bytes::Bytes>(FRAMES);
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(bytes) = incoming.blocking_recv() {
            held.write(&bytes)?;
        }
        Ok(held)
    });
    let mut broken = None;
    let mut count = before;
    loop {
        match answer::next(body, idle).await {
            Ok(Some(bytes)) => {
                count += bytes.len() as u64;
                if limit > 0 && count > limit {
                    let why = format!("a blob may have {limit} bytes");
                    broken = Some(Refusal::new(Code::TooLarge, why));
                    break;
                }
                if frames.send(bytes).await.is_err() {
                    break;
                }
            }
            Ok(None) => break,
            Err(refusal) => {
                broken = Some(refusal);
                break;
            }
        }
    }
    drop(frames);
    let written = writer
        .await
        .map_err(|_| Refusal::new(Code::Internal, "a worker ended early"))
        .and_then(|written: Result<Held, Refusal>| written);
    state.metrics.received(count - before);
    match (written, broken) {
        (Err(refusal), _) | (Ok(_), Some(refusal)) => Err(refusal),
        (Ok(held), None) => Ok(held),
    }
}

async fn commit(
    call: &Call,
    name: Name,
    id: SessionId,
    mut held: Held,
    digest: Digest,
) -> Result<Response<Body>, Refusal> {
    within_quota(&call.state, &name, held.received()).await?;
    let size = held.received();
    let storage = call.state.storage.clone();
    let (repository, wanted) = (name.clone(), digest.clone());
    answer::blocking(move || storage.upload_finish(&repository, &id, &mut held, &wanted)).await?;
    call.state.tell(&call.caller, Happening::pushed_blob(&name, &digest, size));
    let created = created(format!("/v2/{name}/blobs/{digest}"));
    answer::done(created.header(CONTENT_DIGEST, digest.to_string()))
}

fn session(
    builder: http::response::Builder,
    name: &Name,
    id: &SessionId,
    received: u64,
) -> http::response::Builder {
    builder
        .header(header::LOCATION, location(name, id))
        .header(header::RANGE, range(received))
        .header(UPLOAD_ID, id.as_str())
}

/// Relative: what a proxy before us is called is the client's knowledge.
fn location(name: &Name, id: &SessionId) -> String {
    format!("/v2/{name}/blobs/uploads/{}", id.as_str())
}

/// `0-<last byte>`; Docker's registry says `0-0` where nothing was received.
fn range(received: u64) -> String {
    format!("0-{}", received.saturating_sub(1))
}

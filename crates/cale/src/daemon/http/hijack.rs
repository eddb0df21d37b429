//! Handing a connection over to the keeper: `101 UPGRADED`, then the client's socket itself.

use std::{io, os::fd::OwnedFd};

use api::stream::{self, Channel, MULTIPLEXED_STREAM, RAW_STREAM};
use engine::container::AttachIo;
use http::{
    HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, UPGRADE},
};
use hyper::{ext::ReasonPhrase, upgrade::OnUpgrade};
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade};

use super::{call::Call, door::Door, error::ApiError, reply, routes::Answer};

/// Answers `101` and runs `serve` with the client's socket. `framed`: output is multiplexed.
///
/// An error of `serve` comes too late for a status: it is written to the client as output.
pub fn take_over<F>(
    mut call: Call,
    framed: bool,
    serve: impl FnOnce(AttachIo) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = engine::Result<()>> + Send + 'static,
{
    let Some(upgrade) = call.parts.extensions.remove::<OnUpgrade>() else {
        return Err(ApiError::invalid("this connection cannot be handed over (HTTP/1.1 needed)"));
    };
    let multiplexed = framed && !call.version.before(42);
    let mut answer = reply::status(StatusCode::SWITCHING_PROTOCOLS);
    let kind = if multiplexed { MULTIPLEXED_STREAM } else { RAW_STREAM };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("tcp"));
    answer.extensions_mut().insert(ReasonPhrase::from_static(b"UPGRADED"));
    tokio::spawn(async move {
        let (fd, input) = match take_socket(upgrade).await {
            Ok(taken) => taken,
            // The client left before the head was out.
            Err(error) => return tracing::debug!(%error, "connection was not handed over"),
        };
        // Kept only until the keeper has its own: the client must see the end.
        let spare = fd.try_clone();
        if let Err(error) = serve(AttachIo { fd, input, raw: false }).await
            && let Ok(fd) = spare
        {
            write_error(fd, framed, &error.text()).await;
        }
    });
    Ok(answer)
}

/// The client's socket, and what it has sent behind the request.
async fn take_socket(on_upgrade: OnUpgrade) -> io::Result<(OwnedFd, Vec<u8>)> {
    let upgraded = on_upgrade.await.map_err(io::Error::other)?;
    let parts = upgrade::downcast::<TokioIo<Door>>(upgraded)
        .map_err(|_| io::Error::other("connection is not ours"))?;
    let (wire, rest) = parts.io.into_inner().into_parts();
    let mut input = parts.read_buf.to_vec();
    input.extend_from_slice(&rest);
    Ok((wire.into_fd()?, input))
}

/// Tells the client why nothing came; it reads this as output of the process.
async fn write_error(fd: OwnedFd, framed: bool, text: &str) {
    let line = format!("{text}\r\n");
    let bytes = if framed {
        stream::frame(Channel::Stderr, line.as_bytes())
    } else {
        bytes::Bytes::from(line)
    };
    // Both kinds of socket take a write of their own kind only; a file takes none.
    let written = tokio::task::spawn_blocking(move || {
        use std::io::Write;
        std::fs::File::from(fd).write_all(&bytes)
    });
    if let Ok(Err(error)) = written.await {
        tracing::debug!(%error, "client left before the error was told");
    }
}

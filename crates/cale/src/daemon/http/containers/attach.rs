//! Attach: hijacked, or over a WebSocket.

use axum::extract::{FromRequestParts, WebSocketUpgrade, ws};
use engine::container::{AttachIo, AttachRequest};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::super::{call::Call, error::ApiError, hijack, reply::Reply, routes::Answer};

fn request(call: &Call) -> AttachRequest {
    let query = &call.query;
    AttachRequest {
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        logs: query.flag("logs"),
        stream: query.flag("stream"),
        detach_keys: query.some("detachKeys").map(str::to_owned),
    }
}

/// `POST /containers/{id}/attach`
pub async fn attach(call: Call, name: &str) -> Answer {
    let ticket = call.engine().containers().attach(name, request(&call)).await?;
    let framed = !ticket.tty();
    hijack::take_over(call, framed, move |io| ticket.connect(io))
}

/// `GET /containers/{id}/attach/ws`
pub async fn websocket(mut call: Call, name: &str) -> Answer {
    let request = request(&call);
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.parts, &())
        .await
        .map_err(|error| ApiError::invalid(error.to_string()))?;
    let ticket = call.engine().containers().attach(name, request).await?;
    let answer = upgrade.on_upgrade(async move |socket| {
        let pair = UnixStream::pair().and_then(|(ours, theirs)| Ok((ours, theirs.into_std()?)));
        let (ours, theirs) = match pair {
            Ok(pair) => pair,
            Err(error) => return tracing::error!(%error, "cannot make a pair for a websocket"),
        };
        let io = AttachIo { fd: theirs.into(), input: Vec::new(), raw: true };
        if let Err(error) = ticket.connect(io).await {
            tracing::error!(error = %error.text(), "cannot attach a websocket");
            return;
        }
        shuttle(socket, ours).await;
    });
    let (parts, body) = answer.into_parts();
    let body = http_body_util::BodyExt::map_err(body, std::io::Error::other);
    Ok(Reply::from_parts(parts, http_body_util::BodyExt::boxed_unsync(body)))
}

/// Copies both ways until either end is gone.
async fn shuttle(socket: ws::WebSocket, local: UnixStream) {
    let (mut to_client, mut from_client) = socket.split();
    let (mut output, mut input) = local.into_split();
    let up = async {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match message {
                ws::Message::Text(text) => bytes::Bytes::from(text),
                ws::Message::Binary(bytes) => bytes,
                ws::Message::Close(_) => break,
                ws::Message::Ping(_) | ws::Message::Pong(_) => continue,
            };
            if input.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(input);
        // The output still comes.
        std::future::pending::<()>().await;
    };
    let down = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = output.read(&mut buffer).await {
            let bytes = bytes::Bytes::copy_from_slice(&buffer[..n]);
            if to_client.send(ws::Message::Binary(bytes)).await.is_err() {
                return;
            }
        }
        // The client may be gone already.
        let _gone = to_client.close().await;
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

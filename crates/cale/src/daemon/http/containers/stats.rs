//! `GET /containers/{id}/stats`

use api::version::Shape;

use super::super::{call::Call, reply, routes::Answer, view};

/// One reading, or one a second.
pub async fn stats(call: Call, name: &str) -> Answer {
    let stream = call.query.flag_or("stream", true);
    // Before 1.41 there was always a second reading to compare with.
    let one_shot = call.query.flag("one-shot") && !call.version.before(41);
    let version = call.version;
    let mut readings = call.engine().containers().stats(name).await?;
    if !stream {
        let mut last = readings.next().await;
        let wants_second = last.as_ref().is_some_and(|frame| frame.current.is_some());
        if wants_second && !one_shot {
            last = readings.next().await.or(last);
        }
        let document = last.map(|frame| view::stats::stats(&frame)).unwrap_or_default();
        return Ok(reply::shaped(version, document));
    }
    let (pieces, answer) = reply::stream("application/json");
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = readings.next() => frame,
                () = pieces.closed() => return,
            };
            let Some(frame) = frame else { return };
            let mut document = view::stats::stats(&frame);
            document.shape(version);
            if pieces.send(Ok(reply::document(&document))).await.is_err() {
                return;
            }
        }
    });
    Ok(answer)
}

//! Progress of long work as a stream of JSON lines.
//!
//! A failure before the first line is an ordinary error answer; afterwards it is the last line.

use api::{
    Version,
    version::Shape,
    wire::{ErrorDetail, ProgressDetail, PushResult, StreamMessage},
};
use engine::image::{Aux, Progress, ProgressSink};
use tokio::sync::mpsc;

use super::{
    error::ApiError,
    reply::{self, Pieces},
    routes::Answer,
};

/// Lines that wait for a slow reader.
const DEPTH: usize = 64;

/// Runs `work` and streams what it reports; `last` makes a line of its result.
///
/// The work is dropped when the client goes away.
pub async fn run<T, F>(
    version: Version,
    work: impl FnOnce(ProgressSink) -> F,
    last: impl FnOnce(T) -> Vec<StreamMessage> + Send + 'static,
) -> Answer
where
    F: Future<Output = engine::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let (sender, mut lines) = mpsc::channel(DEPTH);
    let mut work = Box::pin(work(sender));
    let early = tokio::select! {
        biased;
        first = lines.recv() => Ok(first),
        result = &mut work => Err(result),
    };
    let early = match early {
        Ok(Some(first)) => Ok(first),
        // It will report nothing.
        Ok(None) => Err(work.as_mut().await),
        Err(result) => Err(result),
    };
    let (first, finished) = match early {
        Ok(first) => (Some(first), None),
        Err(Err(error)) if lines.is_empty() => return Err(ApiError::from(error)),
        Err(result) => (None, Some(result)),
    };
    let (pieces, answer) = reply::stream("application/json");
    let mut out = Lines { pieces, version };
    tokio::spawn(async move {
        if let Some(first) = first
            && !out.send(message(first)).await
        {
            return;
        }
        let result = match finished {
            Some(result) => result,
            None => loop {
                tokio::select! {
                    biased;
                    Some(line) = lines.recv() => {
                        if !out.send(message(line)).await {
                            return;
                        }
                    }
                    result = &mut work => break result,
                    () = out.pieces.closed() => return,
                }
            },
        };
        while let Ok(line) = lines.try_recv() {
            if !out.send(message(line)).await {
                return;
            }
        }
        let tail = match result {
            Ok(result) => last(result),
            Err(error) => vec![failure(&error)],
        };
        for line in tail {
            if !out.send(line).await {
                return;
            }
        }
    });
    Ok(answer)
}

struct Lines {
    pieces: Pieces,
    version: Version,
}

impl Lines {
    /// False when the client is gone.
    async fn send(&mut self, mut line: StreamMessage) -> bool {
        line.shape(self.version);
        let mut text = reply::document(&line).to_vec();
        // dockerd ends these lines with CR LF.
        text.pop();
        text.extend_from_slice(b"\r\n");
        self.pieces.send(Ok(text.into())).await.is_ok()
    }
}

fn failure(error: &engine::Error) -> StreamMessage {
    let message = error.text();
    let code = 0;
    StreamMessage { error_detail: Some(ErrorDetail { code, message }), ..Default::default() }
}

fn message(progress: Progress) -> StreamMessage {
    match progress {
        // Text for people, as `load` prints it: clients write it as it is.
        Progress::Status { text, .. } if text.ends_with('\n') => {
            StreamMessage { stream: text, ..Default::default() }
        }
        Progress::Status { id, text } => StreamMessage { id, status: text, ..Default::default() },
        Progress::Bytes { id, text, current, total } => StreamMessage {
            id,
            status: text,
            progress_detail: Some(ProgressDetail {
                current: i64::try_from(current).unwrap_or(i64::MAX),
                total: i64::try_from(total).unwrap_or(i64::MAX),
                ..Default::default()
            }),
            ..Default::default()
        },
        Progress::Aux(Aux::Pushed { tag, digest, size }) => {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            aux(&PushResult { tag, digest: digest.to_string(), size })
        }
        Progress::Aux(Aux::Image(digest)) => aux(&serde_json::json!({ "ID": digest.to_string() })),
    }
}

fn aux<T: serde::Serialize>(value: &T) -> StreamMessage {
    StreamMessage { aux: serde_json::to_value(value).ok(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(answer: Answer) -> String {
        let bytes = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn lines_come_in_order_and_failures_last() {
        let work = |sink: ProgressSink| async move {
            let line = Progress::Status { id: "a".into(), text: "b".into() };
            sink.send(line).await.unwrap();
            Err::<(), _>(engine::Error::Invalid("broken".into()))
        };
        let text = body(run(Version::new(51), work, |()| Vec::new()).await).await;
        assert_eq!(
            text,
            "{\"status\":\"b\",\"id\":\"a\"}\r\n{\"errorDetail\":{\"message\":\"broken\"},\"error\":\"broken\"}\r\n"
        );
    }

    #[tokio::test]
    async fn early_failures_are_plain_answers() {
        let work = |_sink| async { Err::<(), _>(engine::Error::NoSuchImage("x".into())) };
        let error = run(Version::NEWEST, work, |()| Vec::new()).await.unwrap_err();
        assert_eq!(error.status(), 404);
    }

    #[tokio::test]
    async fn results_become_the_last_line() {
        let work = |_sink| async { Ok(5) };
        let text = body(
            run(Version::NEWEST, work, |n: i32| {
                vec![StreamMessage { status: n.to_string(), ..Default::default() }]
            })
            .await,
        )
        .await;
        assert_eq!(text, "{\"status\":\"5\"}\r\n");
    }
}

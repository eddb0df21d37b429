//! `GET /containers/{id}/logs`

use api::{
    convert,
    stream::{self, Channel, MULTIPLEXED_STREAM, RAW_STREAM},
};
use bytes::Bytes;
use engine::container::{LogLine, LogSource, LogsRequest};

use super::super::{call::Call, error::ApiError, reply, routes::Answer, view};

/// How lines are written.
#[derive(Clone, Copy)]
struct Form {
    framed: bool,
    timestamps: bool,
    details: bool,
}

/// Streams the log.
pub async fn logs(call: Call, name: &str) -> Answer {
    let (stdout, stderr) = (call.query.flag("stdout"), call.query.flag("stderr"));
    if !stdout && !stderr {
        return Err(ApiError::invalid("Bad parameters: you must choose at least one stream"));
    }
    let now_ns = view::now_ns();
    let time = |key: &str| match call.query.text(key) {
        "" | "0" => Ok(None),
        text => convert::parse_timestamp(text, now_ns).map(Some),
    };
    let request = LogsRequest {
        stdout,
        stderr,
        since_ns: time("since")?,
        until_ns: time("until")?,
        // As dockerd: what is no number means all.
        tail: call.query.text("tail").parse().ok(),
        follow: call.query.flag("follow"),
    };
    let mut lines = call.engine().containers().logs(name, request).await?;
    let form = Form {
        framed: !lines.tty(),
        timestamps: call.query.flag("timestamps"),
        details: call.query.flag("details"),
    };
    let multiplexed = form.framed && !call.version.before(42);
    let (pieces, answer) = reply::stream(if multiplexed { MULTIPLEXED_STREAM } else { RAW_STREAM });
    tokio::spawn(async move {
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = pieces.closed() => return,
            };
            let piece = match line {
                Some(Ok(line)) => write_line(&line, form),
                Some(Err(error)) => write_error(&error, form),
                None => return,
            };
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    });
    Ok(answer)
}

fn write_line(line: &LogLine, form: Form) -> Bytes {
    let mut text = Vec::with_capacity(line.bytes.len() + 48);
    if form.timestamps {
        text.extend_from_slice(log_time(line.time_ns).as_bytes());
        text.push(b' ');
    }
    if form.details {
        let details: Vec<String> = line
            .details
            .iter()
            .map(|(key, value)| format!("{}={}", escape(key), escape(value)))
            .collect();
        text.extend_from_slice(details.join(",").as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(&line.bytes);
    let channel = match line.source {
        LogSource::Stdout => Channel::Stdout,
        LogSource::Stderr => Channel::Stderr,
    };
    if form.framed { stream::frame(channel, &text) } else { Bytes::from(text) }
}

fn escape(text: &str) -> String {
    api::client::escape(text).replace("%20", "+")
}

/// Nanoseconds with all nine digits, as dockerd writes them in logs.
fn log_time(time_ns: i64) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time_ns)) {
        Ok(time) => format!("{time:.9}"),
        Err(_) => api::wire::ZERO_TIME.to_owned(),
    }
}

fn write_error(error: &engine::Error, form: Form) -> Bytes {
    let text = format!("Error grabbing logs: {}\n", error.text());
    if form.framed {
        stream::frame(Channel::SystemError, text.as_bytes())
    } else {
        Bytes::from(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_as_asked() {
        let line = LogLine {
            source: LogSource::Stderr,
            time_ns: 1_700_000_000_000_000_000,
            bytes: b"hi\n".to_vec(),
            details: vec![("a".into(), "b c".into())],
        };
        let plain = Form { framed: false, timestamps: true, details: true };
        assert_eq!(write_line(&line, plain), &b"2023-11-14T22:13:20.000000000Z a=b+c hi\n"[..]);
        let framed = Form { framed: true, timestamps: false, details: false };
        assert_eq!(write_line(&line, framed), &b"\x02\0\0\0\0\0\0\x03hi\n"[..]);
    }
}

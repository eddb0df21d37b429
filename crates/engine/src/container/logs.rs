//! Logs: where each container's goes, and reading it back.
//!
//! The keeper writes; this reads its files, and is woken by the keeper when one that is followed
//! grows.

use std::{path::PathBuf, sync::Arc, time::Duration};

use keeper::{
    log::{
        Driver, LogConfig,
        reader::{LogReader, Next, ReadOptions},
    },
    protocol::Stream,
};
use tokio::sync::mpsc;

use super::{Containers, LogLine, LogSource, LogsRequest, Record, attach, handle::Handle};
use crate::{Engine, Error, Result, blocking, error::Cause};

/// Files are bounded where nothing is said: a forgotten container doesn't fill the disk.
const DEFAULT_MAX_SIZE: u64 = 20 * 1024 * 1024;
const DEFAULT_MAX_FILES: u32 = 5;
/// Lines read ahead of a slow client.
const AHEAD: usize = 256;
/// Safety net behind the keeper's word that a log grew.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Lines of a log.
#[derive(Debug)]
pub struct LogStream {
    tty: bool,
    receiver: mpsc::Receiver<Result<LogLine>>,
}

impl LogStream {
    /// The container has a terminal: output isn't framed.
    pub fn tty(&self) -> bool {
        self.tty
    }

    /// The next line; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<LogLine>> {
        self.receiver.recv().await
    }
}

impl Containers<'_> {
    /// Its log, line by line; the stream ends with the log or, followed, with the container.
    pub async fn logs(&self, container: &str, request: LogsRequest) -> Result<LogStream> {
        if !request.stdout && !request.stderr {
            return Err(Error::Invalid(
                "Bad parameters: you must choose at least one stream".to_owned(),
            ));
        }
        let handle = self.engine.registry().find(container)?;
        let record = handle.snapshot().record.clone();
        let config = configure(self.engine, &record)?;
        if config.driver == Driver::None {
            return Err(Error::Unsupported(
                "configured logging driver does not support reading".to_owned(),
            ));
        }
        let options = ReadOptions {
            since_ns: request.since_ns,
            until_ns: request.until_ns,
            tail: request.tail.map(|count| count as u64),
        };
        let path = config.path.clone();
        let reader = blocking::spawn(move || {
            LogReader::open(config.driver, &path, &options).map_err(read_error)
        })
        .await?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        let tty = record.spec.process.tty;
        let task = follow(self.engine.clone(), handle, reader, request, sender);
        self.engine.tasks().spawn(task);
        Ok(LogStream { tty, receiver })
    }
}

fn read_error(error: keeper::log::reader::ReadError) -> Error {
    Error::Failed {
        action: "read",
        subject: "the log".to_owned(),
        source: Cause::new(error.kind(), error),
    }
}

async fn follow(
    engine: Arc<Engine>,
    handle: Arc<Handle>,
    mut reader: LogReader,
    request: LogsRequest,
    sender: mpsc::Sender<Result<LogLine>>,
) {
    let mut watch = handle.watch();
    loop {
        // Looked at before reading: what is written until an exit is seen is read after it.
        let was_running = watch.borrow_and_update().state.is_running();
        let gone = watch.has_changed().is_err();
        let outcome = drain(reader, &request, &sender).await;
        reader = match outcome {
            Some(reader) => reader,
            None => return,
        };
        if !request.follow || gone || (!was_running && !restarting(&handle)) {
            return;
        }
        let grew = grown(&engine, &handle);
        tokio::select! {
            () = grew => {}
            _ = watch.changed() => {}
            () = sender.closed() => return,
            () = engine.stopping().cancelled_owned() => return,
        }
    }
}

fn restarting(handle: &Handle) -> bool {
    handle.snapshot().state.status == model::state::Status::Restarting
}

/// Reads all there is; `None` when it's over.
async fn drain(
    mut reader: LogReader,
    request: &LogsRequest,
    sender: &mpsc::Sender<Result<LogLine>>,
) -> Option<LogReader> {
    loop {
        let next = blocking::brief(|| reader.next());
        match next {
            Ok(Next::Record(record)) => {
                let source = match record.stream {
                    Stream::Stdout => LogSource::Stdout,
                    Stream::Stderr => LogSource::Stderr,
                };
                let wanted = match source {
                    LogSource::Stdout => request.stdout,
                    LogSource::Stderr => request.stderr,
                };
                if !wanted {
                    continue;
                }
                let line = LogLine {
                    source,
                    time_ns: record.time_ns,
                    bytes: record.data,
                    details: record.attrs,
                };
                sender.send(Ok(line)).await.ok()?;
            }
            Ok(Next::CaughtUp) => return Some(reader),
            Ok(Next::End) => return None,
            Err(error) => {
                // A reader that went away doesn't care.
                let _ = sender.send(Err(read_error(error))).await;
                return None;
            }
        }
    }
}

/// Returns when the log may have grown.
async fn grown(engine: &Arc<Engine>, handle: &Arc<Handle>) {
    let told = engine.log_growth(&handle.id);
    if let Ok(task) = attach::task_of(handle) {
        // A task that has just ended can't be watched; its exit wakes the reader.
        let _ = engine.keeping().watch_log(&task).await;
    }
    tokio::select! {
        () = told.notified() => {}
        () = tokio::time::sleep(LOOK_AGAIN) => {}
    }
}

/// Where a container's output goes.
///
/// # Errors
/// A driver that isn't there, or an option that it doesn't know.
pub fn configure(engine: &Engine, record: &Record) -> Result<LogConfig> {
    let own = &record.spec.host.log;
    let engine_wide = &engine.config().log;
    let (driver, options) = match own.driver.as_str() {
        "" => (engine_wide.driver.as_str(), &engine_wide.options),
        driver => (driver, &own.options),
    };
    let driver = match driver {
        "json-file" | "" => Driver::JsonFile,
        "local" => Driver::Local,
        "none" => return Ok(LogConfig::none()),
        other => {
            return Err(Error::Invalid(format!(
                "logger: no log driver named '{other}' is registered"
            )));
        }
    };
    let mut config = LogConfig {
        driver,
        path: path(engine, record, driver),
        max_size: DEFAULT_MAX_SIZE,
        max_files: DEFAULT_MAX_FILES,
        compress: false,
        attrs: Vec::new(),
    };
    for (key, value) in options {
        let invalid = || Error::Invalid(format!("invalid value for log option {key}: {value:?}"));
        match key.as_str() {
            "max-size" => config.max_size = size(value).ok_or_else(invalid)?,
            "max-file" => {
                config.max_files =
                    value.parse().ok().filter(|count| *count > 0).ok_or_else(invalid)?;
            }
            "compress" => config.compress = value.parse().map_err(|_| invalid())?,
            "labels" => config.attrs.extend(labels(record, |key| list_has(value, key))),
            "env" => config.attrs.extend(variables(record, |key| list_has(value, key))),
            "tag" => config.attrs.push(("tag".to_owned(), tag(record, value))),
            "labels-regex" | "env-regex" => {
                return Err(Error::Unsupported(format!("log option {key} isn't supported")));
            }
            // How full pipes behave is the same in both modes here: the keeper never drops.
            "mode" | "max-buffer-size" => {}
            _ => {
                return Err(Error::Invalid(format!(
                    "unknown log opt '{key}' for {} log driver",
                    match driver {
                        Driver::JsonFile => "json-file",
                        Driver::Local => "local",
                        Driver::None => "none",
                    }
                )));
            }
        }
    }
    Ok(config)
}

/// The newest file.
fn path(engine: &Engine, record: &Record, driver: Driver) -> PathBuf {
    let directory = engine.records().container_dir(&record.id);
    match driver {
        Driver::Local => directory.join("container.log"),
        Driver::JsonFile | Driver::None => directory.join(format!("{}-json.log", record.id)),
    }
}

fn list_has(list: &str, key: &str) -> bool {
    list.split(',').any(|entry| entry.trim() == key)
}

fn labels(record: &Record, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let matching = record.spec.labels.iter().filter(|(key, _)| wanted(key));
    matching.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn variables(record: &Record, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let entries = record.spec.process.env.iter().filter_map(|entry| entry.split_once('='));
    entries
        .filter(|(key, _)| wanted(key))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Docker's template fields that people use in tags.
fn tag(record: &Record, template: &str) -> String {
    template
        .replace("{{.ID}}", record.id.short())
        .replace("{{.FullID}}", record.id.as_str())
        .replace("{{.Name}}", record.name.as_str())
        .replace("{{.ImageName}}", &record.spec.image)
}

/// `10m`, `1g`, `-1` (never).
fn size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_typed() {
        for (text, bytes) in
            [("10m", 10 << 20), ("1G", 1 << 30), ("512", 512), ("4kb", 4096), ("-1", 0)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        assert_eq!(size("x"), None);
        assert_eq!(size("10q"), None);
    }
}

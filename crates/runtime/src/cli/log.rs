//! `--log`: lines as logrus writes them, because containerd and podman read the reason of a failure from the last one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use super::error::CliError;

/// Where log lines go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log {
    path: Option<PathBuf>,
    json: bool,
    debug: bool,
}

impl Log {
    pub(crate) fn new(path: Option<&str>, format: &str, debug: bool) -> Result<Log, CliError> {
        let json = match format {
            "json" => true,
            "text" | "" => false,
            other => return Err(CliError::usage(format!("invalid log-format: {other}"))),
        };
        Ok(Log { path: path.filter(|path| !path.is_empty()).map(PathBuf::from), json, debug })
    }

    pub(crate) fn error(&self, text: &str) {
        self.write("error", text);
    }

    pub(crate) fn warning(&self, text: &str) {
        self.write("warning", text);
    }

    pub(crate) fn debug(&self, text: &str) {
        if self.debug {
            self.write("debug", text);
        }
    }

    fn write(&self, level: &str, text: &str) {
        let Some(path) = &self.path else {
            // Errors go to standard error anyway.
            if level != "error" {
                eprintln!("level={level} msg={text:?}");
            }
            return;
        };
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let line = if self.json {
            serde_json::json!({"level": level, "msg": text, "time": time}).to_string()
        } else {
            format!("time={time:?} level={level} msg={text:?}")
        };
        // The message reaches standard error too; a log that can't be written must not hide it.
        let file = OpenOptions::new().create(true).append(true).open(path);
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
}

//! Cache keys: what a step depends on, part by part.
//!
//! Digests only: what a step is, the layers that it works on, the content that it takes. Never
//! times, never what an image's history claims (a forged history must not be taken for a cache).

use model::Digest;
use serde::{Deserialize, Serialize};

use crate::{
    graph::{MakeDir, Op, RunStep},
    worker::Fingerprint,
};

/// Changes when the meaning of a step changes without its definition changing.
const FORMAT: &str = "cale-build-1";

/// The parts of a key, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    parts: Vec<(String, String)>,
    /// Files behind the parts, for [`Key::difference`].
    files: Vec<(String, String)>,
}

/// Why two keys differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Sentences, the most telling first.
    pub reasons: Vec<String>,
}

impl Key {
    /// Begins a key with what the step is.
    pub fn of(op: &Op, base: &[Digest], epoch: i64) -> Self {
        let mut key = Self::default();
        key.part("format", FORMAT);
        match op {
            Op::Image { .. } => {}
            Op::MakeDir(MakeDir { path, owner }) => {
                key.part("directory", path);
                key.part("owner", owner);
            }
            Op::Copy(copy) => {
                key.part("destination", &copy.destination);
                key.part("owner", copy.owner.as_deref().unwrap_or("-"));
                key.json("mode", &copy.mode);
                key.json("exclude", &copy.exclude);
                key.json("form", &(copy.link, copy.parents));
            }
            Op::Run(run) => key.run(run),
        }
        let linked = matches!(op, Op::Copy(copy) if copy.link);
        if !linked {
            for layer in base {
                key.part("parent", &layer.to_string());
            }
        }
        key.part("time", &epoch.to_string());
        key
    }

    fn run(&mut self, run: &RunStep) {
        self.json("command", &run.command);
        for entry in &run.env {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            self.part(&format!("variable {name}"), value);
        }
        self.part("working directory", &run.working_dir);
        self.part("user", &run.user);
        self.json("network", &run.network);
        self.json("security", &run.insecure);
    }

    /// Adds a part.
    pub fn part(&mut self, name: &str, value: &str) {
        self.parts.push((name.to_owned(), value.to_owned()));
    }

    /// Adds a part in its JSON form.
    pub fn json(&mut self, name: &str, value: &impl Serialize) {
        let text = serde_json::to_string(value)
            .expect("definitions have text keys only and can always be written");
        self.part(name, &text);
    }

    /// Adds the content of a source.
    pub fn content(&mut self, name: &str, fingerprint: Fingerprint) {
        self.part(&format!("content of {name}"), &fingerprint.digest.to_string());
        self.files.extend(fingerprint.files);
    }

    /// The digest under which a step is remembered.
    pub fn digest(&self) -> Digest {
        let text =
            serde_json::to_vec(&self.parts).expect("keys have text only and can always be written");
        Digest::sha256(&text)
    }

    /// What changed from `old` to this.
    pub fn difference(&self, old: &Self) -> Difference {
        let mut reasons = Vec::new();
        let find = |key: &Self, name: &str| -> Vec<String> {
            let same = key.parts.iter().filter(|(known, _)| known == name);
            same.map(|(_, value)| value.clone()).collect()
        };
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in self.parts.iter().chain(&old.parts) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        for name in names {
            let (new, before) = (find(self, name), find(old, name));
            if new == before {
                continue;
            }
            reasons.push(match (name, before.is_empty(), new.is_empty()) {
                ("parent", ..) => "a step before it changed".to_owned(),
                ("time", ..) => "the base image's time or SOURCE_DATE_EPOCH changed".to_owned(),
                (_, true, _) => format!("{name} is new"),
                (_, _, true) => format!("{name} is gone"),
                _ => format!("{name} changed"),
            });
        }
        reasons.splice(0..0, file_changes(&old.files, &self.files));
        Difference { reasons }
    }
}

const SHOWN_FILES: usize = 10;

fn file_changes(old: &[(String, String)], new: &[(String, String)]) -> Vec<String> {
    let index = |files: &[(String, String)]| -> std::collections::BTreeMap<String, String> {
        files.iter().cloned().collect()
    };
    let (old, new) = (index(old), index(new));
    let mut all: Vec<String> = Vec::new();
    for (path, digest) in &new {
        match old.get(path) {
            Some(before) if before == digest => {}
            Some(_) => all.push(format!("file {path} changed")),
            None => all.push(format!("file {path} is new")),
        }
    }
    all.extend(
        old.keys()
            .filter(|path| !new.contains_key(*path))
            .map(|path| format!("file {path} is gone")),
    );
    let more = all.len().saturating_sub(SHOWN_FILES);
    all.truncate(SHOWN_FILES);
    if more > 0 {
        all.push(format!("and {more} more files"));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_what_changed() {
        let key = |value: &str, file: &str| {
            let mut key = Key::default();
            key.part("variable A", value);
            let digest = Digest::sha256(file.as_bytes());
            let files = vec![("a".to_owned(), file.to_owned()), ("b".to_owned(), "1".to_owned())];
            key.content("src", Fingerprint { digest, files });
            key
        };
        let reasons = |new: &Key, old: &Key| new.difference(old).reasons;
        assert!(reasons(&key("1", "x"), &key("1", "x")).is_empty());
        assert_eq!(reasons(&key("2", "x"), &key("1", "x")), ["variable A changed"]);
        assert_eq!(
            reasons(&key("1", "y"), &key("1", "x")),
            ["file a changed", "content of src changed"]
        );
        assert_ne!(key("1", "x").digest(), key("2", "x").digest());
    }
}

//! Tags, and what they stood for before.

use std::{
    fs, io,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use model::Digest;

use super::{Result, Storage, listing, lock};
use crate::server::{
    refusal::{Code, Refusal},
    route::{Name, Tag},
};

/// What a tag stood for from `since` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Was {
    /// Milliseconds since 1970.
    pub since_ms: u64,
    /// The manifest.
    pub digest: Digest,
}

impl Was {
    /// How long ago that was set.
    pub fn age(&self) -> Duration {
        let set = UNIX_EPOCH + Duration::from_millis(self.since_ms);
        SystemTime::now().duration_since(set).unwrap_or_default()
    }

    fn parse(line: &str) -> Option<Self> {
        let (since_ms, digest) = line.split_once(' ')?;
        Some(Self { since_ms: since_ms.parse().ok()?, digest: digest.parse().ok()? })
    }
}

impl Storage {
    fn tag_path(&self, name: &Name, tag: &Tag) -> PathBuf {
        self.repository(name).join("_tags").join(tag.as_str())
    }

    /// What the tag stands for and stood for, newest first.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`; the disk's.
    pub fn history(&self, name: &Name, tag: &Tag) -> Result<Vec<Was>> {
        match fs::read_to_string(self.tag_path(name, tag)) {
            Ok(text) => Ok(text.lines().rev().filter_map(Was::parse).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown_tag(tag)),
            Err(error) => Err(Refusal::disk("read a tag", error)),
        }
    }

    /// The manifest that the tag stood for `back` changes ago.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`; the disk's.
    pub fn tag_digest(&self, name: &Name, tag: &Tag, back: usize) -> Result<Digest> {
        let history = self.history(name, tag)?;
        history.into_iter().nth(back).map(|was| was.digest).ok_or_else(|| unknown_tag(tag))
    }

    /// Sets the tag, and keeps at most `keep` earlier values.
    ///
    /// # Errors
    /// The disk's.
    pub fn tag_set(&self, name: &Name, tag: &Tag, digest: &Digest, keep: usize) -> Result<()> {
        let _one_writer = lock(&self.tags);
        let mut history = match self.history(name, tag) {
            Ok(history) => history,
            Err(refusal) if refusal.code == Code::ManifestUnknown => Vec::new(),
            Err(refusal) => return Err(refusal),
        };
        if history.first().is_some_and(|was| &was.digest == digest) {
            return Ok(());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        history.insert(0, Was { since_ms, digest: digest.clone() });
        history.truncate(keep + 1);
        let text: String =
            history.iter().rev().map(|was| format!("{} {}\n", was.since_ms, was.digest)).collect();
        self.replace(&self.tag_path(name, tag), text.as_bytes())
            .map_err(|error| Refusal::disk("set a tag", error))
    }

    /// Removes the tag and its history; the manifest stays.
    ///
    /// # Errors
    /// `MANIFEST_UNKNOWN`; the disk's.
    pub fn tag_delete(&self, name: &Name, tag: &Tag) -> Result<()> {
        let _one_writer = lock(&self.tags);
        match fs::remove_file(self.tag_path(name, tag)) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(unknown_tag(tag)),
            Err(error) => Err(Refusal::disk("delete a tag", error)),
        }
    }

    /// The repository's tags in byte order, those after `last`.
    ///
    /// # Errors
    /// `NAME_UNKNOWN`; the disk's.
    pub fn tags(&self, name: &Name, last: &str) -> Result<Vec<Tag>> {
        if !self.has_repository(name) {
            return Err(Refusal::new(Code::NameUnknown, "repository name not known to registry")
                .with_detail(serde_json::json!({"name": name.as_str()})));
        }
        let mut tags = Vec::new();
        let dir = self.repository(name).join("_tags");
        for entry in listing(&dir).map_err(|error| Refusal::disk("list tags", error))? {
            let file_name = entry.file_name();
            let Some(tag) = file_name.to_str().and_then(|text| Tag::new(text).ok()) else {
                continue;
            };
            if tag.as_str() > last {
                tags.push(tag);
            }
        }
        tags.sort();
        Ok(tags)
    }

    /// Notes that an upstream has `digest` under this tag.
    ///
    /// # Errors
    /// The disk's.
    pub fn upstream_note(&self, name: &Name, tag: &Tag, digest: &Digest) -> Result<()> {
        let path = self.repository(name).join("_upstream").join(tag.as_str());
        self.replace(&path, digest.to_string().as_bytes())
            .map_err(|error| Refusal::disk("note an upstream's tag", error))
    }

    /// What an upstream had under this tag when it was asked last.
    pub fn upstream_noted(&self, name: &Name, tag: &Tag) -> Option<Digest> {
        let path = self.repository(name).join("_upstream").join(tag.as_str());
        fs::read_to_string(path).ok()?.parse().ok()
    }

    /// Drops a manifest from every tag's present and past of its repository.
    pub(super) fn untag(&self, name: &Name, digest: &Digest) -> Result<()> {
        let fault = |error| Refusal::disk("remove a tag", error);
        for tag in self.tags(name, "")? {
            let history = self.history(name, &tag)?;
            if history.iter().all(|was| &was.digest != digest) {
                continue;
            }
            let _one_writer = lock(&self.tags);
            let path = self.tag_path(name, &tag);
            if history.first().is_some_and(|was| &was.digest == digest) {
                fs::remove_file(path).map_err(fault)?;
                continue;
            }
            let kept: String = history
                .iter()
                .rev()
                .filter(|was| &was.digest != digest)
                .map(|was| format!("{} {}\n", was.since_ms, was.digest))
                .collect();
            self.replace(&path, kept.as_bytes()).map_err(fault)?;
        }
        Ok(())
    }
}

fn unknown_tag(tag: &Tag) -> Refusal {
    Refusal::new(Code::ManifestUnknown, "manifest unknown")
        .with_detail(serde_json::json!({"tag": tag.as_str()}))
}

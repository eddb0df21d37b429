//! Removing what nothing needs, while pushes and pulls go on.
//!
//! Three passes over each repository: uploads that were given up, tags that the retention rules let
//! go, manifests that no tag leads to (if asked), blobs that no manifest needs. Then the blobs that no
//! repository has. A thing younger than the grace time stays: a push that was told it exists may be
//! about to use it. See the invariant in [`super`].

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::Path,
    sync::RwLockWriteGuard,
    time::{Duration, SystemTime},
};

use model::Digest;

use super::{Mutex, NewManifest, Result, Storage, digests_in, lock};
use crate::server::{
    refusal::Refusal,
    retention::{self, Rule},
    route::Name,
};

/// What to remove.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nothing younger goes.
    pub grace: Duration,
    /// Uploads without a byte for this long go.
    pub upload_expiry: Duration,
    /// Manifests that no tag leads to go.
    pub delete_untagged: bool,
    /// Tags to let go.
    pub retention: Vec<Rule>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Given up uploads.
    pub uploads: u64,
    /// By retention rules.
    pub tags: u64,
    /// Without tag.
    pub manifests: u64,
    /// From the store.
    pub blobs: u64,
    /// Length of those.
    pub bytes: u64,
}

impl Storage {
    /// One collection.
    ///
    /// # Errors
    /// The disk's. A repository with an unreadable manifest loses nothing.
    pub fn collect(&self, options: &Options) -> Result<Report> {
        let begun = SystemTime::now();
        let cutoff = begun.checked_sub(options.grace).unwrap_or(begun);
        lock(&self.close_gate()).clear();
        let mut report = Report::default();
        for name in self.repositories()? {
            report.uploads += self.upload_expire(&name, options.upload_expiry)?;
            report.tags += self.retain(&name, &options.retention)?;
            match self.needs(&name) {
                Ok(needs) => self.trim(&name, &needs, options, cutoff, &mut report)?,
                Err(refusal) => {
                    tracing::error!(repository = %name, %refusal, "not collected");
                }
            }
        }
        self.sweep(cutoff, &mut report)?;
        Ok(report)
    }

    fn close_gate(&self) -> RwLockWriteGuard<'_, Mutex<HashSet<Digest>>> {
        self.gate.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn retain(&self, name: &Name, rules: &[Rule]) -> Result<u64> {
        let Some(rule) = rules.iter().find(|rule| rule.repositories.matches(name.as_str())) else {
            return Ok(0);
        };
        let mut tags = Vec::new();
        for tag in self.tags(name, "")? {
            let newest = self.history(name, &tag)?.into_iter().next();
            tags.extend(newest.map(|was| (tag, was.age())));
        }
        let gone = retention::expired(rule, tags);
        for tag in &gone {
            tracing::info!(repository = %name, tag = tag.as_str(), "removed by a retention rule");
            self.tag_delete(name, tag)?;
        }
        Ok(gone.len() as u64)
    }

    /// The repository's manifests with what each needs.
    fn needs(&self, name: &Name) -> Result<BTreeMap<Digest, NewManifest>> {
        let mut needs = BTreeMap::new();
        for digest in self.manifests(name)? {
            let stored = self.manifest(name, &digest)?;
            let read = NewManifest::read(digest.clone(), Some(&stored.media_type), stored.bytes)?;
            needs.insert(digest, read);
        }
        Ok(needs)
    }

    fn trim(
        &self,
        name: &Name,
        needs: &BTreeMap<Digest, NewManifest>,
        options: &Options,
        cutoff: SystemTime,
        report: &mut Report,
    ) -> Result<()> {
        let fault = |error| Refusal::disk("collect garbage", error);
        let mut kept: HashSet<Digest> = needs.keys().cloned().collect();
        if options.delete_untagged {
            let reached = reachable(self.tagged(name)?, needs);
            for digest in needs.keys().filter(|digest| !reached.contains(digest)) {
                let gate = self.close_gate();
                if older(&self.manifest_path(name, digest), cutoff).map_err(fault)? {
                    fs::remove_file(self.manifest_path(name, digest)).map_err(fault)?;
                    kept.remove(digest);
                    report.manifests += 1;
                }
                drop(gate);
            }
        }
        let blobs: HashSet<&Digest> =
            kept.iter().filter_map(|digest| needs.get(digest)).flat_map(|m| &m.blobs).collect();
        for digest in self.marks(name)?.iter().filter(|digest| !blobs.contains(digest)) {
            let gate = self.close_gate();
            let mark = self.mark_path(name, digest);
            if older(&mark, cutoff).map_err(fault)? {
                fs::remove_file(&mark).map_err(fault)?;
                lock(&self.sizes).remove(name);
            }
            drop(gate);
        }
        Ok(())
    }

    /// Manifests that a tag stands for or stood for.
    fn tagged(&self, name: &Name) -> Result<Vec<Digest>> {
        let mut found = Vec::new();
        for tag in self.tags(name, "")? {
            found.extend(self.history(name, &tag)?.into_iter().map(|was| was.digest));
        }
        Ok(found)
    }

    fn sweep(&self, cutoff: SystemTime, report: &mut Report) -> Result<()> {
        let fault = |error| Refusal::disk("collect garbage", error);
        let mut wanted = HashSet::new();
        for name in self.repositories()? {
            wanted.extend(self.marks(&name)?);
            wanted.extend(self.manifests(&name)?);
        }
        for digest in digests_in(&self.root.join("blobs")).map_err(fault)? {
            if wanted.contains(&digest) {
                continue;
            }
            let gate = self.close_gate();
            let path = self.blob_path(&digest);
            if !lock(&gate).contains(&digest) && older(&path, cutoff).map_err(fault)? {
                report.bytes += fs::metadata(&path).map_or(0, |found| found.len());
                report.blobs += 1;
                fs::remove_file(&path).map_err(fault)?;
            }
            drop(gate);
        }
        Ok(())
    }
}

/// What the roots lead to: parts of indexes, and what refers to something reached.
fn reachable(roots: Vec<Digest>, needs: &BTreeMap<Digest, NewManifest>) -> HashSet<Digest> {
    let mut referrers: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
    for (digest, manifest) in needs {
        if let Some((subject, _)) = &manifest.subject {
            referrers.entry(subject).or_default().push(digest);
        }
    }
    let mut reached = HashSet::new();
    let mut open = roots;
    while let Some(digest) = open.pop() {
        if !reached.insert(digest.clone()) {
            continue;
        }
        open.extend(needs.get(&digest).into_iter().flat_map(|m| m.manifests.iter().cloned()));
        open.extend(referrers.get(&digest).into_iter().flatten().map(|&found| found.clone()));
    }
    reached
}

fn older(path: &Path, cutoff: SystemTime) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(found) => Ok(found.modified()? < cutoff),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

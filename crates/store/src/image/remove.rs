//! Removing names and images: the rules of `docker rmi` (moby, daemon/images/image_delete.go).

use model::{Digest, Reference};

use super::{Image, ImageRecord, ReferenceRecord};
use crate::db::{Durability, Table};
use crate::error::{Error, Result};
use crate::gc::Collected;
use crate::lease::Resource;
use crate::store::Store;

/// How to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Remove although several repositories name it or stopped containers use it.
    pub force: bool,
}

/// A container that uses an image, as the engine knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUse {
    /// Its id or name, as it is shown.
    pub container: String,
    /// Whether it runs (or is paused); then nothing can force the removal.
    pub running: bool,
}

/// One thing that went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name, as people see it.
    Untagged(String),
    /// An image.
    Deleted(Digest),
}

impl Store {
    /// Removes what `text` names: a name alone while others remain, else the image with its
    /// names. `users` lists the containers that use an image. What nothing needs any more is
    /// collected.
    ///
    /// # Errors
    /// [`Error::NoImage`], [`Error::AmbiguousImage`], [`Error::ImageInUse`].
    pub fn image_remove(
        &self,
        text: &str,
        options: RemoveOptions,
        users: impl Fn(&Digest) -> Vec<ImageUse>,
    ) -> Result<Vec<Removed>> {
        let image = self.image_find(text)?;
        let users = users(&image.id);
        let mut removed = Vec::new();
        let by_name =
            text.parse::<Reference>().ok().and_then(|reference| named(&image, &reference));
        let image = match by_name {
            Some(name) => {
                let last = image.tags.len() + image.digests.len() == 1;
                if last
                    && !options.force
                    && let Some(user) = users.first()
                {
                    return Err(Error::ImageInUse {
                        action: format!("remove repository reference \"{text}\""),
                        force: "must force",
                        reason: format!(
                            "container {} is using its referenced image {}",
                            user.container,
                            image.id.short()
                        ),
                    });
                }
                let gone = dropped_with(&image, &name);
                self.forget_names(&gone, &mut removed)?;
                let image = self.image(&image.id)?;
                // A name was asked for, and went. The image goes along only if nobody minds.
                if !image.tags.is_empty() || !image.digests.is_empty() || !users.is_empty() {
                    return Ok(removed);
                }
                image
            }
            None => {
                check_conflicts(&image, options, &users)?;
                let names: Vec<_> = image.tags.iter().chain(&image.digests).cloned().collect();
                self.forget_names(&names, &mut removed)?;
                image
            }
        };
        self.delete_image(&image.id, &mut removed)?;
        self.collect()?;
        self.write_layout_if_fits()?;
        Ok(removed)
    }

    /// Removes every image that `wanted` accepts and no container uses, names and all.
    ///
    /// # Errors
    /// The database's.
    pub fn image_prune(
        &self,
        mut wanted: impl FnMut(&Image) -> bool,
        users: impl Fn(&Digest) -> Vec<ImageUse>,
    ) -> Result<(Vec<Removed>, Collected)> {
        let mut removed = Vec::new();
        for summary in self.images()? {
            let image = summary.image;
            if !wanted(&image) || !users(&image.id).is_empty() {
                continue;
            }
            let names: Vec<_> = image.tags.iter().chain(&image.digests).cloned().collect();
            self.forget_names(&names, &mut removed)?;
            self.delete_image(&image.id, &mut removed)?;
        }
        let collected = self.collect()?;
        self.write_layout_if_fits()?;
        Ok((removed, collected))
    }

    /// Takes one name away, whatever it stood for; the image stays. True if it was there.
    ///
    /// # Errors
    /// The database's.
    pub fn untag(&self, reference: &Reference) -> Result<bool> {
        let name = reference.to_string();
        let was =
            self.inner.write(Durability::Durable, move |tx| tx.delete(Table::References, &name))?;
        self.write_layout_if_fits()?;
        Ok(was)
    }

    fn forget_names(&self, names: &[Reference], removed: &mut Vec<Removed>) -> Result<()> {
        let rows: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.inner.write(Durability::Durable, move |tx| {
            for row in &rows {
                tx.delete(Table::References, row)?;
            }
            Ok(())
        })?;
        removed.extend(names.iter().map(|name| Removed::Untagged(name.familiar())));
        self.write_layout_if_fits()
    }

    /// Deletes the record if by now no name has come back and no rootfs or lease is on it; the
    /// collector takes the rest.
    fn delete_image(&self, id: &Digest, removed: &mut Vec<Removed>) -> Result<()> {
        let frozen = self.inner.leases.freeze();
        let kept = Resource::Image(id.clone());
        if frozen.all().any(|resource| *resource == kept) {
            return Ok(());
        }
        let (key, image) = (id.to_string(), id.clone());
        let gone = self.inner.write(Durability::Durable, move |tx| {
            let names = tx.all::<ReferenceRecord>(Table::References)?;
            if names.iter().any(|(_, row)| row.image == image) {
                return Ok(false);
            }
            // Reading it first tells a damaged record from none.
            match tx.get_bytes(Table::Images, &key)? {
                Some(_) => tx.delete(Table::Images, &key),
                None => Ok(false),
            }
        })?;
        drop(frozen);
        if gone {
            removed.push(Removed::Deleted(id.clone()));
        }
        Ok(())
    }
}

/// The name of the image that the reference stands for, if it is a name and not an id.
fn named(image: &Image, reference: &Reference) -> Option<Reference> {
    let name = match reference.digest() {
        Some(digest) => reference.with_digest(digest.clone()),
        None => reference.clone().or_latest(),
    };
    image.tags.iter().chain(&image.digests).find(|known| **known == name).cloned()
}

/// A name, and if it is the last tag of its repository, the repository's digests with it.
fn dropped_with(image: &Image, name: &Reference) -> Vec<Reference> {
    let mut gone = vec![name.clone()];
    let repository = name.repository();
    let same = |other: &&Reference| other.repository() == repository;
    let tags_left = image.tags.iter().filter(same).any(|tag| tag != name);
    if name.tag().is_some() && !tags_left {
        gone.extend(image.digests.iter().filter(same).cloned());
    }
    gone
}

fn check_conflicts(image: &Image, options: RemoveOptions, users: &[ImageUse]) -> Result<()> {
    let conflict = |force: &'static str, reason: String| {
        Err(Error::ImageInUse { action: format!("delete {}", image.id.short()), force, reason })
    };
    if let Some(user) = users.iter().find(|user| user.running) {
        let reason = format!("image is being used by running container {}", user.container);
        return conflict("cannot be forced", reason);
    }
    if options.force {
        return Ok(());
    }
    let mut repositories: Vec<_> = image.tags.iter().map(Reference::repository).collect();
    repositories.dedup();
    if repositories.len() > 1 {
        let reason = "image is referenced in multiple repositories".to_owned();
        return conflict("must be forced", reason);
    }
    match users.first() {
        Some(user) => {
            let reason = format!("image is being used by stopped container {}", user.container);
            conflict("must be forced", reason)
        }
        None => Ok(()),
    }
}

/// Used by the collector and the check: what an image keeps.
pub(crate) fn kept_by(record: &ImageRecord, id: &Digest) -> impl Iterator<Item = Resource> {
    let layers: Vec<_> =
        record.config.rootfs.diff_ids.iter().cloned().map(Resource::Layer).collect();
    let blobs: Vec<_> = record.manifests.iter().map(|m| Resource::Blob(m.digest.clone())).collect();
    layers.into_iter().chain(blobs).chain([Resource::Blob(id.clone())])
}

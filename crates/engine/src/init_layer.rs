//! The layer between an image and its containers: what every container has and images often
//! lack. Mount points of the engine's own, and the mark that programs look for.
//!
//! Made once an image, only of what is missing there, so that neither `diff` nor `commit` shows
//! it and no start has to make it. Owns `<data-root>/init/<image hex>`; such a directory can be
//! removed at any time, the launch makes what is missing in the container's own layer then.

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use model::Digest;
use sys::{
    dir::Dir,
    file::{self, FileKind},
};

use crate::{Error, Result};

/// Directories that something is mounted on.
const DIRECTORIES: [&str; 3] = ["proc", "sys", "dev"];
/// Files that something is mounted on, and Docker's mark of a container.
const FILES: [&str; 4] = [".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// The layers of an engine's images.
#[derive(Debug)]
pub struct InitLayers {
    root: PathBuf,
    /// Known to be there; taken while one is made.
    made: Mutex<HashSet<String>>,
}

impl InitLayers {
    /// Below the data root.
    pub fn new(data_root: &Path) -> Self {
        Self { root: data_root.join("init"), made: Mutex::default() }
    }

    /// Where an image's is, if it was made.
    pub fn find(&self, image: &Digest) -> Option<PathBuf> {
        let path = self.root.join(image.hex());
        let known = self.made.lock().unwrap_or_else(PoisonError::into_inner).contains(image.hex());
        (known || path.is_dir()).then_some(path)
    }

    /// Makes an image's; `view` shows the image's files.
    pub fn make(&self, image: &Digest, view: impl FnOnce() -> io::Result<Dir>) -> Result<()> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.root.join(image.hex());
        if made.contains(image.hex()) || path.is_dir() {
            made.insert(image.hex().to_owned());
            return Ok(());
        }
        let staging = self.root.join(format!("{}.new", image.hex()));
        let whole = (|| {
            match fs::remove_dir_all(&staging) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::create_dir_all(&staging)?;
            complete(&view()?, &Dir::open(&staging)?)?;
            fs::rename(&staging, &path)
        })();
        whole.map_err(|source| Error::File {
            action: "prepare",
            path: path.display().to_string(),
            source,
        })?;
        made.insert(image.hex().to_owned());
        Ok(())
    }

    /// Removes those of images that `wanted` doesn't accept.
    pub fn sweep(&self, wanted: impl Fn(&str) -> bool) -> io::Result<()> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if !wanted(&entry.file_name().to_string_lossy()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Makes in `layer` what `image` lacks.
fn complete(image: &Dir, layer: &Dir) -> io::Result<()> {
    // The merged root has the topmost layer's owner, mode and time.
    take_over(image, layer)?;
    for name in DIRECTORIES {
        if is_missing(image, name)? {
            layer.make_dir(name.as_bytes(), 0o755)?;
        }
    }
    for path in FILES {
        let (parent, name) = path.split_once('/').unwrap_or(("", path));
        if parent.is_empty() {
            if is_missing(image, name)? {
                layer.create_file(name.as_bytes(), 0o755)?;
            }
            continue;
        }
        let theirs = match image.stat(parent.as_bytes()) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                Some(image.open_dir(parent.as_bytes())?)
            }
            // A link to elsewhere stays one; the launch follows it inside of the root.
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(theirs) = &theirs
            && !is_missing(theirs, name)?
        {
            continue;
        }
        if is_missing(layer, parent)? {
            layer.make_dir(parent.as_bytes(), 0o755)?;
        }
        let ours = layer.open_dir(parent.as_bytes())?;
        ours.create_file(name.as_bytes(), 0o644)?;
        if let Some(theirs) = &theirs {
            take_over(theirs, &ours)?;
        }
    }
    Ok(())
}

fn is_missing(dir: &Dir, name: &str) -> io::Result<bool> {
    match dir.stat(name.as_bytes()) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn take_over(from: &Dir, to: &Dir) -> io::Result<()> {
    let stat = file::stat(from)?;
    file::set_owner(to, stat.uid, stat.gid)?;
    file::set_mode(to, stat.mode)?;
    file::set_times(to, stat.modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_made() {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        fs::create_dir_all(image.join("etc")).unwrap();
        fs::create_dir(image.join("proc")).unwrap();
        fs::write(image.join("etc/hosts"), "own").unwrap();
        let layers = InitLayers::new(temp.path());
        let id = Digest::sha256(b"image");
        assert_eq!(layers.find(&id), None);
        layers.make(&id, || Dir::open(&image)).unwrap();
        let made = layers.find(&id).unwrap();
        assert!(!made.join("proc").exists() && made.join("sys").is_dir());
        assert!(!made.join("etc/hosts").exists() && made.join("etc/hostname").is_file());
        assert!(made.join(".dockerenv").exists());
        layers.sweep(|_| false).unwrap();
        assert!(!made.exists());
    }

    #[test]
    fn links_are_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let image = temp.path().join("image");
        fs::create_dir(&image).unwrap();
        std::os::unix::fs::symlink("/outside", image.join("etc")).unwrap();
        let layers = InitLayers::new(temp.path());
        let id = Digest::sha256(b"image");
        layers.make(&id, || Dir::open(&image)).unwrap();
        assert!(!layers.find(&id).unwrap().join("etc").exists());
    }
}

//! Mount points that a `RUN` container needed and the image doesn't have.
//!
//! The runtime makes an empty file or folder where something is mounted. These must not stay in
//! the layer. Only things that are still empty and that no lower layer has are removed, by file
//! descriptor and without following links: a step may have put a link in their place (security
//! test E2).

use std::path::PathBuf;

use build::error::WorkerError;
use sys::{
    dir::{Dir, Links},
    file::{self, FileKind, Stat},
};

use super::fault;

/// What the runtime mounts in every container.
const ALWAYS: [&str; 7] =
    ["proc", "sys", "dev", "etc/hosts", "etc/hostname", "etc/resolv.conf", "run/secrets"];
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Removes stubs from `upper`; `targets` are the step's own mount points.
pub fn remove(upper: &Dir, lowers: &[PathBuf], targets: &[String]) -> Result<(), WorkerError> {
    let below =
        sys::tree::view(lowers).and_then(Dir::from_fd).map_err(fault::file("open", "layers"))?;
    let own = targets.iter().map(|target| target.trim_matches('/'));
    for path in ALWAYS.into_iter().chain(own).filter(|path| !path.is_empty()) {
        stub(upper, &below, path.as_bytes())?;
    }
    Ok(())
}

/// Removes one, then the folders above it that hold nothing and differ in nothing from below.
fn stub(upper: &Dir, below: &Dir, path: &[u8]) -> Result<(), WorkerError> {
    let mut path = path.to_vec();
    let mut first = true;
    loop {
        let (parent, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(at) => (path[..at].to_vec(), path[at + 1..].to_vec()),
            None => (Vec::new(), path.clone()),
        };
        let Ok(dir) = upper.resolve(&parent, Links::Refuse) else { return Ok(()) };
        let Ok(stat) = dir.stat(&name) else {
            // Never made (the target was there, or is below a mount): look at the parents.
            if parent.is_empty() {
                return Ok(());
            }
            path = parent;
            first = false;
            continue;
        };
        if !may_go(&dir, &name, &stat, lower(below, &path), first)? {
            return Ok(());
        }
        let gone = match stat.kind {
            FileKind::Directory => dir.remove_dir(&name),
            _ => dir.unlink(&name),
        };
        gone.map_err(fault::file("remove", String::from_utf8_lossy(&path)))?;
        if parent.is_empty() {
            return Ok(());
        }
        path = parent;
        first = false;
    }
}

fn lower(below: &Dir, path: &[u8]) -> Option<Stat> {
    let (parent, name) = match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&b""[..], path),
    };
    below.resolve(parent, Links::Refuse).ok()?.stat(name).ok()
}

/// An empty thing that is new, or a folder that only stands here because of a stub in it.
fn may_go(
    dir: &Dir,
    name: &[u8],
    stat: &Stat,
    lower: Option<Stat>,
    first: bool,
) -> Result<bool, WorkerError> {
    let shown = String::from_utf8_lossy(name);
    match stat.kind {
        FileKind::Regular => Ok(first && stat.size == 0 && lower.is_none() && stat.links == 1),
        FileKind::Directory => {
            let inner = dir.open_dir(name).map_err(fault::file("open", &shown))?;
            if !inner.names().map_err(fault::file("list", &shown))?.is_empty() {
                return Ok(false);
            }
            let opaque = file::xattr(&inner, OPAQUE).map_err(fault::file("inspect", &shown))?;
            let same = |low: Stat| {
                low.kind == FileKind::Directory
                    && (low.mode, low.uid, low.gid) == (stat.mode, stat.uid, stat.gid)
            };
            Ok(match lower {
                Some(low) => opaque.is_none() && same(low),
                // A folder above a stub may have been made by the step itself, and then stays.
                None => first || made_by_runtime(stat),
            })
        }
        _ => Ok(false),
    }
}

/// The runtime makes folders on the way to a mount point with this mode, as root.
fn made_by_runtime(stat: &Stat) -> bool {
    (stat.mode, stat.uid, stat.gid) == (0o755, 0, 0)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::Path};

    use super::*;

    fn folders(root: &Path) -> (PathBuf, PathBuf) {
        let (upper, lower) = (root.join("upper"), root.join("lower"));
        std::fs::create_dir_all(lower.join("etc")).unwrap();
        std::fs::create_dir_all(&upper).unwrap();
        (upper, lower)
    }

    #[test]
    fn stubs_go_and_content_stays() {
        let temp = tempfile::tempdir().unwrap();
        let (upper, lower) = folders(temp.path());
        for dir in ["proc", "etc", "made/by/runtime", "kept"] {
            std::fs::create_dir_all(upper.join(dir)).unwrap();
        }
        std::fs::write(upper.join("etc/hosts"), "").unwrap();
        std::fs::write(upper.join("etc/resolv.conf"), "content of the step").unwrap();
        std::fs::write(upper.join("kept/file"), "").unwrap();
        let dir = Dir::open(&upper).unwrap();
        let targets = ["/made/by/runtime".to_owned(), "/kept".to_owned()];
        remove(&dir, &[lower], &targets).unwrap();
        assert_eq!(dir.names().unwrap(), [b"etc".to_vec(), b"kept".to_vec()]);
        assert!(!upper.join("etc/hosts").exists() && upper.join("etc/resolv.conf").exists());
    }

    #[test]
    fn a_link_in_a_stubs_place_leads_nowhere() {
        let temp = tempfile::tempdir().unwrap();
        let (upper, lower) = folders(temp.path());
        let outside = temp.path().join("outside");
        std::fs::create_dir_all(outside.join("empty")).unwrap();
        std::fs::write(outside.join("canary"), "").unwrap();
        symlink(&outside, upper.join("mnt")).unwrap();
        let dir = Dir::open(&upper).unwrap();
        let targets = ["/mnt/canary".to_owned(), "/mnt/empty".to_owned(), "/mnt".to_owned()];
        remove(&dir, &[lower], &targets).unwrap();
        assert!(outside.join("canary").exists() && outside.join("empty").exists());
        assert!(upper.join("mnt").is_symlink());
    }
}

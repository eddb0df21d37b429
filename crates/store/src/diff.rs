//! What an overlayfs upper directory changes about the directories below it.

use std::fmt;
use std::io;

use sys::dir::{Dir, Links};
use sys::file::{FileKind, Stat};

use crate::archive::{DEPTH_MAX, OVERLAY_OPAQUE};

/// How a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is in both, and differs (or something in it does).
    Modified,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
}

/// One changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How.
    pub kind: ChangeKind,
    /// Absolute, as seen in the container.
    pub path: Vec<u8>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        write!(f, "{letter} {}", String::from_utf8_lossy(&self.path))
    }
}

/// Lists the changes that `upper` makes to `lowers` (topmost first), sorted by path.
///
/// # Errors
/// The disk's.
pub fn changes(upper: &Dir, lowers: &[Dir]) -> io::Result<Vec<Change>> {
    let mut found = Vec::new();
    let below: Vec<Dir> = lowers.iter().map(Dir::try_clone).collect::<io::Result<_>>()?;
    walk(upper, &below, &mut Vec::new(), &mut found, 0)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(
    upper: &Dir,
    below: &[Dir],
    path: &mut Vec<u8>,
    found: &mut Vec<Change>,
    depth: usize,
) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other("directories nest too deeply"));
    }
    for name in upper.names()? {
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(&name);
        let stat = match upper.stat(&name) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.truncate(length);
                continue;
            }
            Err(error) => return Err(error),
        };
        let old = look_up(below, &name)?;
        if stat.is_whiteout() {
            // A whiteout over nothing (the file was made and removed) changes nothing.
            if old.is_some() {
                found.push(Change { kind: ChangeKind::Deleted, path: path.clone() });
            }
        } else {
            let kind = if old.is_some() { ChangeKind::Modified } else { ChangeKind::Added };
            found.push(Change { kind, path: path.clone() });
            if stat.kind == FileKind::Directory {
                let sub = upper.open_dir(&name)?;
                let opaque = sys::file::xattr(&sub, OVERLAY_OPAQUE)?.is_some();
                let subs = match old {
                    Some(old) if old.kind == FileKind::Directory => directories(below, &name)?,
                    _ => Vec::new(),
                };
                if opaque {
                    hidden(&sub, &subs, path, found)?;
                    walk(&sub, &[], path, found, depth + 1)?;
                } else {
                    walk(&sub, &subs, path, found, depth + 1)?;
                }
            }
        }
        path.truncate(length);
    }
    Ok(())
}

/// Names that an opaque directory hides and doesn't bring itself.
fn hidden(upper: &Dir, below: &[Dir], path: &[u8], found: &mut Vec<Change>) -> io::Result<()> {
    let mut names = Vec::new();
    for dir in below {
        names.extend(dir.names()?);
    }
    names.sort_unstable();
    names.dedup();
    for name in names {
        if upper.stat(&name).is_err() && look_up(below, &name)?.is_some() {
            let path = [path, b"/", &name[..]].concat();
            found.push(Change { kind: ChangeKind::Deleted, path });
        }
    }
    Ok(())
}

/// The entry as the stack shows it: the topmost that has it, unless that is a whiteout.
fn look_up(below: &[Dir], name: &[u8]) -> io::Result<Option<Stat>> {
    for dir in below {
        match dir.stat(name) {
            Ok(stat) if stat.is_whiteout() => return Ok(None),
            Ok(stat) => return Ok(Some(stat)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The directories that merge under `name`, topmost first.
fn directories(below: &[Dir], name: &[u8]) -> io::Result<Vec<Dir>> {
    let mut found = Vec::new();
    for dir in below {
        match dir.stat(name) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                let sub = dir.resolve(name, Links::Refuse)?;
                let opaque = sys::file::xattr(&sub, OVERLAY_OPAQUE)?.is_some();
                found.push(sub);
                if opaque {
                    break;
                }
            }
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

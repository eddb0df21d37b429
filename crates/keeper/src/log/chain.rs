//! The files of one log: the newest under its path, older ones under `<path>.1`, `<path>.2`, …, or the same with `.gz`.
//!
//! Owns their names and how they shift. Both sides use it: the writer to rotate, the reader to find what comes next.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Which file it is, whatever its name: device and inode.
pub(crate) type Identity = (u64, u64);

/// A file of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// 0 is the newest.
    pub index: u32,
    pub path: PathBuf,
    pub compressed: bool,
}

/// Name of the file `index` rotations old.
pub(crate) fn member_path(path: &Path, index: u32, compressed: bool) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{index}"));
    if compressed {
        name.push(".gz");
    }
    PathBuf::from(name)
}

/// All files there are, newest first. A file that exists both plain and compressed counts as plain: compressing it was
/// not finished.
pub(crate) fn members(path: &Path) -> io::Result<Vec<Member>> {
    let name = path.file_name().unwrap_or(OsStr::new(""));
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let file = entry?.file_name();
        if let Some((index, compressed)) = parse_suffix(&file, name) {
            let path = directory.join(OsString::from_vec(file.into_vec()));
            found.push(Member { index, path, compressed });
        }
    }
    found.sort_by_key(|member| (member.index, member.compressed));
    found.dedup_by_key(|member| member.index);
    Ok(found)
}

fn parse_suffix(file: &OsStr, name: &OsStr) -> Option<(u32, bool)> {
    let rest = file.as_bytes().strip_prefix(name.as_bytes())?;
    if rest.is_empty() {
        return Some((0, false));
    }
    let digits = rest.strip_prefix(b".")?;
    let (digits, compressed) = match digits.strip_suffix(b".gz") {
        Some(digits) => (digits, true),
        None => (digits, false),
    };
    let index: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    // "007" and "+7" aren't names of ours.
    (index > 0 && index.to_string().as_bytes() == digits).then_some((index, compressed))
}

/// Makes the newest file the first old one, so that its name is free; drops what is over `keep` files.
///
/// A crash in the middle leaves a gap, and the next call shifts only up to the first gap: nothing is dropped too early.
pub(crate) fn shift(path: &Path, keep: u32) -> io::Result<()> {
    let members = members(path)?;
    let oldest_kept = keep.saturating_sub(1);
    let gap = (0..)
        .find(|index| !members.iter().any(|member| member.index == *index))
        .unwrap_or(oldest_kept);
    for member in members.iter().rev() {
        let displaced = member.index == oldest_kept && gap > oldest_kept;
        if member.index > oldest_kept || displaced {
            remove(&member.path)?;
            if !member.compressed {
                remove(&member_path(path, member.index, true))?;
            }
        } else if member.index < gap {
            let next = member.index + 1;
            // A leftover of the other kind under the new name would shadow, or be shadowed.
            remove(&member_path(path, next, !member.compressed))?;
            fs::rename(&member.path, member_path(path, next, member.compressed))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The identity of what is at `path` now.
pub(crate) fn identity_at(path: &Path) -> io::Result<Option<Identity>> {
    match fs::metadata(path) {
        Ok(meta) => Ok(Some((meta.dev(), meta.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(path: &Path) -> Vec<(String, String)> {
        let mut all: Vec<_> = members(path)
            .unwrap()
            .into_iter()
            .map(|member| {
                let name = member.path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(&member.path).unwrap())
            })
            .collect();
        all.sort();
        all
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn files_move_up_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        for generation in ["a", "b", "c", "d"] {
            fs::write(&path, generation).unwrap();
            shift(&path, 3).unwrap();
        }
        assert_eq!(contents(&path), pairs(&[("c.log.1", "d"), ("c.log.2", "c")]));
        fs::write(&path, "e").unwrap();
        shift(&path, 1).unwrap();
        assert_eq!(contents(&path), pairs(&[]));
    }

    #[test]
    fn a_gap_left_by_a_crash_is_filled_before_anything_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        for (name, text) in [("c.log", "new"), ("c.log.2", "b"), ("c.log.3", "a")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        shift(&path, 4).unwrap();
        assert_eq!(
            contents(&path),
            pairs(&[("c.log.1", "new"), ("c.log.2", "b"), ("c.log.3", "a")])
        );
    }

    #[test]
    fn compressed_files_shift_and_foreign_names_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        for name in ["c.log", "c.log.1.gz", "c.log.01", "c.log.x", "c.log2", "c.log.1.gz.part"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        shift(&path, 5).unwrap();
        let found: Vec<_> =
            members(&path).unwrap().iter().map(|m| (m.index, m.compressed)).collect();
        assert_eq!(found, [(1, false), (2, true)]);
    }
}

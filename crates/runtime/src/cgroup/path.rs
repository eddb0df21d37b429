//! The name of a group: a path below the root of a hierarchy, checked once.
//!
//! Doesn't know where hierarchies are mounted.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{CgroupError, Result};

/// Groups of containers that name no parent live below this one.
pub const DEFAULT_PARENT: &str = "/cale";

/// A group's path: absolute, without `.`, `..` or empty parts, and never the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GroupPath(String);

impl GroupPath {
    /// Checks a path; a leading slash is optional.
    ///
    /// # Errors
    /// [`CgroupError::Invalid`] for the root, for `..` and for systemd's
    /// `slice:prefix:name` form.
    pub fn new(path: &str) -> Result<Self> {
        let invalid = |reason| CgroupError::Invalid {
            setting: "cgroupsPath".into(),
            value: path.into(),
            reason,
        };
        let mut clean = String::with_capacity(path.len() + 1);
        for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
            if part == ".." {
                return Err(invalid("may not contain '..'"));
            }
            if part.bytes().any(|byte| byte == 0 || byte == b'\n') {
                return Err(invalid("may not contain control characters"));
            }
            clean.push('/');
            clean.push_str(part);
        }
        if clean.is_empty() {
            return Err(invalid("names the root of the hierarchy"));
        }
        // runc's systemd driver reads "slice:prefix:name"; made here it would be an odd
        // directory and the container would miss its slice's limits.
        if clean.matches(':').count() == 2 && !path.starts_with('/') {
            return Err(invalid("is a systemd path, and the systemd driver isn't available"));
        }
        Ok(Self(clean))
    }

    /// The group of container `id`: `cgroups_path` of the spec if it has one, else
    /// `id` below `parent` (`--cgroup-parent`), else below [`DEFAULT_PARENT`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_container(
        cgroups_path: Option<&str>,
        parent: Option<&str>,
        id: &str,
    ) -> Result<Self> {
        match cgroups_path.filter(|path| !path.is_empty()) {
            Some(path) => Self::new(path),
            None => {
                let parent = parent.filter(|parent| !parent.is_empty()).unwrap_or(DEFAULT_PARENT);
                Self::new(&format!("{parent}/{id}"))
            }
        }
    }

    /// The path with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory of the group under `mount`.
    pub fn below(&self, mount: &Path) -> PathBuf {
        mount.join(&self.0[1..])
    }

    /// Every ancestor below the root, outermost first, without the group itself.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').skip(1).map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_and_refuses() {
        assert_eq!(GroupPath::new("a//b/./c/").unwrap().as_str(), "/a/b/c");
        for bad in ["", "/", "./", "a/../b", "..", "system.slice:cale:1", "a\nb"] {
            assert!(GroupPath::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spec_path_wins_over_parent() {
        let of =
            |spec, parent| GroupPath::of_container(spec, parent, "c1").unwrap().as_str().to_owned();
        assert_eq!(of(None, None), "/cale/c1");
        assert_eq!(of(Some(""), Some("/x/y")), "/x/y/c1");
        assert_eq!(of(Some("/spec/p"), Some("/x")), "/spec/p");
    }

    #[test]
    fn ancestors_are_outermost_first() {
        let path = GroupPath::new("/a/b/c").unwrap();
        assert_eq!(path.ancestors().collect::<Vec<_>>(), ["/a", "/a/b"]);
        assert_eq!(path.below(Path::new("/sys/fs/cgroup")), Path::new("/sys/fs/cgroup/a/b/c"));
    }
}

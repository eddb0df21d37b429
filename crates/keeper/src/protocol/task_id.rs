//! The name of a task: a container's first process, or an exec process in it.
//!
//! It is also the name of the task's directory, so it can't contain anything that a path gives a meaning to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `<container>` or `<container>.<exec>`; both parts are 1 to 128 characters of `[A-Za-z0-9_-]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(Box<str>);

/// Not a task's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' isn't a task id")]
pub struct TaskIdError(String);

impl TaskId {
    /// The first process of a container.
    ///
    /// # Errors
    /// When `container` isn't 1 to 128 characters of `[A-Za-z0-9_-]`.
    pub fn container(container: &str) -> Result<Self, TaskIdError> {
        if part_is_valid(container) {
            Ok(TaskId(container.into()))
        } else {
            Err(TaskIdError(container.to_owned()))
        }
    }

    /// An exec process.
    ///
    /// # Errors
    /// When a part isn't 1 to 128 characters of `[A-Za-z0-9_-]`.
    pub fn exec(container: &str, exec: &str) -> Result<Self, TaskIdError> {
        Self::try_from(format!("{container}.{exec}"))
    }

    /// The container that the task belongs to.
    #[must_use]
    pub fn container_part(&self) -> &str {
        self.0.split_once('.').map_or(&self.0, |(container, _)| container)
    }

    /// The exec's own id, if it is one.
    #[must_use]
    pub fn exec_part(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, exec)| exec)
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn part_is_valid(part: &str) -> bool {
    (1..=128).contains(&part.len())
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl TryFrom<String> for TaskId {
    type Error = TaskIdError;

    fn try_from(name: String) -> Result<Self, TaskIdError> {
        let valid = match name.split_once('.') {
            Some((container, exec)) => part_is_valid(container) && part_is_valid(exec),
            None => part_is_valid(&name),
        };
        if valid { Ok(TaskId(name.into())) } else { Err(TaskIdError(name)) }
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> String {
        id.0.into()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let init = TaskId::container("web-1").unwrap();
        assert_eq!((init.container_part(), init.exec_part()), ("web-1", None));
        let exec = TaskId::exec("web-1", "e0").unwrap();
        assert_eq!(
            (exec.as_str(), exec.container_part(), exec.exec_part()),
            ("web-1.e0", "web-1", Some("e0"))
        );
    }

    #[test]
    fn nothing_that_a_path_gives_a_meaning_to() {
        for bad in ["", ".", "..", "a.b.c", "a/b", "a.", ".a", "a\0", "é", &"x".repeat(129)] {
            assert!(TaskId::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(TaskId::container("a.b").is_err());
    }
}

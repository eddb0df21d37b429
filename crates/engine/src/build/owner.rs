//! `--chown` and `USER` of made directories: names looked up in the root that is built.

use build::error::WorkerError;
use sys::dir::{Dir, Links};

use super::fault;
use crate::{Error, container::user};

/// The ids of `user[:group]`. With a user alone the group has the user's number when it is a
/// number, else the user's own group (as BuildKit and Docker do).
pub fn look_up(text: &str, root: Option<&Dir>) -> Result<(u32, u32), WorkerError> {
    if text.is_empty() {
        return Ok((0, 0));
    }
    let (name, group) = text.split_once(':').unwrap_or((text, ""));
    if group.is_empty()
        && let Ok(number) = name.parse::<u32>()
    {
        return Ok((number, number));
    }
    let read = |path: &str| {
        let Some(root) = root else { return Ok(None) };
        match root.resolve_file(path.as_bytes(), Links::InRoot) {
            Ok(file) => {
                let mut bytes = Vec::new();
                use std::io::Read;
                file.take(4 << 20).read_to_end(&mut bytes).map_err(|source| Error::File {
                    action: "read",
                    path: format!("/{path}"),
                    source,
                })?;
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { action: "read", path: format!("/{path}"), source }),
        }
    };
    let user = user::resolve(text, &[], read).map_err(fault::engine)?;
    Ok((user.uid, user.gid))
}

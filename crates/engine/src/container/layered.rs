//! Reading a small file of a root filesystem that isn't mounted: from its layers, topmost first.
//!
//! Follows overlayfs's rules for whiteouts (a character device 0:0) and opaque directories
//! (`trusted.overlay.opaque=y`; kernel documentation, filesystems/overlayfs.rst). Symbolic links
//! are resolved by a detached overlay mount, inside of it; nothing of a layer is trusted.

use std::{fs::File, io, io::Read, path::PathBuf};

use sys::{
    dir::{Dir, Links},
    file::FileKind,
};

/// The most that is read of one file.
const LIMIT: u64 = 4 * 1024 * 1024;

enum Found {
    Content(Vec<u8>),
    Absent,
    Link,
}

/// Content of `path` (relative, without `.` and `..`) as a process in the root would see it;
/// `None` when there is no such regular file.
pub fn read(layers: &[PathBuf], path: &str) -> io::Result<Option<Vec<u8>>> {
    match look(layers, path)? {
        Found::Content(bytes) => Ok(Some(bytes)),
        Found::Absent => Ok(None),
        Found::Link => through_mount(layers, path),
    }
}

fn look(layers: &[PathBuf], path: &str) -> io::Result<Found> {
    let mut parts: Vec<&str> = path.split('/').collect();
    let Some(name) = parts.pop() else { return Ok(Found::Absent) };
    for layer in layers {
        let mut dir = match Dir::open(layer) {
            Ok(dir) => dir,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut hides_lower = false;
        let mut here = true;
        for part in &parts {
            match dir.stat(part.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    here = false;
                    break;
                }
                Err(error) => return Err(error),
                Ok(stat) if stat.kind == FileKind::Symlink => return Ok(Found::Link),
                Ok(stat) if stat.kind != FileKind::Directory => return Ok(Found::Absent),
                Ok(_) => dir = dir.open_dir(part.as_bytes())?,
            }
            hides_lower |=
                sys::file::xattr(&dir, b"trusted.overlay.opaque")? == Some(b"y".to_vec());
        }
        if here {
            match dir.stat(name.as_bytes()) {
                Ok(stat) if stat.kind == FileKind::Symlink => return Ok(Found::Link),
                Ok(stat) if stat.kind == FileKind::Regular => {
                    return Ok(Found::Content(content(&dir, name)?));
                }
                Ok(_) => return Ok(Found::Absent),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if hides_lower {
            return Ok(Found::Absent);
        }
    }
    Ok(Found::Absent)
}

fn content(dir: &Dir, name: &str) -> io::Result<Vec<u8>> {
    limited(dir.open_file(name.as_bytes())?)
}

fn limited(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if !file.metadata()?.is_file() {
        return Ok(bytes);
    }
    file.take(LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn through_mount(layers: &[PathBuf], path: &str) -> io::Result<Option<Vec<u8>>> {
    let root = mounted(layers)?;
    match root.resolve_file(path.as_bytes(), Links::InRoot) {
        Ok(file) => limited(file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The layers as one read-only tree, mounted nowhere; it goes away with the last fd.
pub fn mounted(layers: &[PathBuf]) -> io::Result<Dir> {
    sys::tree::view(layers).and_then(Dir::from_fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(root: &std::path::Path) -> Vec<PathBuf> {
        let (top, bottom) = (root.join("top"), root.join("bottom"));
        for dir in [&top, &bottom] {
            std::fs::create_dir_all(dir.join("etc")).unwrap();
        }
        vec![top, bottom]
    }

    #[test]
    fn the_topmost_wins_and_whiteouts_hide() {
        let temp = tempfile::tempdir().unwrap();
        let layers = layers(temp.path());
        std::fs::write(layers[1].join("etc/passwd"), "low").unwrap();
        assert_eq!(read(&layers, "etc/passwd").unwrap().as_deref(), Some(&b"low"[..]));
        std::fs::write(layers[0].join("etc/passwd"), "top").unwrap();
        assert_eq!(read(&layers, "etc/passwd").unwrap().as_deref(), Some(&b"top"[..]));
        std::fs::remove_file(layers[0].join("etc/passwd")).unwrap();
        let etc = Dir::open(&layers[0].join("etc")).unwrap();
        let node = sys::dir::Node::Character { major: 0, minor: 0 };
        etc.make_node(b"passwd", node, 0).unwrap();
        assert_eq!(read(&layers, "etc/passwd").unwrap(), None);
    }

    #[test]
    fn links_stay_inside() {
        let temp = tempfile::tempdir().unwrap();
        let layers = layers(temp.path());
        std::fs::write(layers[1].join("etc/real"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc/real", layers[0].join("etc/passwd")).unwrap();
        assert_eq!(read(&layers, "etc/passwd").unwrap().as_deref(), Some(&b"inside"[..]));
        std::os::unix::fs::symlink("../../../../etc/hostname", layers[0].join("etc/group"))
            .unwrap();
        assert_eq!(read(&layers, "etc/group").unwrap(), None);
    }
}

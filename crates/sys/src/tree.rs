//! Mounts that the engine itself makes: overlays that are mounted nowhere (a tree to look into or to
//! write to, gone with its last fd), and shared memory for several containers.
//!
//! Layers are given one by one (`lowerdir+`, Linux 6.5), so that neither colons in paths nor the
//! 255 bytes of a parameter matter.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::mount;

/// The layers (topmost first) as one read-only tree.
///
/// # Errors
/// As fsopen(2), fsconfig(2) and fsmount(2); open_tree(2) for a single layer.
pub fn view(layers: &[PathBuf]) -> io::Result<OwnedFd> {
    if let [only] = layers {
        // overlayfs wants two layers without an upper one.
        let path = c_path(only)?;
        let tree = mount::clone_tree(rustix::fs::CWD, &path, false)?;
        mount::set_attributes(&tree, mount::attr::RDONLY, 0, 0, false)?;
        return opened(&tree);
    }
    assemble(layers, None)
}

/// The layers with a writable directory on top. Only one such mount of `upper` may exist.
///
/// # Errors
/// As [`view`].
pub fn writable(lowers: &[PathBuf], upper: &Path, work: &Path) -> io::Result<OwnedFd> {
    assemble(lowers, Some((upper, work)))
}

fn assemble(lowers: &[PathBuf], top: Option<(&Path, &Path)>) -> io::Result<OwnedFd> {
    let fs = mount::fsopen(c"overlay")?;
    mount::set_string(&fs, c"source", c"overlay")?;
    for lower in lowers {
        mount::set_string(&fs, c"lowerdir+", &c_path(lower)?)?;
    }
    if let Some((upper, work)) = top {
        mount::set_string(&fs, c"upperdir", &c_path(upper)?)?;
        mount::set_string(&fs, c"workdir", &c_path(work)?)?;
    }
    mount::create(&fs)?;
    let attributes = if top.is_none() { mount::attr::RDONLY } else { 0 };
    opened(&mount::fsmount(&fs, attributes)?)
}

/// The fd of a new mount can only be walked from (`O_PATH`); this one can be listed, too. It
/// keeps the tree when the first one is closed.
fn opened(tree: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(tree, c".", flags, Mode::empty())?)
}

/// Mounts a tmpfs of `size` bytes for shared memory at `path`, mode 1777.
///
/// # Errors
/// As fsopen(2), fsconfig(2) and move_mount(2).
pub fn mount_shm(path: &Path, size: u64) -> io::Result<()> {
    let fs = mount::fsopen(c"tmpfs")?;
    let size = CString::new(size.to_string()).map_err(io::Error::other)?;
    mount::set_string(&fs, c"source", c"shm")?;
    mount::set_string(&fs, c"mode", c"1777")?;
    mount::set_string(&fs, c"size", &size)?;
    mount::create(&fs)?;
    let attributes = mount::attr::NOSUID | mount::attr::NODEV | mount::attr::NOEXEC;
    let tree = mount::fsmount(&fs, attributes)?;
    let target = crate::dir::Dir::open(path)?;
    Ok(mount::attach(&tree, &target)?)
}

/// Takes the mount at `path` away, now or when its last user goes.
///
/// # Errors
/// As umount2(2).
pub fn unmount(path: &Path) -> io::Result<()> {
    Ok(mount::detach(&c_path(path)?)?)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "path contains a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dir::{Dir, Links};

    #[test]
    fn layers_show_as_one_and_writes_go_up() {
        let temp = tempfile::tempdir().unwrap();
        let dir = |name: &str| {
            let path = temp.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (top, bottom) = (dir("top"), dir("bottom"));
        std::fs::write(top.join("a"), "top").unwrap();
        std::fs::write(bottom.join("a"), "bottom").unwrap();
        std::fs::write(bottom.join("b"), "bottom").unwrap();
        let read = |root: &Dir, name: &str| {
            std::io::read_to_string(root.resolve_file(name.as_bytes(), Links::InRoot).unwrap())
                .unwrap()
        };
        let layers = [top, bottom];
        let root = Dir::from_fd(view(&layers).unwrap()).unwrap();
        assert_eq!((read(&root, "a"), read(&root, "b")), ("top".into(), "bottom".into()));
        assert_eq!(root.names().unwrap().len(), 2);
        let one = Dir::from_fd(view(&layers[1..]).unwrap()).unwrap();
        assert_eq!(read(&one, "a"), "bottom");
        assert!(one.create_file(b"c", 0o600).is_err());

        let (upper, work) = (dir("upper"), dir("work"));
        let root = Dir::from_fd(writable(&layers, &upper, &work).unwrap()).unwrap();
        root.create_file(b"new", 0o600).unwrap();
        assert!(upper.join("new").exists());
    }
}

//! Export, changes, and the archives of `docker cp`.
//!
//! A running container's files are reached through its process's root, one that rests through a
//! detached overlay; either way by file descriptor and with every link resolved inside.

use std::{io::Write, sync::Arc};

use store::archive::{self, ExtractOptions, TreeOptions, Whiteouts, Writer};
use sys::{
    dir::{Dir, Links},
    file::FileKind,
};
use tokio_util::io::SyncIoBridge;

use super::{Change, Containers, PathStat, PutRequest, Snapshot};
use crate::{ByteReader, Engine, Error, Result, blocking, error::Cause};

/// Bytes on the way between the thread that reads a tree and the client.
const PIPE: usize = 256 * 1024;

impl Containers<'_> {
    /// Its whole root filesystem as a tar.
    pub async fn export(&self, container: &str) -> Result<ByteReader> {
        let snapshot = self.engine.registry().find(container)?.snapshot();
        let shared = (self.engine.clone(), snapshot.clone());
        let root = blocking::spawn(move || open_root(&shared.0, &shared.1, Access::Read)).await?;
        self.engine.events().container(&snapshot.record, "export", &[]);
        Ok(self.archive(move |writer| archive::write_tree(writer, &root, options())))
    }

    /// What differs from its image.
    pub async fn changes(&self, container: &str) -> Result<Vec<Change>> {
        let handle = self.engine.registry().find(container)?;
        let engine = self.engine.clone();
        blocking::spawn(move || engine.records().changes(&handle.id)).await
    }

    /// Facts about a path in it.
    pub async fn archive_stat(&self, container: &str, path: &str) -> Result<PathStat> {
        let (_, stat, _) = self.look(container, path).await?;
        Ok(stat)
    }

    /// A file or directory of it as a tar.
    pub async fn archive_get(&self, container: &str, path: &str) -> Result<(PathStat, ByteReader)> {
        let (root, stat, found) = self.look(container, path).await?;
        let snapshot = self.engine.registry().find(container)?.snapshot();
        self.engine.events().container(&snapshot.record, "archive-path", &[]);
        // A trailing `/.` asks for the directory's content under its own name.
        let name = match stat.name.as_str() {
            "/" => ".".to_owned(),
            name => name.to_owned(),
        };
        let reader = self.archive(move |writer| {
            archive::write_path(writer, &root, found.as_bytes(), name.as_bytes(), options())
        });
        Ok((stat, reader))
    }

    /// Unpacks a tar (plain, gzip or zstd) into a directory of it.
    pub async fn archive_put(
        &self,
        container: &str,
        path: &str,
        request: PutRequest,
        archive: ByteReader,
    ) -> Result<()> {
        let snapshot = self.engine.registry().find(container)?.snapshot();
        let mount = target_mount(&snapshot, path);
        if mount.is_some_and(|point| point.mount.readonly)
            || (mount.is_none() && snapshot.record.spec.host.readonly_rootfs)
        {
            return Err(Error::Forbidden("container rootfs is marked read-only".to_owned()));
        }
        let (engine, shared) = (self.engine.clone(), snapshot.clone());
        let (name, path) = (container.to_owned(), path.to_owned());
        let source = SyncIoBridge::new(archive);
        blocking::spawn(move || {
            let root = open_root(&engine, &shared, Access::Write)?;
            let target =
                root.resolve(relative(&path).as_bytes(), Links::InRoot).map_err(|source| {
                    match source.kind() {
                        std::io::ErrorKind::NotFound => {
                            Error::NoSuchPath { path: path.clone(), container: name }
                        }
                        std::io::ErrorKind::NotADirectory => {
                            Error::Invalid("extraction point is not a directory".to_owned())
                        }
                        _ => Error::File { action: "open", path: path.clone(), source },
                    }
                })?;
            let options = ExtractOptions {
                whiteouts: Whiteouts::Plain,
                owner: if request.keep_owners { None } else { Some((0, 0)) },
                keep_kinds: request.keep_kinds,
                limits: store::Options::default().limits,
            };
            let buffered = std::io::BufReader::with_capacity(PIPE, source);
            let plain = archive::decoder(buffered).map_err(|error| unpack(&path, error))?;
            let plain = std::io::BufReader::with_capacity(PIPE, plain);
            archive::extract(target, plain, options).map(drop).map_err(|error| unpack(&path, error))
        })
        .await?;
        self.engine.events().container(&snapshot.record, "extract-to-dir", &[]);
        Ok(())
    }

    /// Opens the root and finds `path` in it: facts, and where it really is.
    async fn look(&self, container: &str, path: &str) -> Result<(Dir, PathStat, String)> {
        let snapshot = self.engine.registry().find(container)?.snapshot();
        let (engine, path, name) = (self.engine.clone(), path.to_owned(), container.to_owned());
        blocking::spawn(move || {
            let root = open_root(&engine, &snapshot, Access::Read)?;
            let (stat, found) = stat(&root, &path, &name)?;
            Ok((root, stat, found))
        })
        .await
    }

    /// Runs `write` on a thread; what it writes can be read.
    fn archive(
        &self,
        write: impl FnOnce(
            &mut Writer<SyncIoBridge<tokio::io::DuplexStream>>,
        ) -> std::result::Result<(), archive::ArchiveError>
        + Send
        + 'static,
    ) -> ByteReader {
        let (reader, writer) = tokio::io::duplex(PIPE);
        let bridge = SyncIoBridge::new(writer);
        self.engine.tasks().spawn_blocking(move || {
            let mut writer = Writer::new(bridge);
            // Dropped without its end, the archive is visibly cut.
            let done = write(&mut writer).and_then(|()| writer.finish());
            match done {
                Ok(mut bridge) => drop(bridge.flush()),
                Err(error) => tracing::debug!(%error, "archive cut"),
            }
        });
        Box::pin(reader)
    }
}

fn options() -> TreeOptions {
    TreeOptions { whiteouts: Whiteouts::Plain, epoch: None }
}

fn unpack(path: &str, error: archive::ArchiveError) -> Error {
    Error::Failed {
        action: "unpack into",
        subject: path.to_owned(),
        source: Cause::new(model::ErrorKind::InvalidInput, error),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// The root of a container by descriptor.
fn open_root(engine: &Arc<Engine>, snapshot: &Snapshot, access: Access) -> Result<Dir> {
    let fail = |source| Error::File {
        action: "open the root of",
        path: format!("container {}", snapshot.record.name),
        source,
    };
    if snapshot.state.is_running() {
        // The process's own view, with its volumes. The link itself is the kernel's.
        let path = format!("/proc/{}/root", snapshot.state.pid);
        return Dir::open(std::path::Path::new(&path)).map_err(fail);
    }
    let rootfs = engine.records().rootfs(&snapshot.record)?;
    match access {
        Access::Read => rootfs.view().map_err(fail),
        Access::Write => rootfs.writable().map_err(fail),
    }
}

/// The mount of the container that a path is on, the deepest one.
fn target_mount<'a>(snapshot: &'a Snapshot, path: &str) -> Option<&'a super::MountPoint> {
    let path = format!("/{}/", relative(path));
    let below = |point: &&super::MountPoint| path.starts_with(&format!("{}/", point.mount.target));
    snapshot.record.mounts.iter().filter(below).max_by_key(|point| point.mount.target.len())
}

/// Without leading slashes, `.` and a trailing slash.
fn relative(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

/// Follows links in all but the last component; the last one is followed when the path ends
/// with a slash or `/.`.
fn stat(root: &Dir, path: &str, container: &str) -> Result<(PathStat, String)> {
    let missing = || Error::NoSuchPath { path: path.to_owned(), container: container.to_owned() };
    let plain = relative(path);
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => missing(),
        _ => Error::File { action: "look at", path: path.to_owned(), source },
    };
    if plain.is_empty() {
        let found = sys::file::stat(root).map_err(fail)?;
        return Ok((shown("/", &found, String::new()), plain));
    }
    let (parent, last) = plain.rsplit_once('/').unwrap_or(("", &plain));
    let must_be_dir = path.ends_with('/') || path.ends_with("/.");
    if must_be_dir || last == ".." {
        let dir = root.resolve(plain.as_bytes(), Links::InRoot).map_err(|source| {
            match source.kind() {
                std::io::ErrorKind::NotADirectory => {
                    Error::NotFound(format!("{path}: not a directory"))
                }
                _ => fail(source),
            }
        })?;
        let found = sys::file::stat(&dir).map_err(fail)?;
        let where_it_is = real_path(root, &dir, &plain);
        return Ok((shown(last, &found, String::new()), where_it_is));
    }
    let dir = root.resolve(parent.as_bytes(), Links::InRoot).map_err(fail)?;
    let found = dir.stat(last.as_bytes()).map_err(fail)?;
    let target = match found.kind {
        FileKind::Symlink => {
            let target = dir.read_link(last.as_bytes()).map_err(fail)?;
            let target = String::from_utf8_lossy(&target).into_owned();
            match target.starts_with('/') {
                true => format!("/{}", relative(&target)),
                false => format!("/{}", relative(&format!("{parent}/{target}"))),
            }
        }
        _ => String::new(),
    };
    Ok((shown(last, &found, target), plain))
}

/// A directory reached through links is archived from where it is.
fn real_path(root: &Dir, dir: &Dir, asked: &str) -> String {
    use std::os::fd::{AsFd, AsRawFd};
    let link =
        |dir: &Dir| std::fs::read_link(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd())).ok();
    match (link(root), link(dir)) {
        (Some(root), Some(dir)) => match dir.strip_prefix(&root) {
            Ok(below) => below.to_string_lossy().into_owned(),
            Err(_) => asked.to_owned(),
        },
        _ => asked.to_owned(),
    }
}

fn shown(name: &str, stat: &sys::file::Stat, link_target: String) -> PathStat {
    let kind = match stat.kind {
        FileKind::Regular => 0o100_000,
        FileKind::Directory => 0o040_000,
        FileKind::Symlink => 0o120_000,
        FileKind::Fifo => 0o010_000,
        FileKind::Socket => 0o140_000,
        FileKind::Character => 0o020_000,
        FileKind::Block => 0o060_000,
    };
    let seconds = stat.modified.seconds.saturating_mul(1_000_000_000);
    PathStat {
        name: name.to_owned(),
        size: i64::try_from(stat.size).unwrap_or(i64::MAX),
        unix_mode: kind | stat.mode,
        modified_ns: seconds.saturating_add(i64::from(stat.modified.nanoseconds)),
        link_target,
    }
}

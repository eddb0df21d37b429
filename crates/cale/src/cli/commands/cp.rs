//! `cp`: copy files between a container and the local filesystem.
//!
//! The rules are Docker's: `SRC/.` means a directory's content, a trailing slash asserts a
//! directory, a missing destination is created if its parent exists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::container_path;
use crate::cli::archive::{self, Keep, Rebase};
use crate::cli::container::mounts::normal;
use crate::cli::context::Cx;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::flags::{Arity, Flag, Matches, command};
use crate::cli::format::units;
use crate::cli::link::{Extra, Link, Query};
use crate::cli::{session, upload};

static FLAGS: &[Flag] = &[
    Flag::switch("archive", "Keep owner and group").short('a'),
    Flag::switch("follow-link", "Follow the source if it is a symbolic link").short('L'),
    Flag::switch("quiet", "Don't say what was copied").short('q'),
];

command! {
    /// Copy files between a container and the local filesystem.
    ///
    /// Use '-' as the source to read a tar archive from stdin and unpack it in a directory of the
    /// container, or as the destination to write a tar archive of the source to stdout.
    pub static CP = {
        usage: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-",
        flags: &[FLAGS],
        arity: Arity::Exactly(2),
        run: |cx, m| Box::pin(copy(cx, m)),
    }
}

/// Container and path of `CONTAINER:PATH`; a local path may have a colon too if it begins with
/// `/` or `.`.
fn divide(text: &str) -> (Option<&str>, &str) {
    if text.starts_with('/') || text.starts_with('.') {
        return (None, text);
    }
    match text.split_once(':') {
        Some((container, path)) => (Some(container), path),
        None => (None, text),
    }
}

async fn copy(cx: &Cx, m: &Matches) -> Result<Exit, CliError> {
    let [source, target] = m.args() else { return Ok(Exit::FAILURE) };
    if source.is_empty() {
        return Err(CliError::invalid("source can not be empty"));
    }
    if target.is_empty() {
        return Err(CliError::invalid("destination can not be empty"));
    }
    match (divide(source), divide(target)) {
        ((Some(_), _), (Some(_), _)) => {
            Err(CliError::invalid("copying between containers is not supported"))
        }
        ((None, _), (None, _)) => {
            Err(CliError::invalid("must specify at least one container source"))
        }
        ((Some(container), path), (None, target)) => from(cx, m, container, path, target).await,
        ((None, path), (Some(container), target)) => to(cx, m, container, path, target).await,
    }
}

/// What the engine tells about a path in a container.
struct Info {
    is_dir: bool,
    link_target: String,
}

const DIRECTORY: u64 = 1 << 31;
const SYMLINK: u64 = 1 << 27;

/// Reads the header that describes a path (Go's file mode bits).
fn info(header: &str) -> Result<Info, CliError> {
    let wrong = |e: &dyn std::fmt::Display| {
        CliError::talk("understand what the engine says about the path", e.to_string())
    };
    let text = data_encoding::BASE64.decode(header.as_bytes()).map_err(|e| wrong(&e))?;
    let stat: Json = serde_json::from_slice(&text).map_err(|e| wrong(&e))?;
    let mode = stat["mode"].as_u64().unwrap_or(0);
    let link_target = stat["linkTarget"].as_str().filter(|_| mode & SYMLINK != 0).unwrap_or("");
    Ok(Info { is_dir: mode & DIRECTORY != 0, link_target: link_target.to_owned() })
}

async fn stat(link: &Link, container: &str, path: &str) -> Result<Info, CliError> {
    let query = Query::new().set("path", path);
    let target = container_path(container, "/archive");
    match link.open(http::Method::HEAD, &target, &query, Extra::default()).await {
        Ok(reply) => {
            let found = info(reply.header("x-docker-container-path-stat"));
            reply.bytes().await?;
            found
        }
        // A reply to HEAD has no body to carry the message.
        Err(CliError::Daemon { status: 404, .. }) => Err(CliError::Daemon {
            status: 404,
            message: format!("Could not find the file {path} in container {container}"),
        }),
        Err(e) => Err(e),
    }
}

/// Absolute form that keeps what a trailing `/` or `/.` says.
fn absolute_in_container(path: &str) -> String {
    let clean = normal(path);
    keep_ending(path, clean)
}

fn keep_ending(typed: &str, clean: String) -> String {
    if typed.ends_with("/.") || typed == "." {
        format!("{}/.", clean.trim_end_matches('/'))
    } else if typed.ends_with('/') && clean != "/" {
        format!("{clean}/")
    } else {
        clean
    }
}

fn last_name(path: &str) -> &str {
    path.trim_end_matches("/.").trim_end_matches('/').rsplit('/').next().unwrap_or("")
}

fn asserts_dir(path: &str) -> bool {
    path.ends_with('/')
        || path.ends_with("/.")
        || path == "."
        || path.ends_with("/..")
        || path == ".."
}

/// Where a copy goes: the directory to unpack in, and the name that the source gets there (empty:
/// its own).
fn place(
    source_is_dir: bool,
    contents_only: bool,
    target: &str,
    target_kind: Option<bool>,
) -> Result<(String, String), CliError> {
    let parent_and_name = || {
        let path = target.trim_end_matches('/');
        let name = last_name(path).to_owned();
        let parent = path
            .rsplit_once('/')
            .map_or(".", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        (parent.to_owned(), name)
    };
    match target_kind {
        Some(true) => Ok((target.to_owned(), String::new())),
        Some(false) if source_is_dir => Err(CliError::invalid("cannot copy directory")),
        Some(false) if asserts_dir(target) => Err(CliError::invalid("not a directory")),
        Some(false) => Ok(parent_and_name()),
        None if !source_is_dir && asserts_dir(target) => {
            Err(CliError::invalid(format!("no such directory: {target}")))
        }
        None => {
            debug_assert!(source_is_dir || !contents_only);
            Ok(parent_and_name())
        }
    }
}

async fn from(
    cx: &Cx,
    m: &Matches,
    container: &str,
    path: &str,
    target: &str,
) -> Result<Exit, CliError> {
    let link = cx.link()?;
    let mut path = absolute_in_container(path);
    let mut original = String::new();
    if m.on("follow-link")
        && let Ok(found) = stat(link, container, &path).await
        && !found.link_target.is_empty()
    {
        last_name(&path).clone_into(&mut original);
        path = joined(&path, &found.link_target);
    }
    let query = Query::new().set("path", &path);
    let endpoint = container_path(container, "/archive");
    let mut reply = link.open(http::Method::GET, &endpoint, &query, Extra::default()).await?;
    if target == "-" {
        if session::is_terminal(std::io::stdout()) {
            return Err(CliError::invalid(
                "cowardly refusing to copy to a terminal. Redirect the output",
            ));
        }
        while let Some(chunk) = reply.chunk().await? {
            use std::io::Write;
            std::io::stdout().write_all(&chunk).map_err(CliError::Output)?;
        }
        return Ok(Exit::SUCCESS);
    }
    let found = info(reply.header("x-docker-container-path-stat"))?;
    let local = fs::metadata(target).ok().map(|meta| meta.is_dir());
    let contents = path.ends_with("/.");
    let (dir, name) = place(found.is_dir, contents, target, local)?;
    if !Path::new(&dir).is_dir() {
        return Err(CliError::invalid(format!(
            "invalid output path: directory {dir:?} does not exist"
        )));
    }
    // With `/.` the archive's root is called "." or like the directory; both are the content.
    let own = last_name(&path).to_owned();
    let to = match (name.as_str(), original.as_str()) {
        ("", original) => original.to_owned(),
        (name, _) => name.to_owned(),
    };
    let rebase = match (contents, to.is_empty()) {
        (true, true) => Rebase::default(),
        (true, false) => return unpack_contents(reply, &PathBuf::from(target), m).await,
        (false, _) => Rebase { from: own, to },
    };
    let (copied, shown) =
        (unpack(reply, PathBuf::from(dir), rebase, m.on("archive")).await?, target);
    say(m, copied, shown);
    Ok(Exit::SUCCESS)
}

/// The content of a directory becomes a new directory.
async fn unpack_contents(
    reply: crate::cli::link::Reply<'_>,
    target: &Path,
    m: &Matches,
) -> Result<Exit, CliError> {
    fs::create_dir(target)
        .map_err(|e| CliError::file(format!("create {}", target.display()), e))?;
    let owners = m.on("archive");
    let copied = unpack(reply, target.to_owned(), Rebase::default(), owners).await?;
    say(m, copied, &target.display().to_string());
    Ok(Exit::SUCCESS)
}

fn joined(path: &str, link_target: &str) -> String {
    if link_target.starts_with('/') {
        return normal(link_target);
    }
    let parent = path.trim_end_matches('/').rsplit_once('/').map_or("", |(parent, _)| parent);
    normal(&format!("{parent}/{link_target}"))
}

async fn unpack(
    mut reply: crate::cli::link::Reply<'_>,
    target: PathBuf,
    rebase: Rebase,
    owners: bool,
) -> Result<u64, CliError> {
    let (mut writer, reader) = pipe()?;
    let shown = target.display().to_string();
    let thread = std::thread::spawn(move || archive::unpack(reader, &target, &rebase, owners));
    while let Some(chunk) = reply.chunk().await? {
        use std::io::Write;
        if writer.write_all(&chunk).is_err() {
            // The other side failed; its error tells why.
            break;
        }
    }
    drop(writer);
    let result = thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    result.map_err(|e| CliError::file(format!("copy to {shown}"), e))
}

fn pipe() -> Result<(io::PipeWriter, io::PipeReader), CliError> {
    let (reader, writer) = io::pipe().map_err(|e| CliError::file("make a pipe", e))?;
    Ok((writer, reader))
}

fn say(m: &Matches, bytes: u64, target: &str) {
    let quiet =
        if m.given("quiet") { m.on("quiet") } else { !session::is_terminal(std::io::stdout()) };
    if !quiet {
        eprintln!("Successfully copied {} to {target}", units::human_size_short(bytes as f64));
    }
}

async fn to(
    cx: &Cx,
    m: &Matches,
    container: &str,
    source: &str,
    target: &str,
) -> Result<Exit, CliError> {
    let link = cx.link()?;
    let mut target = absolute_in_container(target);
    let mut found = stat(link, container, &target).await;
    if let Ok(Info { link_target, .. }) = &found
        && !link_target.is_empty()
    {
        target = joined(&target, &link_target.clone());
        found = stat(link, container, &target).await;
    }
    if let Err(
        error @ CliError::Daemon { status: 500.., .. } | error @ CliError::Unreachable { .. },
    ) = found
    {
        return Err(error);
    }
    let kind = found.as_ref().ok().map(|info| info.is_dir);
    let shown = format!("{container}:{target}");
    let (dir, body) = if source == "-" {
        if kind != Some(true) {
            return Err(CliError::invalid(format!("destination {shown:?} must be a directory")));
        }
        (target, upload::stdin())
    } else {
        let follow = m.on("follow-link") || asserts_dir(source);
        let path = Path::new(source);
        let meta = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
        let meta = meta.map_err(|e| missing(source, e))?;
        if asserts_dir(source) && !meta.is_dir() {
            return Err(CliError::invalid(format!("{source}: not a directory")));
        }
        let contents = source.ends_with("/.") || source == ".";
        let (dir, name) = place(meta.is_dir(), contents, &target, kind)?;
        let name = match (contents, name.as_str()) {
            (true, "") => String::new(),
            (false, "") => own_name(path)?,
            (_, name) => name.to_owned(),
        };
        let total = size_of(path, follow);
        let path = path.to_owned();
        let body = upload::writer(move |out| {
            archive::pack(&path, &name, follow, &mut |_, _| Keep::Yes, out).map(drop)
        });
        say(m, total, &shown);
        (dir, body)
    };
    let mut query = Query::new().set("path", &dir).set("noOverwriteDirNonDir", "true");
    if m.on("archive") {
        query = query.set("copyUIDGID", "true");
    }
    let extra = Extra { body: Some(("application/x-tar", body)), ..Extra::default() };
    let endpoint = container_path(container, "/archive");
    link.open(http::Method::PUT, &endpoint, &query, extra).await?.bytes().await?;
    Ok(Exit::SUCCESS)
}

fn missing(source: &str, e: io::Error) -> CliError {
    match e.kind() {
        io::ErrorKind::NotFound => {
            CliError::invalid(format!("lstat {source}: no such file or directory"))
        }
        _ => CliError::file(format!("read {source}"), e),
    }
}

/// Name of a local path, also for `.` and `dir/..`.
fn own_name(path: &Path) -> Result<String, CliError> {
    if let Some(name) = path.file_name() {
        return Ok(name.to_string_lossy().into_owned());
    }
    let absolute = fs::canonicalize(path)
        .map_err(|e| CliError::file(format!("find {}", path.display()), e))?;
    Ok(absolute.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

fn size_of(path: &Path, follow: bool) -> u64 {
    let meta = if follow { fs::metadata(path) } else { fs::symlink_metadata(path) };
    let Ok(meta) = meta else { return 0 };
    if !meta.is_dir() {
        return meta.len();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size_of(&entry.path(), false)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colons_divide_container_and_path() {
        assert_eq!(divide("c:/x"), (Some("c"), "/x"));
        assert_eq!(divide("./c:x"), (None, "./c:x"));
        assert_eq!(divide("file"), (None, "file"));
    }

    #[test]
    fn endings_are_kept() {
        assert_eq!(absolute_in_container("a/../b/."), "/b/.");
        assert_eq!(absolute_in_container("b/"), "/b/");
        assert_eq!(absolute_in_container("/"), "/");
    }

    #[test]
    fn places() {
        let at = |dir, target, kind| place(dir, false, target, kind).map_err(|e| e.to_string());
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(at(false, "/d", Some(true)), pair("/d", ""));
        assert_eq!(at(false, "/d/f", Some(false)), pair("/d", "f"));
        assert_eq!(at(true, "/d/new", None), pair("/d", "new"));
        assert_eq!(at(true, "/new/", None), pair("/", "new"));
        assert!(at(true, "/f", Some(false)).is_err());
        assert!(at(false, "/d/new/", None).is_err());
    }

    #[test]
    fn links_are_joined() {
        assert_eq!(joined("/a/b", "c"), "/a/c");
        assert_eq!(joined("/a/b", "/c"), "/c");
    }
}

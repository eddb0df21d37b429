//! What a `COPY` or `ADD` takes: patterns to paths, a walk that leaves out what is ignored, and a
//! fingerprint of it all.
//!
//! Every path is resolved by file descriptor within its tree; links never lead out.

use std::io::Read;

use build::{error::WorkerError, worker::Fingerprint};
use dockerfile::ignore::{Matched, Patterns};
use model::Digest;
use sha2::{Digest as _, Sha256};
use sys::{
    dir::{Dir, Links},
    file::{self, FileKind, Stat},
};

use super::{fault, tree::Opened};

/// Files listed one by one in a fingerprint at most.
const FILES_KEPT: usize = 30_000;
/// Levels of folders at most.
const DEPTH_MAX: usize = 1024;

/// One thing that a pattern names.
#[derive(Debug)]
pub struct Named {
    /// Its path in the tree, without a leading slash.
    pub path: String,
    /// What it is; links followed.
    pub what: What,
}

/// A file or a folder.
#[derive(Debug)]
pub enum What {
    /// A folder, whose content is meant.
    Folder(Dir),
    /// Any other thing, by its folder and name.
    Entry(Dir, Vec<u8>, Stat),
}

impl Named {
    /// The last component.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

/// A thing met on a walk.
#[derive(Debug)]
pub struct Met<'a> {
    /// Its folder.
    pub dir: &'a Dir,
    /// Its name there.
    pub name: &'a [u8],
    /// Relative to where the walk began.
    pub path: &'a [u8],
    /// What it is.
    pub stat: Stat,
}

/// What is left out of a walk.
pub struct Filter<'a> {
    /// Of the tree: paths from its root.
    pub ignore: &'a Patterns,
    /// Of the step: paths from where the walk begins.
    pub exclude: &'a Patterns,
}

/// Path components, `.` and `..` resolved as at a root.
pub fn components(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

fn is_wild(part: &str) -> bool {
    part.contains(['*', '?', '[', '\\'])
}

/// What `pattern` names in `tree`, sorted. A name without a wildcard must be there.
pub fn named(tree: &Opened, pattern: &str) -> Result<Vec<Named>, WorkerError> {
    let parts = components(pattern);
    if !parts.iter().any(|part| is_wild(part)) {
        let path = parts.join("/");
        let missing = || {
            WorkerError::new(
                model::ErrorKind::NotFound,
                format!("{:?}: not found", format!("/{path}")),
            )
        };
        if !path.is_empty() && tree.ignore.ignores(&path) && !tree.ignore.may_return_below(&path) {
            return Err(missing());
        }
        let what = look(&tree.root, &path)?.ok_or_else(missing)?;
        return Ok(vec![Named { path, what }]);
    }
    let mut paths = Vec::new();
    expand(&tree.root, String::new(), &parts, &mut paths)?;
    paths.sort();
    paths.dedup();
    let mut all = Vec::new();
    for path in paths {
        if tree.ignore.ignores(&path) && !tree.ignore.may_return_below(&path) {
            continue;
        }
        if let Some(what) = look(&tree.root, &path)? {
            all.push(Named { path, what });
        }
    }
    Ok(all)
}

fn expand(
    root: &Dir,
    done: String,
    rest: &[&str],
    found: &mut Vec<String>,
) -> Result<(), WorkerError> {
    let Some((part, rest)) = rest.split_first() else {
        found.push(done);
        return Ok(());
    };
    let join = |name: &str| match done.is_empty() {
        true => name.to_owned(),
        false => format!("{done}/{name}"),
    };
    if !is_wild(part) {
        return expand(root, join(part), rest, found);
    }
    let Ok(dir) = root.resolve(done.as_bytes(), Links::InRoot) else { return Ok(()) };
    let matcher = Patterns::new([format!("./{part}").as_str()])
        .map_err(|error| fault::invalid(error.to_string()))?;
    let names = dir.names().map_err(fault::file("list", &done))?;
    let anything = *part == "**";
    if anything {
        expand(root, done.clone(), rest, found)?;
    }
    for name in names {
        let Ok(name) = std::str::from_utf8(&name) else { continue };
        if anything {
            let folder =
                dir.stat(name.as_bytes()).is_ok_and(|stat| stat.kind == FileKind::Directory);
            if folder {
                let mut again = vec!["**"];
                again.extend(rest);
                expand(root, join(name), &again, found)?;
            } else if rest.is_empty() {
                found.push(join(name));
            }
        } else if matcher.ignores(name) {
            expand(root, join(name), rest, found)?;
        }
    }
    Ok(())
}

/// What is at `path`, links followed within the tree; `None` when nothing is.
fn look(root: &Dir, path: &str) -> Result<Option<What>, WorkerError> {
    match root.resolve(path.as_bytes(), Links::InRoot) {
        Ok(dir) => return Ok(Some(What::Folder(dir))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {}
        Err(error) => return Err(fault::file("open", path)(error)),
    }
    let mut path = path.to_owned();
    for _ in 0..40 {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let dir = match root.resolve(parent.as_bytes(), Links::InRoot) {
            Ok(dir) => dir,
            Err(error) => return Err(fault::file("open", &path)(error)),
        };
        let stat = dir.stat(name.as_bytes()).map_err(fault::file("inspect", &path))?;
        if stat.kind != FileKind::Symlink {
            return Ok(Some(What::Entry(dir, name.as_bytes().to_vec(), stat)));
        }
        let target = dir.read_link(name.as_bytes()).map_err(fault::file("read", &path))?;
        let target = String::from_utf8_lossy(&target).into_owned();
        let joined = match target.starts_with('/') {
            true => target,
            false => format!("{parent}/{target}"),
        };
        path = components(&joined).join("/");
    }
    Err(fault::invalid(format!("{path}: too many levels of symbolic links")))
}

/// Visits everything in `dir` in the order of names, folders before their content. A folder that
/// is left out is visited all the same when something in it is not.
pub fn walk(
    dir: &Dir,
    start: &str,
    filter: &Filter<'_>,
    visit: &mut dyn FnMut(&Met<'_>) -> Result<(), WorkerError>,
) -> Result<(), WorkerError> {
    let mut walk = Walk { filter, visit, pending: Vec::new() };
    let mut ignored = Matched::default();
    for (end, _) in start.match_indices('/').chain([(start.len(), "")]) {
        if end > 0 {
            ignored = filter.ignore.ignores_below(&start[..end], &ignored).1;
        }
    }
    let place = Place { tree: start.to_owned(), ignored, excluded: Matched::default() };
    walk.folder(dir, &mut Vec::new(), &place, 0)
}

struct Walk<'a, 'f> {
    filter: &'a Filter<'f>,
    visit: &'a mut dyn FnMut(&Met<'_>) -> Result<(), WorkerError>,
    /// Left-out folders on the way here that nobody has visited: folder, name, path, stat.
    pending: Vec<(Dir, Vec<u8>, Vec<u8>, Stat)>,
}

struct Place {
    tree: String,
    ignored: Matched,
    excluded: Matched,
}

impl Walk<'_, '_> {
    fn folder(
        &mut self,
        dir: &Dir,
        path: &mut Vec<u8>,
        place: &Place,
        depth: usize,
    ) -> Result<(), WorkerError> {
        if depth > DEPTH_MAX {
            return Err(fault::invalid("folders are nested too deeply"));
        }
        let shown = String::from_utf8_lossy(path).into_owned();
        for name in dir.names().map_err(fault::file("list", &shown))? {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend(&name);
            self.entry(dir, &name, path, place, depth)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: &Dir,
        name: &[u8],
        path: &mut Vec<u8>,
        place: &Place,
        depth: usize,
    ) -> Result<(), WorkerError> {
        let shown = String::from_utf8_lossy(path).into_owned();
        let in_tree = match place.tree.is_empty() {
            true => String::from_utf8_lossy(name).into_owned(),
            false => format!("{}/{}", place.tree, String::from_utf8_lossy(name)),
        };
        let (ignore, exclude) = (self.filter.ignore, self.filter.exclude);
        let (left_out, ignored) = ignore.ignores_below(&in_tree, &place.ignored);
        let (shut_out, excluded) = exclude.ignores_below(&shown, &place.excluded);
        let stat = dir.stat(name).map_err(fault::file("inspect", &shown))?;
        let out = left_out || shut_out;
        if stat.kind != FileKind::Directory {
            if out {
                return Ok(());
            }
            self.visit_pending()?;
            return (self.visit)(&Met { dir, name, path, stat });
        }
        let may_return = (!left_out || ignore.may_return_below(&in_tree))
            && (!shut_out || exclude.may_return_below(&shown));
        if out && !may_return {
            return Ok(());
        }
        let kept = self.pending.len();
        if out {
            let dir = dir.try_clone().map_err(fault::file("open", &shown))?;
            self.pending.push((dir, name.to_vec(), path.clone(), stat));
        } else {
            self.visit_pending()?;
            (self.visit)(&Met { dir, name, path, stat })?;
        }
        let inner = dir.open_dir(name).map_err(fault::file("open", &shown))?;
        let below = Place { tree: in_tree, ignored, excluded };
        self.folder(&inner, path, &below, depth + 1)?;
        self.pending.truncate(kept);
        Ok(())
    }

    fn visit_pending(&mut self) -> Result<(), WorkerError> {
        for (dir, name, path, stat) in std::mem::take(&mut self.pending) {
            (self.visit)(&Met { dir: &dir, name: &name, path: &path, stat })?;
        }
        Ok(())
    }
}

/// A hash of everything that matters of what is named: names, kinds, modes, owners where they
/// mean something, link targets, content. No times.
pub struct Hasher {
    whole: Sha256,
    files: Vec<(String, String)>,
    owners: bool,
}

impl Hasher {
    /// Nothing yet.
    pub fn new(owners: bool) -> Self {
        Self { whole: Sha256::new(), files: Vec::new(), owners }
    }

    /// Adds what a pattern named.
    pub fn add(
        &mut self,
        tree: &Opened,
        named: &Named,
        exclude: &Patterns,
    ) -> Result<(), WorkerError> {
        match &named.what {
            What::Entry(dir, name, stat) => {
                if exclude.ignores(named.name()) {
                    return Ok(());
                }
                let path = named.name().to_owned();
                self.met(&Met { dir, name, path: path.as_bytes(), stat: *stat }, "")
            }
            What::Folder(dir) => {
                self.whole.update(format!("folder {:o}\0", mode_of(dir)?.mode));
                let filter = Filter { ignore: &tree.ignore, exclude };
                let start = named.path.clone();
                walk(dir, &start, &filter, &mut |met| self.met(met, &start))
            }
        }
    }

    fn met(&mut self, met: &Met<'_>, start: &str) -> Result<(), WorkerError> {
        let shown = String::from_utf8_lossy(met.path);
        let mut entry = Sha256::new();
        let kind = match met.stat.kind {
            FileKind::Directory => "folder",
            FileKind::Regular => "file",
            FileKind::Symlink => "link",
            FileKind::Fifo => "pipe",
            FileKind::Character => "character",
            FileKind::Block => "block",
            _ => return Ok(()),
        };
        entry.update(format!("{kind} {:o} ", met.stat.mode));
        if self.owners {
            entry.update(format!("{}:{} ", met.stat.uid, met.stat.gid));
        }
        match met.stat.kind {
            FileKind::Regular => {
                let file = met.dir.open_file(met.name).map_err(fault::file("open", &shown))?;
                hash_content(&mut entry, file).map_err(fault::file("read", &shown))?;
            }
            FileKind::Symlink => {
                let target = met.dir.read_link(met.name).map_err(fault::file("read", &shown))?;
                entry.update(target);
            }
            FileKind::Character | FileKind::Block => {
                entry.update(format!("{} {}", met.stat.major, met.stat.minor));
            }
            _ => {}
        }
        let digest: [u8; 32] = entry.finalize().into();
        self.whole.update((met.path.len() as u64).to_be_bytes());
        self.whole.update(met.path);
        self.whole.update(digest);
        if met.stat.kind != FileKind::Directory && self.files.len() < FILES_KEPT {
            let path = match start.is_empty() {
                true => shown.into_owned(),
                false => format!("{start}/{shown}"),
            };
            self.files.push((path, Digest::from_sha256(digest).short().to_owned()));
        }
        Ok(())
    }

    /// Adds anything else.
    pub fn update(&mut self, bytes: &[u8]) {
        self.whole.update((bytes.len() as u64).to_be_bytes());
        self.whole.update(bytes);
    }

    /// The fingerprint.
    pub fn finish(self) -> Fingerprint {
        let digest = Digest::from_sha256(self.whole.finalize().into());
        Fingerprint { digest, files: self.files }
    }
}

fn hash_content(hasher: &mut Sha256, mut file: std::fs::File) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The mode of an open folder.
pub fn mode_of(dir: &Dir) -> Result<Stat, WorkerError> {
    file::stat(dir).map_err(fault::file("inspect", "a folder"))
}

//! Writing what a `COPY` or `ADD` takes into the root that is built.
//!
//! The destination is resolved by file descriptor within the root, links included. Rules, as
//! BuildKit's: a folder gives its content; a file goes into the destination where that ends in a
//! slash or is a folder, else it becomes the destination.

use std::{
    collections::HashMap,
    io::{BufReader, Write},
};

use build::{error::WorkerError, graph::CopyStep};
use dockerfile::ignore::Patterns;
use store::archive::{self, ExtractOptions, Limits, Whiteouts};
use sys::{
    dir::{Dir, Links, Node},
    file::{self, FileKind, Stat, Time},
};

use super::{
    fault,
    select::{self, Filter, Met, Named, What},
    tree::Opened,
};

/// Extended attributes that belong to content.
const CAPABILITY: &[u8] = b"security.capability";

/// Writes to one root.
pub struct Writer<'a> {
    root: &'a Dir,
    step: &'a CopyStep,
    /// What `--chown` says.
    owner: Option<(u32, u32)>,
    exclude: Patterns,
    /// Files with several names: where the first was written.
    links: HashMap<(u64, u64), (Dir, Vec<u8>)>,
    time: Time,
}

impl<'a> Writer<'a> {
    /// A writer for a step; `time` is that of folders made on the way.
    pub fn new(
        root: &'a Dir,
        step: &'a CopyStep,
        owner: Option<(u32, u32)>,
        epoch: i64,
    ) -> Result<Self, WorkerError> {
        let exclude = Patterns::new(step.exclude.iter().map(String::as_str))
            .map_err(|error| fault::invalid(error.to_string()))?;
        let time = Time { seconds: epoch, ..Time::default() };
        Ok(Self { root, step, owner, exclude, links: HashMap::new(), time })
    }

    /// Copies what `pattern` named in `tree`.
    pub fn tree(
        &mut self,
        tree: &Opened,
        pattern: &str,
        all: &[Named],
        unpack: bool,
    ) -> Result<(), WorkerError> {
        let destination = self.step.destination.clone();
        if all.len() > 1 && !destination.ends_with('/') && !self.is_folder(&destination) {
            return Err(fault::invalid(
                "When using COPY with more than one source file, the destination must be a directory and end with a /",
            ));
        }
        for named in all {
            if self.step.parents {
                self.with_parents(tree, pattern, named)?;
                continue;
            }
            match &named.what {
                What::Folder(dir) => {
                    let target = self.folder(&destination, Some(select::mode_of(dir)?), tree)?;
                    self.content(tree, dir, &named.path, &target)?;
                }
                What::Entry(dir, name, stat) => {
                    if self.exclude.ignores(named.name()) {
                        continue;
                    }
                    if unpack
                        && stat.kind == FileKind::Regular
                        && self.unpack(dir, name, &destination)?
                    {
                        continue;
                    }
                    let (target, new_name) = self.file_place(&destination, named.name())?;
                    let met = Met { dir, name, path: named.path.as_bytes(), stat: *stat };
                    self.put(tree.owners, &met, &target, new_name.as_bytes())?;
                }
            }
        }
        Ok(())
    }

    /// Writes a file with this content.
    pub fn inline(&mut self, name: &str, content: &[u8], mode: u32) -> Result<(), WorkerError> {
        let destination = self.step.destination.clone();
        let (target, name) = self.file_place(&destination, name)?;
        let bytes = name.as_bytes();
        self.clear(&target, bytes)?;
        let shown = &name;
        let mut file = target.create_file(bytes, 0o600).map_err(fault::file("create", shown))?;
        file.write_all(content).map_err(fault::file("write", shown))?;
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        file::set_owner(&file, uid, gid).map_err(fault::file("own", shown))?;
        let mode = self.step.mode.as_ref().map_or(mode, |change| change.apply(mode, false));
        file::set_mode(&file, mode).map_err(fault::file("protect", shown))?;
        file::set_times(&file, self.time).map_err(fault::file("date", shown))
    }

    /// Makes the destination itself, a folder.
    pub fn make_folder(&self) -> Result<(), WorkerError> {
        self.made(&self.step.destination).map(drop)
    }

    fn is_folder(&self, path: &str) -> bool {
        let path = select::components(path).join("/");
        self.root.resolve(path.as_bytes(), Links::InRoot).is_ok()
    }

    /// Where a file called `name` goes: its folder, made if need be, and its name there.
    fn file_place(&self, destination: &str, name: &str) -> Result<(Dir, String), WorkerError> {
        if destination.ends_with('/') || self.is_folder(destination) {
            return Ok((self.made(destination)?.0, name.to_owned()));
        }
        let (parent, last) = destination.rsplit_once('/').unwrap_or(("", destination));
        Ok((self.made(parent)?.0, last.to_owned()))
    }

    /// The folder at `path`. One that isn't there is made, and takes the mode of its source.
    fn folder(&self, path: &str, like: Option<Stat>, tree: &Opened) -> Result<Dir, WorkerError> {
        let (dir, made) = self.made(path)?;
        if made && let Some(stat) = like {
            self.dress(&dir, &stat, tree.owners, true, path)?;
        }
        Ok(dir)
    }

    /// The folder at `path`, and whether it had to be made. Folders on the way belong to whom
    /// `--chown` says.
    fn made(&self, path: &str) -> Result<(Dir, bool), WorkerError> {
        let parts = select::components(path);
        let whole = parts.join("/");
        if let Ok(dir) = self.root.resolve(whole.as_bytes(), Links::InRoot) {
            return Ok((dir, false));
        }
        let mut at = self.root.try_clone().map_err(fault::file("open", "/"))?;
        let mut walked = String::new();
        let mut made = false;
        for part in parts {
            walked = format!("{walked}/{part}");
            let found = self.root.resolve(&walked.as_bytes()[1..], Links::InRoot);
            at = match found {
                Ok(dir) => dir,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    made = true;
                    at.make_dir(part.as_bytes(), 0o755).map_err(fault::file("create", &walked))?;
                    let dir = at.open_dir(part.as_bytes()).map_err(fault::file("open", &walked))?;
                    let (uid, gid) = self.owner.unwrap_or((0, 0));
                    file::set_owner(&dir, uid, gid).map_err(fault::file("own", &walked))?;
                    file::set_mode(&dir, 0o755).map_err(fault::file("protect", &walked))?;
                    file::set_times(&dir, self.time).map_err(fault::file("date", &walked))?;
                    dir
                }
                Err(error) => return Err(fault::file("create", &walked)(error)),
            };
        }
        Ok((at, made))
    }

    /// Copies the content of a folder.
    fn content(
        &mut self,
        tree: &Opened,
        source: &Dir,
        start: &str,
        target: &Dir,
    ) -> Result<(), WorkerError> {
        let exclude = self.exclude.clone();
        let filter = Filter { ignore: &tree.ignore, exclude: &exclude };
        // Times and modes of folders come last: what is put into them changes the former, and the
        // latter might forbid it.
        let mut folders: Vec<(Dir, Stat, Dir, String)> = Vec::new();
        select::walk(source, start, &filter, &mut |met| {
            let (parent, name) = split(met.path);
            let into = target
                .resolve(parent, Links::Refuse)
                .map_err(fault::file("open", String::from_utf8_lossy(met.path)))?;
            if met.stat.kind != FileKind::Directory {
                return self.put(tree.owners, met, &into, name);
            }
            let shown = String::from_utf8_lossy(met.path).into_owned();
            match into.stat(name) {
                Ok(stat) if stat.kind == FileKind::Directory => {}
                Ok(_) => {
                    return Err(fault::invalid(format!("cannot copy to non-directory: {shown}")));
                }
                Err(_) => into.make_dir(name, 0o700).map_err(fault::file("create", &shown))?,
            }
            let made = into.open_dir(name).map_err(fault::file("open", &shown))?;
            let from = met.dir.open_dir(met.name).map_err(fault::file("open", &shown))?;
            folders.push((made, met.stat, from, shown));
            Ok(())
        })?;
        for (made, stat, _, shown) in folders.iter().rev() {
            self.dress(made, stat, tree.owners, true, shown)?;
        }
        Ok(())
    }

    /// `--parents`: the path of the source goes on below the destination, after `/./` if that is
    /// in the pattern.
    fn with_parents(
        &mut self,
        tree: &Opened,
        pattern: &str,
        named: &Named,
    ) -> Result<(), WorkerError> {
        let skipped =
            pattern.split_once("/./").map_or(0, |(before, _)| select::components(before).len());
        let parts: Vec<&str> = named.path.split('/').skip(skipped).collect();
        let (last, parents) = match &named.what {
            What::Folder(_) => (None, parts.as_slice()),
            What::Entry(..) => {
                let (last, parents) =
                    parts.split_last().map_or((None, &[][..]), |(l, p)| (Some(*l), p));
                (last, parents)
            }
        };
        let base = self.step.destination.trim_end_matches('/').to_owned();
        let mut walked = base.clone();
        let mut source: Vec<&str> = named.path.split('/').take(skipped).collect();
        for part in parents {
            walked = format!("{walked}/{part}");
            source.push(part);
            let like = tree.root.resolve(source.join("/").as_bytes(), Links::InRoot);
            let like = like.ok().map(|dir| select::mode_of(&dir)).transpose()?;
            self.folder(&walked, like, tree)?;
        }
        let target = self.made(&format!("{walked}/"))?.0;
        match (&named.what, last) {
            (What::Folder(dir), _) => self.content(tree, dir, &named.path, &target),
            (What::Entry(dir, name, stat), last) => {
                let met = Met { dir, name, path: named.path.as_bytes(), stat: *stat };
                self.put(tree.owners, &met, &target, last.unwrap_or_default().as_bytes())
            }
        }
    }

    /// Takes away what is in a file's place; a folder there is an error.
    fn clear(&self, target: &Dir, name: &[u8]) -> Result<(), WorkerError> {
        let shown = String::from_utf8_lossy(name);
        match target.stat(name) {
            Ok(stat) if stat.kind == FileKind::Directory => {
                Err(fault::invalid(format!("cannot replace directory {shown} with a file")))
            }
            Ok(_) => target.unlink(name).map_err(fault::file("replace", shown)),
            Err(_) => Ok(()),
        }
    }

    /// Copies one thing that is no folder.
    fn put(
        &mut self,
        owners: bool,
        met: &Met<'_>,
        target: &Dir,
        name: &[u8],
    ) -> Result<(), WorkerError> {
        let shown = String::from_utf8_lossy(met.path).into_owned();
        let key = (met.stat.device, met.stat.inode);
        let several = owners && met.stat.links > 1 && met.stat.kind == FileKind::Regular;
        self.clear(target, name)?;
        if several && let Some((dir, first)) = self.links.get(&key) {
            return target.link(dir, first, name).map_err(fault::file("link", &shown));
        }
        let node = match met.stat.kind {
            FileKind::Regular => {
                let mut from = met.dir.open_file(met.name).map_err(fault::file("open", &shown))?;
                let mut to =
                    target.create_file(name, 0o600).map_err(fault::file("create", &shown))?;
                std::io::copy(&mut from, &mut to).map_err(fault::file("copy", &shown))?;
                self.dress(&to, &met.stat, owners, false, &shown)?;
                if let Ok(Some(value)) = file::xattr(&from, CAPABILITY) {
                    file::set_xattr(&to, CAPABILITY, &value)
                        .map_err(fault::file("copy the capabilities of", &shown))?;
                }
                if several {
                    let dir = target.try_clone().map_err(fault::file("open", &shown))?;
                    self.links.insert(key, (dir, name.to_vec()));
                }
                return Ok(());
            }
            FileKind::Symlink => {
                let to = met.dir.read_link(met.name).map_err(fault::file("read", &shown))?;
                target.make_symlink(&to, name).map_err(fault::file("create", &shown))?;
                None
            }
            FileKind::Fifo => Some(Node::Fifo),
            FileKind::Character => {
                Some(Node::Character { major: met.stat.major, minor: met.stat.minor })
            }
            FileKind::Block => Some(Node::Block { major: met.stat.major, minor: met.stat.minor }),
            // A socket has no meaning without its process.
            _ => return Ok(()),
        };
        if let Some(node) = node {
            target.make_node(name, node, met.stat.mode).map_err(fault::file("create", &shown))?;
        }
        let (uid, gid) = self.owner_of(&met.stat, owners);
        target.set_owner(name, uid, gid).map_err(fault::file("own", &shown))?;
        target.set_times(name, met.stat.modified).map_err(fault::file("date", &shown))
    }

    fn owner_of(&self, stat: &Stat, owners: bool) -> (u32, u32) {
        let own = if owners { (stat.uid, stat.gid) } else { (0, 0) };
        self.owner.unwrap_or(own)
    }

    /// Owner, mode and time of a file or folder.
    fn dress(
        &self,
        fd: impl std::os::fd::AsFd,
        stat: &Stat,
        owners: bool,
        folder: bool,
        shown: &str,
    ) -> Result<(), WorkerError> {
        let (uid, gid) = self.owner_of(stat, owners);
        let mode =
            self.step.mode.as_ref().map_or(stat.mode, |change| change.apply(stat.mode, folder));
        file::set_owner(&fd, uid, gid).map_err(fault::file("own", shown))?;
        file::set_mode(&fd, mode).map_err(fault::file("protect", shown))?;
        file::set_times(&fd, stat.modified).map_err(fault::file("date", shown))
    }

    /// Unpacks an archive into the destination; false when it is none.
    fn unpack(&self, dir: &Dir, name: &[u8], destination: &str) -> Result<bool, WorkerError> {
        let shown = String::from_utf8_lossy(name).into_owned();
        let open = || dir.open_file(name).map_err(fault::file("open", &shown));
        if !is_archive(open()?, &shown)? {
            return Ok(false);
        }
        let target = self.made(destination)?.0;
        let plain = archive::decoder(BufReader::new(open()?)).map_err(fault::archive(&shown))?;
        let options = ExtractOptions {
            whiteouts: Whiteouts::Plain,
            owner: self.owner,
            keep_kinds: false,
            limits: Limits::default(),
        };
        archive::extract(target, BufReader::with_capacity(256 * 1024, plain), options)
            .map_err(fault::archive(&shown))?;
        Ok(true)
    }
}

/// Whether a file is an archive that can be unpacked: a first entry can be read. Compressions that
/// this engine doesn't have are an error, for the file would silently stay packed.
pub fn is_archive(mut file: std::fs::File, shown: &str) -> Result<bool, WorkerError> {
    use std::io::{Read, Seek};
    let mut start = [0; 6];
    let count = file.read(&mut start).map_err(fault::file("read", shown))?;
    if let archive::Sniffed::Unsupported(kind) = archive::sniff(&start[..count]) {
        return Err(WorkerError::new(
            model::ErrorKind::Unsupported,
            format!("{shown} is compressed with {kind}, which this engine can't unpack"),
        ));
    }
    file.rewind().map_err(fault::file("read", shown))?;
    let Ok(plain) = archive::decoder(BufReader::new(file)) else { return Ok(false) };
    let mut reader = archive::Reader::new(BufReader::new(plain), Limits::default());
    Ok(matches!(reader.next_entry(), Ok(Some(_))))
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

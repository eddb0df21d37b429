//! Build contexts: a client's files in a directory of their own, and what is ignored of them.

use std::{
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use dockerfile::ignore::Patterns;
use store::archive::{self, ExtractOptions, Limits, Whiteouts};
use sys::dir::{Dir, Links};

use build::error::WorkerError;

use super::{
    area::{Area, Work},
    remote::{self, Repository},
};
use crate::{Error, Result, error::Cause};

/// Bytes of a Dockerfile or ignore file at most.
const TEXT_MAX: u64 = 4 * 1024 * 1024;

/// A client's files.
#[derive(Debug)]
pub struct Context {
    _work: Work,
    /// Where its root is: below the work directory for a part of a repository.
    path: PathBuf,
    dir: Dir,
    ignore: Patterns,
}

impl Context {
    /// No files yet.
    pub(crate) fn empty(area: &Area) -> Result<Self> {
        let work = area.work()?;
        let dir = Dir::open(work.path()).map_err(|source| Error::File {
            action: "open",
            path: work.path().display().to_string(),
            source,
        })?;
        Ok(Self { path: work.path().to_owned(), _work: work, dir, ignore: Patterns::default() })
    }

    /// The files of a git repository (`url#ref:subdir`), or of a URL: an archive, or a Dockerfile.
    pub(crate) async fn remote(area: &Area, url: &str) -> Result<Self> {
        let context = Self::empty(area)?;
        let fault = |error: WorkerError| {
            super::failed("fetch", "the build context", Cause::new(error.kind, error))
        };
        if remote::is_git(url) {
            let repository = Repository::parse(url).map_err(fault)?;
            repository.clone_into(&context.path, None, false).await.map_err(fault)?;
            return context.narrowed(repository.subdir());
        }
        let fetched = area.work()?;
        remote::download(url, fetched.path(), "file", None).await.map_err(fault)?;
        let path = fetched.path().join("file");
        crate::blocking::spawn(move || {
            let _fetched = fetched;
            let open = || {
                std::fs::File::open(&path).map_err(|source| Error::File {
                    action: "open",
                    path: path.display().to_string(),
                    source,
                })
            };
            if super::copy::is_archive(open()?, "the build context").map_err(fault)? {
                context.unpack(open()?)?;
                return Ok(context);
            }
            let mut text = Vec::new();
            let read = open()?.take(TEXT_MAX).read_to_end(&mut text);
            read.map_err(|source| Error::File {
                action: "read",
                path: path.display().to_string(),
                source,
            })?;
            context.put("Dockerfile", &text)?;
            Ok(context)
        })
        .await
    }

    /// The same with a folder of it as its root; a link can't lead out.
    fn narrowed(mut self, folder: &str) -> Result<Self> {
        if folder.is_empty() {
            return Ok(self);
        }
        let fault = |source| Error::File { action: "open", path: folder.to_owned(), source };
        self.dir = self.dir.resolve(folder.as_bytes(), Links::InRoot).map_err(fault)?;
        self.path = super::run::path_of(&self.dir).map_err(fault)?;
        Ok(self)
    }

    /// Unpacks an archive, plain or compressed. Files get root as their owner, as Docker's have.
    /// Blocks.
    ///
    /// # Errors
    /// What is wrong with the archive; the disk's.
    pub fn unpack(&self, source: impl Read + Send) -> Result<()> {
        let fault = |error: archive::ArchiveError| {
            super::failed("unpack", "the build context", Cause::new(error.kind(), error))
        };
        let plain = archive::decoder(BufReader::new(source)).map_err(fault)?;
        let dir = self.dir.try_clone().map_err(|source| Error::File {
            action: "open",
            path: "the build context".to_owned(),
            source,
        })?;
        let options = ExtractOptions {
            whiteouts: Whiteouts::Plain,
            owner: Some((0, 0)),
            keep_kinds: false,
            limits: Limits::default(),
        };
        archive::extract(dir, BufReader::with_capacity(256 * 1024, plain), options)
            .map(drop)
            .map_err(fault)
    }

    /// A text file of it; `None` when there is none. Links are followed within the context.
    ///
    /// # Errors
    /// A file that is no text or too large; the disk's.
    pub fn text(&self, path: &str) -> Result<Option<String>> {
        let clean: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let shown = || format!("{path} of the build context");
        let file = match self.dir.resolve_file(clean.join("/").as_bytes(), Links::InRoot) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::File { action: "read", path: shown(), source }),
        };
        let fault = |source| Error::File { action: "read", path: shown(), source };
        if !file.metadata().map_err(fault)?.is_file() {
            return Err(Error::Invalid(format!("{path} is no file")));
        }
        let mut bytes = Vec::new();
        file.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
        if bytes.len() as u64 > TEXT_MAX {
            return Err(Error::Invalid(format!("{path} is larger than {TEXT_MAX} bytes")));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Error::Invalid(format!("{path} is no UTF-8 text")))
    }

    /// Writes a file of the engine's making, such as a Dockerfile that came beside.
    ///
    /// # Errors
    /// The disk's; `name` is one component.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        use std::io::Write;
        let fault = |source| Error::File { action: "write", path: name.to_owned(), source };
        let made = self.dir.create_file(name.as_bytes(), 0o644);
        made.and_then(|mut file| file.write_all(content)).map_err(fault)
    }

    /// Leaves out what the text of an ignore file says.
    ///
    /// # Errors
    /// A pattern that can't be read.
    pub fn ignore(&mut self, text: &str) -> Result<()> {
        self.ignore = Patterns::from_file(text)
            .map_err(|error| Error::Invalid(format!(".dockerignore: {error}")))?;
        Ok(())
    }

    /// Its directory.
    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Its directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is left out.
    pub(crate) fn ignored(&self) -> &Patterns {
        &self.ignore
    }
}

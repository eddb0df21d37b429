//! Sources from elsewhere: files by URL, git repositories.
//!
//! git runs as a program with a fixed command line (`--` before anything a client wrote, only
//! known protocols, no hooks, no helpers, no user's configuration), and what it made is read by
//! file descriptor like any other tree (security tests E6).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use build::{error::WorkerError, worker::Ready};
use model::{Digest, ErrorKind, digest::Algorithm};
use registry::{Client, Hosts};
use tokio::process::Command;

use super::{area::Area, area::Work, fault};

/// Bytes of one download at most.
const DOWNLOAD_MAX: u64 = 16 << 30;
/// A clone may take so long.
const GIT_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Something that was fetched, in a directory of its own.
#[derive(Debug)]
pub struct Fetched {
    work: Work,
    /// The file in it; `None`: all of it (a clone).
    name: Option<String>,
    subdir: String,
    /// Unpack it when it is an archive.
    pub unpack: bool,
}

impl Fetched {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.work.path()
    }

    /// What of it is meant.
    pub fn pattern(&self) -> String {
        match &self.name {
            // A name is a text of the server's: no wildcards.
            Some(name) => name.chars().fold(String::new(), |mut text, c| {
                if "*?[\\".contains(c) {
                    text.push('\\');
                }
                text.push(c);
                text
            }),
            None => format!("/{}", self.subdir),
        }
    }
}

/// Fetches a URL or a repository.
pub async fn fetch(area: &Area, source: &Ready) -> Result<Fetched, WorkerError> {
    let work = area.work().map_err(fault::engine)?;
    match source {
        Ready::Url { url, checksum, unpack } => {
            let name = file_name(url)?;
            download(url, work.path(), &name, checksum.as_deref()).await?;
            Ok(Fetched { work, name: Some(name), subdir: String::new(), unpack: *unpack })
        }
        Ready::Git { url, checksum, keep_git_dir } => {
            let wanted = Repository::parse(url)?;
            wanted.clone_into(work.path(), checksum.as_deref(), *keep_git_dir).await?;
            Ok(Fetched { work, name: None, subdir: wanted.subdir, unpack: false })
        }
        Ready::Files { .. } | Ready::Inline { .. } => {
            Err(fault::invalid("a local source needs no fetching"))
        }
    }
}

/// Whether a context's URL is that of a repository, as Docker tells.
pub fn is_git(url: &str) -> bool {
    let path = url.split('#').next().unwrap_or(url);
    let http = url.starts_with("http://") || url.starts_with("https://");
    url.starts_with("git@")
        || url.starts_with("git://")
        || url.starts_with("ssh://")
        || url.starts_with("github.com/")
        || http && path.ends_with(".git")
}

/// The last component of a URL's path.
fn file_name(url: &str) -> Result<String, WorkerError> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let rest = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = rest.split_once('/').and_then(|(_, path)| path.rsplit('/').next()).unwrap_or("");
    if name.is_empty() || name == "." || name == ".." || name.contains('\0') {
        return Err(fault::invalid(format!("cannot determine filename for source {url}")));
    }
    Ok(name.to_owned())
}

/// Fetches a URL into a new file of a directory.
///
/// # Errors
/// The server's; another digest than asked for.
pub async fn download(
    url: &str,
    dir: &Path,
    name: &str,
    checksum: Option<&str>,
) -> Result<(), WorkerError> {
    let shown = without_secrets(url);
    let dir = sys::dir::Dir::open(dir).map_err(fault::file("open", &shown))?;
    let mut file =
        dir.create_file(name.as_bytes(), 0o600).map_err(fault::file("create", &shown))?;
    let wanted: Option<Digest> = match checksum {
        Some(text) => Some(
            text.parse()
                .map_err(|error| fault::invalid(format!("checksum of {shown}: {error}")))?,
        ),
        None => None,
    };
    let client = Client::new(Hosts::default());
    let done = client
        .download(url, DOWNLOAD_MAX, &mut file)
        .await
        .map_err(|error| WorkerError::new(error.kind(), crate::error::chain(&error)))?;
    if let Some(wanted) = wanted {
        let file = dir.open_file(name.as_bytes()).map_err(fault::file("open", &shown))?;
        let algorithm = wanted.algorithm();
        let found = fault::blocking(move || {
            digest(file, algorithm).map_err(fault::file("read", "a download"))
        })
        .await?;
        if found != wanted {
            return Err(fault::invalid(format!(
                "digest mismatch {found}: {wanted} was asked for of {shown}"
            )));
        }
    }
    let modified = done.last_modified.as_deref().and_then(http_date).unwrap_or(0);
    let time = sys::file::Time { seconds: modified, ..sys::file::Time::default() };
    sys::file::set_times(&file, time).map_err(fault::file("date", &shown))
}

fn digest(mut file: std::fs::File, algorithm: Algorithm) -> std::io::Result<Digest> {
    use sha2::Digest as _;
    use std::io::Read;
    let mut buffer = vec![0; 128 * 1024];
    let (mut short, mut long) = (sha2::Sha256::new(), sha2::Sha512::new());
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(match algorithm {
                Algorithm::Sha256 => Digest::from_sha256(short.finalize().into()),
                Algorithm::Sha512 => Digest::from_sha512(long.finalize().into()),
            });
        }
        match algorithm {
            Algorithm::Sha256 => short.update(&buffer[..count]),
            Algorithm::Sha512 => long.update(&buffer[..count]),
        }
    }
}

/// `Tue, 15 Nov 1994 12:45:26 GMT` → seconds since the epoch (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp().as_second())
}

/// A git repository as clients write it: `url[.git][#ref[:subdir]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    url: String,
    reference: String,
    subdir: String,
}

impl Repository {
    /// Reads one.
    ///
    /// # Errors
    /// Anything that git could take for an option or for a transport helper.
    pub fn parse(text: &str) -> Result<Self, WorkerError> {
        let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let fault = |what: &str| {
            Err(fault::invalid(format!("invalid git {what} in {:?}", without_secrets(text))))
        };
        let known = ["https://", "http://", "git://", "ssh://"].iter().any(|p| url.starts_with(p));
        // scp form: user@host:path, where host can't begin with a dash.
        let scp = url.split_once('@').is_some_and(|(user, rest)| {
            user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
                && !user.starts_with('-')
                && rest.contains(':')
                && !rest.starts_with('-')
        });
        let host_is_option = url.split_once("://").is_some_and(|(_, rest)| {
            rest.rsplit_once('@').map_or(rest, |(_, host)| host).starts_with('-')
        });
        let bad = |text: &str| text.chars().any(|c| c.is_control() || c == ' ');
        if !(known || scp) || host_is_option || url.contains("::") || bad(url) {
            return fault("url");
        }
        if reference.starts_with('-') || reference.contains("..") || bad(reference) {
            return fault("reference");
        }
        if subdir.split('/').any(|part| part == "..") || bad(subdir) {
            return fault("subdirectory");
        }
        Ok(Self {
            url: url.to_owned(),
            reference: reference.to_owned(),
            subdir: subdir.trim_matches('/').to_owned(),
        })
    }

    /// Puts the files of the reference into `dir`.
    ///
    /// # Errors
    /// What git says, without credentials.
    pub async fn clone_into(
        &self,
        dir: &Path,
        checksum: Option<&str>,
        keep_git_dir: bool,
    ) -> Result<(), WorkerError> {
        git(dir, &["init", "--quiet", "--initial-branch=main", "."]).await?;
        git(dir, &["remote", "add", "origin", "--", &self.url]).await?;
        let what = if self.reference.is_empty() { "HEAD" } else { &self.reference };
        let shallow = git(dir, &["fetch", "--quiet", "--depth=1", "origin", "--", what]).await;
        if shallow.is_err() {
            // A server that gives no single commit: everything, and then the commit by name.
            git(
                dir,
                &[
                    "fetch",
                    "--quiet",
                    "--tags",
                    "origin",
                    "--",
                    "+refs/heads/*:refs/remotes/origin/*",
                ],
            )
            .await?;
            let found = git(dir, &["rev-parse", "--verify", "--end-of-options", what]).await?;
            git(dir, &["update-ref", "FETCH_HEAD", found.trim()]).await?;
        }
        git(dir, &["checkout", "--quiet", "--detach", "FETCH_HEAD", "--"]).await?;
        if let Some(wanted) = checksum {
            let head = git(dir, &["rev-parse", "HEAD"]).await?;
            if wanted.len() < 7 || !head.trim().starts_with(wanted) {
                return Err(fault::invalid(format!(
                    "expected checksum to match {wanted}, got {}",
                    head.trim()
                )));
            }
        }
        if dir.join(".gitmodules").is_file() {
            git(dir, &["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"])
                .await?;
        }
        if !keep_git_dir {
            let open = sys::dir::Dir::open(dir).map_err(fault::file("open", "the clone"))?;
            open.remove_tree(b".git").map_err(fault::file("remove", ".git"))?;
        }
        Ok(())
    }

    /// The directory of the repository that is meant, empty for its root.
    pub fn subdir(&self) -> &str {
        &self.subdir
    }
}

/// Runs git; returns its output.
async fn git(dir: &Path, args: &[&str]) -> Result<String, WorkerError> {
    let mut command = Command::new("git");
    let home = PathBuf::from("/nonexistent");
    command
        .arg("-C")
        .arg(dir)
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never"])
        .args(["-c", "protocol.file.allow=never", "-c", "core.symlinks=true"])
        .args(["-c", "credential.helper=", "-c", "core.fsmonitor=false"])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", &home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "https:http:git:ssh")
        .env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let run = tokio::time::timeout(GIT_TIMEOUT, command.output());
    let output = match run.await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(WorkerError::new(
                ErrorKind::Unsupported,
                "git sources need the program git on the engine's host",
            ));
        }
        Ok(Err(error)) => return Err(fault::file("run", "git")(error)),
        Err(_) => return Err(WorkerError::new(ErrorKind::Unavailable, "git took too long")),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<String> = said.split_whitespace().map(without_secrets).collect();
    Err(fault::invalid(format!("git {}: {}", args[0], said.join(" "))))
}

/// A URL without its user part.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_could_misunderstand_is_refused() {
        for bad in [
            "--upload-pack=touch /x",
            "ext::sh -c x",
            "https://h/r.git#-x",
            "https://h/r.git#--upload-pack=x",
            "https://h/r.git#main:../..",
            "https://h/r.git#a..b",
            "ssh://-oProxyCommand=x/r",
            "git@-oProxyCommand=x:r",
            "file:///etc",
            "/etc",
            "https://h/a b.git",
        ] {
            assert!(Repository::parse(bad).is_err(), "{bad}");
        }
        let good = Repository::parse("https://h/r.git#v1:sub/dir").unwrap();
        assert_eq!((good.reference.as_str(), good.subdir()), ("v1", "sub/dir"));
        assert!(Repository::parse("git@github.com:a/b.git").is_ok());
    }

    #[test]
    fn names_come_from_paths() {
        assert_eq!(file_name("https://h/a/b.tgz?x=1").unwrap(), "b.tgz");
        for bad in ["https://h", "https://h/", "https://h/a/.."] {
            assert!(file_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn dates_read() {
        assert_eq!(http_date("Tue, 15 Nov 1994 12:45:26 GMT"), Some(784_903_526));
    }
}

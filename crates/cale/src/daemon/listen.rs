//! Sockets: made, inherited from systemd, accepted from.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use tokio::net::{TcpListener, UnixListener};

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Go on without it if the path is taken.
        optional: bool,
    },
    /// TCP.
    Tcp(SocketAddr),
    /// Sockets inherited from systemd.
    Inherited,
}

/// An address that can't be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It doesn't parse.
    #[error("invalid bind address ({0}): use unix://PATH, tcp://ADDRESS:PORT or fd://")]
    Syntax(String),
    /// Somebody listens there.
    #[error("another daemon listens on {0}")]
    Taken(Listen),
    /// The kernel refused.
    #[error("cannot listen on {at}")]
    Bind {
        /// Where.
        at: Listen,
        /// Why.
        source: io::Error,
    },
    /// systemd handed nothing over.
    #[error("no sockets found via socket activation: make sure the service was started by systemd")]
    NothingInherited,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path, .. } => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Inherited => f.write_str("fd://"),
        }
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let syntax = || ListenError::Syntax(text.to_owned());
        let (scheme, rest) = match text.split_once("://") {
            Some(parts) => parts,
            // `-H /path` and `-H 127.0.0.1:2375` are dockerd's short forms.
            None if text.starts_with('/') => ("unix", text),
            None if text.contains(':') => ("tcp", text),
            None => return Err(syntax()),
        };
        match scheme {
            "unix" => {
                let path = if rest.is_empty() { "/run/cale/cale.sock" } else { rest };
                if !path.starts_with('/') {
                    return Err(syntax());
                }
                Ok(Self::Unix { path: PathBuf::from(path), optional: false })
            }
            "tcp" => tcp(rest).map(Self::Tcp).ok_or_else(syntax),
            "fd" => Ok(Self::Inherited),
            _ => Err(syntax()),
        }
    }
}

/// `ADDRESS:PORT`, `:PORT`, `ADDRESS`; names other than localhost would need a resolver.
fn tcp(text: &str) -> Option<SocketAddr> {
    let text = text.trim_end_matches('/');
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(address, 2375));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "2375"));
    let address = match host {
        "" | "localhost" => IpAddr::from([127, 0, 0, 1]),
        "*" => IpAddr::from([0, 0, 0, 0]),
        _ => return None,
    };
    Some(SocketAddr::new(address, port.parse().ok()?))
}

/// A socket that is listened on.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket; its path is removed at the end.
    Unix(UnixListener, Option<PathBuf>),
    /// TCP.
    Tcp(TcpListener),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, Some(path)) = self {
            // Gone already is as good.
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// Opens every address; those that are optional and taken are left out.
pub fn open(listen: &[Listen], group: Option<&str>) -> Result<Vec<Listener>, ListenError> {
    let mut out = Vec::new();
    for at in listen {
        let bind = |source| ListenError::Bind { at: at.clone(), source };
        match at {
            Listen::Unix { path, optional } => match open_unix(at, path, group) {
                Ok(listener) => out.push(listener),
                Err(error) if *optional => {
                    tracing::info!(error = %engine::error::chain(&error), "not listening");
                }
                Err(error) => return Err(error),
            },
            Listen::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address).map_err(bind)?;
                listener.set_nonblocking(true).map_err(bind)?;
                out.push(Listener::Tcp(TcpListener::from_std(listener).map_err(bind)?));
            }
            Listen::Inherited => {
                let inherited = inherited().map_err(bind)?;
                if inherited.is_empty() {
                    return Err(ListenError::NothingInherited);
                }
                out.extend(inherited);
            }
        }
    }
    Ok(out)
}

fn open_unix(at: &Listen, path: &Path, group: Option<&str>) -> Result<Listener, ListenError> {
    let bind = |source| ListenError::Bind { at: at.clone(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(bind)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(bind(io::ErrorKind::AlreadyExists.into()));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(ListenError::Taken(at.clone()));
        }
        // Left over by a daemon that was killed.
        Ok(_) => std::fs::remove_file(path).map_err(bind)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(bind(error)),
    }
    let listener = UnixListener::bind(path).map_err(bind)?;
    let listener = Listener::Unix(listener, Some(path.to_owned()));
    // Until here the usual umask leaves others without write permission, so without entry.
    match group_id(group.unwrap_or("docker")) {
        Some(id) => std::os::unix::fs::chown(path, None, Some(id)).map_err(bind)?,
        None if group.is_some() => {
            tracing::warn!(group, "no such group: only root may use the socket");
        }
        None => {}
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(bind)?;
    Ok(listener)
}

/// A number, or a name in /etc/group.
fn group_id(name: &str) -> Option<u32> {
    if let Ok(id) = name.parse() {
        return Some(id);
    }
    let text = std::fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// The sockets that systemd opened for us (sd_listen_fds(3)).
fn inherited() -> io::Result<Vec<Listener>> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let mut out = Vec::new();
    for fd in sys::inherit::sockets(number("LISTEN_FDS").unwrap_or(0))? {
        out.push(match sys::inherit::is_unix(&fd)? {
            true => {
                let listener = std::os::unix::net::UnixListener::from(fd);
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?, None)
            }
            false => {
                let listener = std::net::TcpListener::from(fd);
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?)
            }
        });
    }
    Ok(out)
}

/// Whether accepting may go on after this error, and after how long.
///
/// Descriptors used up must not make the daemon spin: connections that live go on, new ones wait.
pub fn pause_after(error: &io::Error) -> Duration {
    match error.kind() {
        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => Duration::ZERO,
        _ => Duration::from_millis(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        text.parse::<Listen>().map_or_else(|e| format!("error: {e}"), |at| at.to_string())
    }

    #[test]
    fn addresses_parse_in_dockerds_forms() {
        assert_eq!(read("unix:///a/b"), "unix:///a/b");
        assert_eq!(read("/a/b"), "unix:///a/b");
        assert_eq!(read("unix://"), "unix:///run/cale/cale.sock");
        assert_eq!(read("tcp://127.0.0.1:99"), "tcp://127.0.0.1:99");
        assert_eq!(read("tcp://[::1]:99"), "tcp://[::1]:99");
        assert_eq!(read("tcp://:99"), "tcp://127.0.0.1:99");
        assert_eq!(read("127.0.0.1:99"), "tcp://127.0.0.1:99");
        assert_eq!(read("tcp://0.0.0.0"), "tcp://0.0.0.0:2375");
        assert_eq!(read("fd://"), "fd://");
        for bad in ["", "foo", "npipe:////x", "unix://rel", "tcp://name:1", "tcp://1.2.3.4:x"] {
            assert!(read(bad).starts_with("error: invalid bind address"), "{bad}");
        }
    }

    #[tokio::test]
    async fn stale_sockets_are_replaced_and_living_ones_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let at = [Listen::Unix { path: path.clone(), optional: false }];
        let first = open(&at, Some("0")).unwrap();
        assert_eq!(first.len(), 1);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        assert!(matches!(open(&at, None), Err(ListenError::Taken(_))));
        let optional = [Listen::Unix { path: path.clone(), optional: true }];
        assert!(open(&optional, None).unwrap().is_empty());
        drop(first);
        assert!(!path.exists());
    }
}

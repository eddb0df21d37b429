//! Which engine a command talks to: flags, environment, contexts, default sockets.

use std::path::{Path, PathBuf};

use super::config::ConfigFile;
use super::config::contexts::{self, ContextStore};
use super::env_vars::{self, value};
use super::error::CliError;

/// Our own engine's socket.
pub const OWN_SOCKET: &str = "/run/cale/cale.sock";
/// The socket that Docker's clients use.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// The global flags that choose the engine.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `-H`; the last one counts.
    pub host: String,
    /// `--context`.
    pub context: String,
    /// `--tls` or `--tlsverify`.
    pub tls: bool,
    /// `--tlsverify`.
    pub verify: bool,
    /// `--tlscacert`, `--tlscert`, `--tlskey`; empty for the defaults.
    pub files: [String; 3],
}

/// TLS files of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Certificate authority; `None` for the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the engine's certificate is checked.
    pub verify: bool,
}

/// How the engine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Unix socket.
    Unix(PathBuf),
    /// TCP, with or without TLS.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS settings, if any.
        tls: Option<Tls>,
        /// Path in front of every request.
        base: String,
    },
    /// `docker system dial-stdio` on another machine.
    Ssh {
        /// Arguments of `ssh`: options and destination.
        destination: Vec<String>,
        /// Path of the socket there, if not its default.
        socket: String,
    },
}

/// The engine that a command talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the context it came from.
    pub context: String,
    /// Address as a user would type it.
    pub host: String,
    /// How it is reached.
    pub transport: Transport,
    /// Whether nobody named it: then an engine may be started for it.
    pub is_default: bool,
}

/// Name of the context that is in effect.
pub fn context_name(choice: &Choice, config: &ConfigFile) -> String {
    if !choice.context.is_empty() {
        return choice.context.clone();
    }
    if !choice.host.is_empty() || host_variable().is_some() {
        return contexts::DEFAULT.to_owned();
    }
    if let Some(name) = value(env_vars::DOCKER_CONTEXT) {
        return name;
    }
    match config.text("currentContext") {
        "" => contexts::DEFAULT.to_owned(),
        name => name.to_owned(),
    }
}

fn host_variable() -> Option<String> {
    value(env_vars::CALE_HOST).or_else(|| value(env_vars::DOCKER_HOST))
}

/// Finds the engine.
///
/// # Errors
/// [`CliError::Invalid`] for an unknown context or a wrong address.
pub fn resolve(choice: &Choice, config: &ConfigFile) -> Result<Endpoint, CliError> {
    if !choice.host.is_empty() && !choice.context.is_empty() {
        return Err(CliError::invalid(
            "conflicting options: cannot specify both --host and --context",
        ));
    }
    let context = context_name(choice, config);
    if context != contexts::DEFAULT {
        let store = ContextStore::new(config.dir());
        let stored = store.load(&context)?;
        let tls = context_tls(&store.tls_dir(&context).join("docker"), !stored.skip_tls_verify);
        if !stored.host.is_empty() {
            return parse(&stored.host, tls, &context);
        }
    }
    let typed = if choice.host.is_empty() { host_variable() } else { Some(choice.host.clone()) };
    match typed {
        Some(host) => parse(&host, environment_tls(choice, config), &context),
        None => Ok(default_endpoint(&context)),
    }
}

/// Where an engine is looked for when nobody says: our own socket, then Docker's.
fn default_endpoint(context: &str) -> Endpoint {
    let own = value(env_vars::XDG_RUNTIME_DIR)
        .map(|dir| Path::new(&dir).join("cale/cale.sock"))
        .filter(|path| path.exists() && !rustix::process::geteuid().is_root())
        .unwrap_or_else(|| PathBuf::from(OWN_SOCKET));
    // A connection attempt costs some microseconds, and a file that nobody listens on is common
    // after a crash.
    let answers = std::os::unix::net::UnixStream::connect(&own).is_ok();
    let docker = std::os::unix::net::UnixStream::connect(DOCKER_SOCKET).is_ok();
    let path = match (answers, docker) {
        (false, true) => PathBuf::from(DOCKER_SOCKET),
        (true, _) | (false, false) => own,
    };
    Endpoint {
        context: context.to_owned(),
        host: format!("unix://{}", path.display()),
        transport: Transport::Unix(path),
        is_default: true,
    }
}

fn context_tls(dir: &Path, verify: bool) -> Option<Tls> {
    let file = |name: &str| Some(dir.join(name)).filter(|path| path.exists());
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    if ca.is_none() && cert.is_none() && verify {
        return None;
    }
    Some(Tls { ca, identity: cert.zip(key), verify })
}

fn environment_tls(choice: &Choice, config: &ConfigFile) -> Option<Tls> {
    let verify = choice.verify || value(env_vars::DOCKER_TLS_VERIFY).is_some();
    if !choice.tls && !verify && value(env_vars::DOCKER_TLS).is_none() {
        return None;
    }
    let dir =
        value(env_vars::DOCKER_CERT_PATH).map_or_else(|| config.dir().to_owned(), PathBuf::from);
    let file = |index: usize, name: &str| match choice.files[index].as_str() {
        "" => Some(dir.join(name)).filter(|path| path.exists()),
        typed => Some(PathBuf::from(typed)),
    };
    let [ca, cert, key] = [file(0, "ca.pem"), file(1, "cert.pem"), file(2, "key.pem")];
    Some(Tls { ca: ca.filter(|_| verify), identity: cert.zip(key), verify })
}

/// Reads an address: `unix://PATH`, `tcp://HOST:PORT`, `ssh://[USER@]HOST[:PORT]`, …
///
/// # Errors
/// [`CliError::Invalid`] with the address.
pub fn parse(typed: &str, tls: Option<Tls>, context: &str) -> Result<Endpoint, CliError> {
    let wrong = || CliError::invalid(format!("invalid bind address format: {typed}"));
    let typed = typed.trim();
    let (scheme, rest) = typed.split_once("://").unwrap_or(("tcp", typed));
    let transport = match scheme {
        "unix" => {
            let path = if rest.is_empty() { DOCKER_SOCKET } else { rest };
            Transport::Unix(PathBuf::from(path))
        }
        "tcp" | "http" | "https" => {
            let (authority, base) = match rest.split_once('/') {
                Some((authority, base)) => (authority, format!("/{}", base.trim_end_matches('/'))),
                None => (rest, String::new()),
            };
            let base = if base == "/" { String::new() } else { base };
            let tls = if scheme == "https" { Some(tls.unwrap_or(SYSTEM_TLS)) } else { tls };
            let default_port = if tls.is_some() { 2376 } else { 2375 };
            let (host, port) = host_and_port(authority, default_port).ok_or_else(wrong)?;
            Transport::Tcp { host, port, tls, base }
        }
        "ssh" => ssh(rest).ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    Ok(Endpoint {
        context: context.to_owned(),
        host: typed.to_owned(),
        transport,
        is_default: false,
    })
}

const SYSTEM_TLS: Tls = Tls { ca: None, identity: None, verify: true };

fn host_and_port(authority: &str, default_port: u16) -> Option<(String, u16)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None => default_port,
        };
        return Some((host.to_owned(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, default_port),
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some((host.to_owned(), port))
}

fn ssh(rest: &str) -> Option<Transport> {
    let (authority, socket) = match rest.find('/') {
        Some(at) => (&rest[..at], rest[at..].trim_end_matches('/')),
        None => (rest, ""),
    };
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (user, server),
        None => ("", authority),
    };
    // A password in the address would be visible to everybody in `ps`.
    if user.contains(':') {
        return None;
    }
    let (server, port) = match server.rsplit_once(':') {
        Some((server, port)) if !server.ends_with(':') => (server, Some(port.parse::<u16>().ok()?)),
        _ => (server, None),
    };
    let server = server.trim_start_matches('[').trim_end_matches(']');
    // A name that starts with a dash would be read as an option by ssh.
    if server.is_empty() || server.starts_with('-') || user.starts_with('-') {
        return None;
    }
    let mut destination = Vec::new();
    if !user.is_empty() {
        destination.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = port {
        destination.extend(["-p".to_owned(), port.to_string()]);
    }
    destination.extend(["--".to_owned(), server.to_owned()]);
    Some(Transport::Ssh { destination, socket: socket.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(address: &str) -> Option<Transport> {
        parse(address, None, "default").ok().map(|endpoint| endpoint.transport)
    }

    #[test]
    fn addresses() {
        assert_eq!(transport("unix:///x/y"), Some(Transport::Unix("/x/y".into())));
        let tcp = |host: &str, port, base: &str| {
            Some(Transport::Tcp { host: host.into(), port, tls: None, base: base.into() })
        };
        assert_eq!(transport("tcp://h:1234"), tcp("h", 1234, ""));
        assert_eq!(transport("h"), tcp("h", 2375, ""));
        assert_eq!(transport("tcp://[::1]:99/x/"), tcp("::1", 99, "/x"));
        assert_eq!(transport("gopher://x"), None);
        assert_eq!(transport("tcp://h:port"), None);
    }

    #[test]
    fn ssh_destinations_cannot_become_options() {
        let of = |address: &str| match transport(address) {
            Some(Transport::Ssh { destination, .. }) => Some(destination.join(" ")),
            _ => None,
        };
        assert_eq!(of("ssh://me@far:22"), Some("-l me -p 22 -- far".to_owned()));
        assert_eq!(of("ssh://far"), Some("-- far".to_owned()));
        assert_eq!(of("ssh://-oProxyCommand=x"), None);
        assert_eq!(of("ssh://-oX@far"), None);
    }

    #[test]
    fn flags_go_before_contexts() {
        let config = ConfigFile::default();
        let both = Choice { host: "tcp://a".into(), context: "b".into(), ..Choice::default() };
        assert!(resolve(&both, &config).is_err());
        let host = Choice { host: "tcp://a:1".into(), ..Choice::default() };
        assert_eq!(resolve(&host, &config).expect("valid").host, "tcp://a:1");
        let unknown = Choice { context: "b".into(), ..Choice::default() };
        assert!(resolve(&unknown, &config).is_err());
    }
}

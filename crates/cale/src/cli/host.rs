//! Which engine a command talks to: flags, environment, contexts, default sockets.

use std::path::{Path, PathBuf};

use api::client::Host;

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

/// The engine that a command talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the context it came from.
    pub context: String,
    /// Address as a user would type it.
    pub host: String,
    /// The same, understood.
    pub address: Host,
    /// TLS settings, for TCP.
    pub tls: Option<Tls>,
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
    let answers = |path: &Path| std::os::unix::net::UnixStream::connect(path).is_ok();
    let docker = Path::new(DOCKER_SOCKET);
    let path = if !answers(&own) && answers(docker) { docker.to_owned() } else { own };
    Endpoint {
        context: context.to_owned(),
        host: format!("unix://{}", path.display()),
        address: Host::Unix(path),
        tls: None,
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
    let host = typed.trim();
    let full = match host.split_once("://") {
        Some(("unix", "")) => format!("unix://{DOCKER_SOCKET}"),
        Some(_) => host.to_owned(),
        None => format!("tcp://{host}"),
    };
    let mut address: Host = full.parse().map_err(|e| CliError::invalid(format!("{e}")))?;
    let tls = if full.starts_with("https://") { Some(tls.unwrap_or(SYSTEM_TLS)) } else { tls };
    if let Host::Tcp { port, .. } = &mut address {
        let rest = full.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/');
        if rest.contains('/') {
            return Err(CliError::invalid(format!(
                "invalid bind address format: {typed}: an engine below a path is not supported"
            )));
        }
        // A port that is only implied depends on TLS.
        if tls.is_some() && *port == 2375 && !rest.ends_with(":2375") {
            *port = 2376;
        }
    }
    let tls = tls.filter(|_| matches!(address, Host::Tcp { .. }));
    Ok(Endpoint { context: context.to_owned(), host: full, address, tls, is_default: false })
}

const SYSTEM_TLS: Tls = Tls { ca: None, identity: None, verify: true };

#[cfg(test)]
mod tests {
    use super::*;

    fn address(typed: &str) -> Option<Host> {
        parse(typed, None, "default").ok().map(|endpoint| endpoint.address)
    }

    #[test]
    fn addresses() {
        assert_eq!(address("unix:///x/y"), Some(Host::Unix("/x/y".into())));
        let tcp = |host: &str, port| Some(Host::Tcp { host: host.into(), port });
        assert_eq!(address("tcp://h:1234"), tcp("h", 1234));
        assert_eq!(address("h"), tcp("h", 2375));
        assert_eq!(address("tcp://h/base"), None);
        assert_eq!(address("gopher://x"), None);
        assert_eq!(address("ssh://-oProxyCommand=x"), None);
        let secure = parse("tcp://h", Some(SYSTEM_TLS), "default").expect("valid");
        assert_eq!(Some(secure.address), tcp("h", 2376));
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

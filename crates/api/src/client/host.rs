//! Engine addresses as `-H` and `DOCKER_HOST` write them.

use std::{path::PathBuf, str::FromStr};

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `unix:///run/cale/cale.sock`
    Unix(PathBuf),
    /// `tcp://10.0.0.1:2375`
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// `ssh://me@host:22/run/cale/cale.sock`
    Ssh(SshTarget),
}

/// The machine behind an `ssh://` address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshTarget {
    /// Login name; `None`: as ssh's configuration says.
    pub user: Option<String>,
    /// Name or address.
    pub host: String,
    /// `None`: as ssh's configuration says.
    pub port: Option<u16>,
    /// Socket path on that machine; `None`: its default.
    pub path: Option<String>,
}

/// A text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No `scheme://`.
    #[error("unable to parse docker host `{0}`")]
    Syntax(String),
    /// A scheme that isn't known.
    #[error("unsupported protocol {scheme:?} in {text:?}: use unix, tcp or ssh")]
    Scheme {
        /// What stands before `://`.
        scheme: String,
        /// The whole text.
        text: String,
    },
    /// A port that is no number.
    #[error("invalid port in {0:?}")]
    Port(String),
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| HostError::Syntax(text.to_owned()))?;
        if rest.is_empty() {
            return Err(HostError::Syntax(text.to_owned()));
        }
        match scheme {
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" | "http" | "https" => {
                let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
                let (host, port) = split_port(authority, text)?;
                let default = if scheme == "https" { 2376 } else { 2375 };
                let host = if host.is_empty() { "127.0.0.1" } else { host };
                Ok(Self::Tcp { host: host.to_owned(), port: port.unwrap_or(default) })
            }
            "ssh" => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let (user, address) = match authority.rsplit_once('@') {
                    Some((user, address)) => (Some(user), address),
                    None => (None, authority),
                };
                let (host, port) = split_port(address, text)?;
                // A leading dash would be read as an option by ssh.
                let bad = |part: &str| part.is_empty() || part.starts_with('-');
                if bad(host) || user.is_some_and(bad) {
                    return Err(HostError::Syntax(text.to_owned()));
                }
                Ok(Self::Ssh(SshTarget {
                    user: user.map(str::to_owned),
                    host: host.to_owned(),
                    port,
                    path: (!path.is_empty()).then(|| format!("/{path}")),
                }))
            }
            _ => Err(HostError::Scheme { scheme: scheme.to_owned(), text: text.to_owned() }),
        }
    }
}

fn split_port<'t>(authority: &'t str, text: &str) -> Result<(&'t str, Option<u16>), HostError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, after) =
                rest.split_once(']').ok_or_else(|| HostError::Syntax(text.to_owned()))?;
            (host, after.strip_prefix(':'))
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some(port) => Some(port.parse().map_err(|_| HostError::Port(text.to_owned()))?),
        None => None,
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse() {
        let tcp = |host: &str, port| Ok(Host::Tcp { host: host.to_owned(), port });
        assert_eq!("unix:///run/x.sock".parse(), Ok(Host::Unix("/run/x.sock".into())));
        assert_eq!("tcp://1.2.3.4:99".parse(), tcp("1.2.3.4", 99));
        assert_eq!("tcp://box".parse(), tcp("box", 2375));
        assert_eq!("tcp://[::1]:9".parse(), tcp("::1", 9));
        assert_eq!("tcp://:9".parse(), tcp("127.0.0.1", 9));
        assert_eq!(
            "ssh://me@box:2222/run/d.sock".parse(),
            Ok(Host::Ssh(SshTarget {
                user: Some("me".into()),
                host: "box".into(),
                port: Some(2222),
                path: Some("/run/d.sock".into())
            }))
        );
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for bad in ["", "box", "unix://", "npipe://x", "tcp://x:y", "ssh://-oProxyCommand=x"] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }
}

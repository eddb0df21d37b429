//! Where a registry's name leads: mirrors, plain HTTP, private certificates.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

const HUB: &str = "docker.io";
const HUB_ENDPOINT: &str = "registry-1.docker.io";

/// How registries are reached, from the engine's configuration.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Mirrors by registry name, `docker.io` for the hub; each `http[s]://host[:port][/path]`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Registries that may speak plain HTTP or show an unknown certificate: `host[:port]` or CIDR.
    pub insecure: Vec<String>,
    /// Directories like `/etc/docker/certs.d`: `<host[:port]>/{*.crt, *.cert, *.key}`.
    pub certs_dirs: Vec<PathBuf>,
}

/// One address to ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `host[:port]`
    pub authority: String,
    /// Path before `/v2/`, empty or starting with a slash.
    pub prefix: String,
    /// HTTPS is spoken (or tried first).
    pub tls: bool,
    /// An unknown certificate is accepted, and plain HTTP when TLS fails.
    pub insecure: bool,
    /// A mirror: credentials of the registry aren't sent to it.
    pub mirror: bool,
}

impl Hosts {
    /// The endpoints for pulling from `registry`, best first.
    pub fn pull_endpoints(&self, registry: &str) -> Result<Vec<Endpoint>> {
        let mirrors = self.mirrors.get(registry).into_iter().flatten();
        let mut endpoints: Vec<Endpoint> =
            mirrors.map(|mirror| self.mirror(mirror)).collect::<Result<_>>()?;
        endpoints.push(self.registry(registry));
        Ok(endpoints)
    }

    /// The endpoint of the registry itself.
    pub fn registry(&self, registry: &str) -> Endpoint {
        let authority = if registry == HUB { HUB_ENDPOINT } else { registry };
        let insecure = self.is_insecure(registry);
        // A loopback registry without certificates is nearly always plain: try that first.
        let tls = !insecure || self.certificates(registry).is_some() || !is_loopback(registry);
        Endpoint {
            authority: authority.to_owned(),
            prefix: String::new(),
            tls,
            insecure,
            mirror: false,
        }
    }

    fn mirror(&self, text: &str) -> Result<Endpoint> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(Error::Host(text.to_owned())),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = match path.trim_end_matches('/') {
            "" => String::new(),
            path => format!("/{path}"),
        };
        let insecure = self.is_insecure(authority);
        Ok(Endpoint { authority: authority.to_owned(), prefix, tls, insecure, mirror: true })
    }

    /// Loopback addresses are always insecure, as with Docker: `127.0.0.0/8`, `::1`, `localhost`.
    fn is_insecure(&self, registry: &str) -> bool {
        let host = host_of(registry);
        is_loopback(registry)
            || self.insecure.iter().any(|entry| {
                entry == registry
                    || entry == host
                    || ip_of(host).is_some_and(|ip| in_cidr(ip, entry))
            })
    }

    /// The directory with certificates for a registry, if there is one.
    pub fn certificates(&self, authority: &str) -> Option<PathBuf> {
        let named = |dir: &Path| dir.join(authority);
        self.certs_dirs.iter().map(|dir| named(dir)).find(|dir| dir.is_dir())
    }
}

/// The host without its port.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// The port, or the scheme's.
pub(crate) fn port_of(authority: &str, tls: bool) -> Result<u16> {
    let rest = &authority[host_of(authority).len()..];
    match rest.strip_prefix(':') {
        None => Ok(if tls { 443 } else { 80 }),
        Some(port) => port.parse().map_err(|_| Error::Host(authority.to_owned())),
    }
}

/// The address, when the host is one.
pub(crate) fn ip_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback(registry: &str) -> bool {
    let host = host_of(registry);
    host == "localhost" || ip_of(host).is_some_and(|ip| ip.is_loopback())
}

fn in_cidr(ip: IpAddr, entry: &str) -> bool {
    let Some((network, length)) = entry.split_once('/') else { return false };
    let Ok(length) = length.parse::<u32>() else { return false };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let Ok(network) = network.parse::<IpAddr>() else { return false };
    let ((ip, ip_width), (network, width)) = (bits(ip), bits(network));
    ip_width == width
        && length <= width
        && (length == 0 || (ip ^ network).leading_zeros() >= length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_come_before_the_registry() {
        let hosts = Hosts {
            mirrors: [("docker.io".to_owned(), vec!["http://cache:5000/hub/".to_owned()])].into(),
            ..Hosts::default()
        };
        let endpoints = hosts.pull_endpoints("docker.io").unwrap();
        assert_eq!(endpoints[0].authority, "cache:5000");
        assert_eq!(
            (endpoints[0].prefix.as_str(), endpoints[0].tls, endpoints[0].mirror),
            ("/hub", false, true)
        );
        assert_eq!((endpoints[1].authority.as_str(), endpoints[1].tls), (HUB_ENDPOINT, true));
    }

    #[test]
    fn only_loopback_and_listed_hosts_are_insecure() {
        let hosts =
            Hosts { insecure: vec!["10.1.0.0/16".into(), "reg:5000".into()], ..Hosts::default() };
        for (registry, insecure) in [
            ("localhost:5000", true),
            ("127.3.2.1:5000", true),
            ("[::1]:5000", true),
            ("10.1.2.3:80", true),
            ("10.2.2.3:80", false),
            ("reg:5000", true),
            ("reg:5001", false),
            ("docker.io", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(hosts.registry(registry).insecure, insecure, "{registry}");
        }
    }

    #[test]
    fn ports_are_read() {
        assert_eq!(port_of("a:5000", true).unwrap(), 5000);
        assert_eq!(port_of("[::1]:5000", true).unwrap(), 5000);
        assert_eq!(port_of("[::1]", false).unwrap(), 80);
        assert!(port_of("a:x", true).is_err());
    }
}

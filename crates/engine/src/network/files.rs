//! The files that tell a container of its network: hosts, resolv.conf and hostname. Pure texts.

use std::net::IpAddr;

/// resolv.conf as said and as the host has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

/// The address of the engine's name server inside user-defined networks.
pub const EMBEDDED: &str = "127.0.0.11";

impl Resolver {
    /// Reads resolv.conf(5).
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let mut words = line.split(['#', ';']).next().unwrap_or("").split_whitespace();
            match words.next() {
                Some("nameserver") => found.servers.extend(words.next().map(str::to_owned)),
                Some("search" | "domain") => {
                    found.search = words.map(str::to_owned).collect();
                }
                Some("options") => found.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        found
    }

    /// What of the host's holds in a container of its own: a server on the host's loopback
    /// isn't reached from there.
    pub fn for_container(mut self) -> Self {
        let remote = |text: &String| {
            text.split('%').next().unwrap_or("").parse::<IpAddr>().is_ok_and(|ip| !ip.is_loopback())
        };
        self.servers.retain(remote);
        self
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.search.is_empty() && self.search != ["."] {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// /etc/hosts with the container's own addresses and extra lines.
pub fn hosts(own: &[(IpAddr, String)], extra: &[(String, String)]) -> String {
    let mut text = "127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n"
        .to_owned();
    for (address, names) in extra {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    for (address, names) in own {
        text.push_str(&format!("{address}\t{names}\n"));
    }
    text
}

/// `name:address` or `name=address` of `--add-host`.
pub fn extra_host(text: &str) -> Option<(&str, &str)> {
    let (name, address) = match text.split_once('=') {
        Some(parts) => parts,
        None => text.split_once(':')?,
    };
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    (!name.is_empty()).then_some((name, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_round_trip() {
        let text = "# x\nnameserver 127.0.0.53\nnameserver 10.0.0.1\nsearch a b\noptions ndots:1\n";
        let resolver = Resolver::parse(text).for_container();
        assert_eq!(resolver.text(), "nameserver 10.0.0.1\nsearch a b\noptions ndots:1\n");
    }

    #[test]
    fn hosts_lines() {
        let own = [("172.17.0.2".parse().unwrap(), "web".to_owned())];
        let text = hosts(&own, &[("10.0.0.9".to_owned(), "db".to_owned())]);
        assert!(text.ends_with("10.0.0.9\tdb\n172.17.0.2\tweb\n"));
        assert_eq!(extra_host("db:10.0.0.9"), Some(("db", "10.0.0.9")));
        assert_eq!(extra_host("v6:[::1]"), Some(("v6", "::1")));
        assert_eq!(extra_host("v6=fd00::1"), Some(("v6", "fd00::1")));
        assert_eq!(extra_host("nothing"), None);
    }
}

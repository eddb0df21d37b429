//! `/etc/resolv.conf` and `/etc/hosts` of a container: pure functions of facts.
//!
//! Owns no writing: the engine puts the text where the container's mount shows it.

use std::{fmt::Write, net::IpAddr, path::Path};

use crate::{
    endpoint::DnsConfig,
    error::{Error, Result},
};

/// Where a container on a user-defined network asks.
pub const INTERNAL_SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11));

/// What a resolv.conf(5) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Servers in order.
    pub servers: Vec<IpAddr>,
    /// Search domains; the last `search` or `domain` line counts.
    pub search: Vec<String>,
    /// Options of all `options` lines.
    pub options: Vec<String>,
}

impl Resolver {
    /// Reads resolv.conf(5). Lines that are no part of it are passed over, as the C library does;
    /// so is the zone of a link-local server, which means nothing in another namespace.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let addr = words.next().and_then(|word| word.split('%').next());
                    resolver.servers.extend(addr.and_then(|addr| addr.parse::<IpAddr>().ok()));
                }
                Some("search" | "domain") => resolver.search = words.map(str::to_owned).collect(),
                Some("options") => resolver.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        resolver
    }

    /// The host's resolver. Where systemd-resolved answers at 127.0.0.53, its list of true
    /// servers, which others can reach, is read instead.
    pub fn of_host() -> Result<Self> {
        const STUB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 53));
        let main = read(Path::new("/etc/resolv.conf"))?;
        if main.servers == [STUB] {
            let full = read(Path::new("/run/systemd/resolve/resolv.conf"))?;
            if !full.servers.is_empty() {
                return Ok(full);
            }
        }
        Ok(main)
    }

    /// Servers that can be reached from another namespace.
    pub fn reachable_servers(&self) -> impl Iterator<Item = IpAddr> {
        self.servers.iter().copied().filter(|addr| !addr.is_loopback() && !addr.is_unspecified())
    }
}

fn read(path: &Path) -> Result<Resolver> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Resolver::parse(&text)),
        // No file: the C library asks the local host; nothing that a container could use.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Resolver::default()),
        Err(source) => Err(Error::ReadFile { path: path.into(), source }),
    }
}

/// How a container resolves names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// By the engine's server in its namespace (user-defined networks).
    Internal,
    /// By the host's servers (default bridge); `ipv6`: those with IPv6 addresses too.
    Direct {
        /// The container has IPv6.
        ipv6: bool,
    },
    /// As the host (`--network host`): loopback servers stay.
    Host,
}

/// Servers for a default-bridge container whose host has only loopback ones, as Docker does.
const PUBLIC_SERVERS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 4, 4)),
];

/// The text of a container's resolv.conf.
pub fn resolv_conf(host: &Resolver, asked: &DnsConfig, how: Resolution) -> String {
    let mut text = String::from("# Written by Cale; once edited, it is left alone.\n\n");
    for server in servers(host, asked, how) {
        line(&mut text, "nameserver", &[server.to_string()]);
    }
    let search = if asked.search.is_empty() { &host.search } else { &asked.search };
    if !(search.is_empty() || search.len() == 1 && search[0] == ".") {
        line(&mut text, "search", search);
    }
    let mut options =
        if asked.options.is_empty() { host.options.clone() } else { asked.options.clone() };
    // The server knows which names are its own; a dot must not be needed to ask for the others.
    if how == Resolution::Internal && !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".to_owned());
    }
    if !options.is_empty() {
        line(&mut text, "options", &options);
    }
    text
}

fn servers(host: &Resolver, asked: &DnsConfig, how: Resolution) -> Vec<IpAddr> {
    match how {
        Resolution::Internal => vec![INTERNAL_SERVER],
        _ if !asked.servers.is_empty() => asked.servers.clone(),
        Resolution::Host => host.servers.clone(),
        Resolution::Direct { ipv6 } => {
            let usable: Vec<IpAddr> =
                host.reachable_servers().filter(|addr| ipv6 || addr.is_ipv4()).collect();
            if usable.is_empty() { PUBLIC_SERVERS.to_vec() } else { usable }
        }
    }
}

/// A line of the file. What can't stand on one line never came through the API; cut it all the same.
fn line(text: &mut String, keyword: &str, words: &[String]) {
    text.push_str(keyword);
    for word in words {
        let word =
            word.split(|c: char| c.is_whitespace() || c.is_control()).next().unwrap_or_default();
        text.push(' ');
        text.push_str(word);
    }
    text.push('\n');
}

/// The text of a container's hosts(5): the loopback's names, extra ones (`--add-host`), its own.
pub fn hosts(own: &[(IpAddr, Vec<String>)], extra: &[(String, IpAddr)], ipv6: bool) -> String {
    let mut text = String::from("127.0.0.1\tlocalhost\n");
    if ipv6 {
        text.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
        text.push_str("fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n");
        text.push_str("ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n");
    }
    let extra = extra.iter().map(|(name, addr)| (*addr, name.clone()));
    let own = own.iter().map(|(addr, names)| (*addr, names.join(" ")));
    for (addr, names) in extra.chain(own).filter(|(_, names)| !names.contains(['\n', '\r', '\0'])) {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{addr}\t{names}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53 ; office\n\
        nameserver fe80::1%eth0\nnameserver bad\nsearch a.example b.example\noptions edns0 trust-ad\n";

    #[test]
    fn the_default_bridge_gets_reachable_servers() {
        let host = Resolver::parse(HOST);
        let text = resolv_conf(&host, &DnsConfig::default(), Resolution::Direct { ipv6: false });
        insta::assert_snapshot!(text, @r"
        # Written by Cale; once edited, it is left alone.

        nameserver 192.0.2.53
        search a.example b.example
        options edns0 trust-ad
        ");
        let lonely = Resolver::parse("nameserver 127.0.0.1\n");
        let text = resolv_conf(&lonely, &DnsConfig::default(), Resolution::Direct { ipv6: true });
        assert!(text.contains("nameserver 8.8.8.8\nnameserver 8.8.4.4\n"), "{text}");
    }

    #[test]
    fn user_defined_networks_ask_the_engine() {
        let host = Resolver::parse(HOST);
        let asked = DnsConfig {
            servers: vec!["192.0.2.99".parse().unwrap()],
            search: vec![".".into()],
            options: vec!["timeout:1".into()],
            port_53_is_taken: false,
        };
        let text = resolv_conf(&host, &asked, Resolution::Internal);
        insta::assert_snapshot!(text, @r"
        # Written by Cale; once edited, it is left alone.

        nameserver 127.0.0.11
        options timeout:1 ndots:0
        ");
        let text = resolv_conf(&host, &asked, Resolution::Direct { ipv6: false });
        assert!(text.contains("nameserver 192.0.2.99\n") && !text.contains("search"), "{text}");
    }

    #[test]
    fn hosts_lines() {
        let own = [("172.17.0.2".parse().unwrap(), vec!["web".to_owned()])];
        let extra = [
            ("db".to_owned(), "10.0.0.5".parse().unwrap()),
            ("x\n1.2.3.4 evil".to_owned(), "10.0.0.6".parse().unwrap()),
        ];
        insta::assert_snapshot!(hosts(&own, &extra, false), @r"
        127.0.0.1	localhost
        10.0.0.5	db
        172.17.0.2	web
        ");
        assert!(hosts(&own, &[], true).contains("::1\tlocalhost"));
    }
}

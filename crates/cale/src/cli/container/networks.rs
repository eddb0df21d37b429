//! `--network` and the flags that belong to the first one.

use serde_json::{Map, Value as Json, json};

use crate::cli::error::CliError;
use crate::cli::flags::Matches;
use crate::cli::flags::value::csv;

/// The container's network mode and its endpoints by network name.
#[derive(Debug, Default, PartialEq)]
pub struct Networks {
    /// `HostConfig.NetworkMode`.
    pub mode: String,
    /// `NetworkingConfig.EndpointsConfig`.
    pub endpoints: Map<String, Json>,
}

#[derive(Default)]
struct Request {
    target: String,
    aliases: Vec<String>,
    driver_options: Map<String, Json>,
    links: Vec<String>,
    ip: String,
    ip6: String,
    link_local: Vec<String>,
    mac: String,
    priority: i64,
}

/// Reads the network flags.
///
/// # Errors
/// Docker's sentences about wrong lines and conflicts.
pub fn parse(m: &Matches) -> Result<Networks, CliError> {
    let lines = m.list("network");
    let mut requests = lines.iter().map(|line| request(line)).collect::<Result<Vec<_>, _>>()?;
    if requests.is_empty() {
        requests.push(Request { target: "default".to_owned(), ..Request::default() });
    }
    if requests.len() > 1 {
        let private = |r: &Request| is_user_defined(&r.target) || is_bridge(&r.target);
        if let Some(alone) = requests.iter().find(|r| !private(r)) {
            return Err(CliError::invalid(format!(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes: {}",
                alone.target
            )));
        }
    }
    add_flags(&mut requests[0], m)?;
    let mut networks = Networks { mode: requests[0].target.clone(), endpoints: Map::new() };
    for request in requests {
        let target = request.target.clone();
        let endpoint = endpoint(request);
        if networks.endpoints.contains_key(&target) {
            return Err(CliError::invalid(format!(
                "network {target:?} is specified multiple times"
            )));
        }
        if !endpoint.is_empty() || lines.len() > 1 {
            networks.endpoints.insert(target, Json::Object(endpoint));
        }
    }
    Ok(networks)
}

fn is_bridge(mode: &str) -> bool {
    matches!(mode, "" | "default" | "bridge")
}

fn is_user_defined(mode: &str) -> bool {
    !is_bridge(mode) && !matches!(mode, "host" | "none") && !mode.starts_with("container:")
}

fn request(line: &str) -> Result<Request, CliError> {
    let mut request = Request::default();
    if !line.contains('=') {
        line.clone_into(&mut request.target);
        return Ok(request);
    }
    for field in csv(line) {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| CliError::invalid(format!("invalid field {field}")))?;
        match key.trim().to_lowercase().as_str() {
            "name" => value.clone_into(&mut request.target),
            "alias" => request.aliases.push(value.to_owned()),
            "ip" => value.clone_into(&mut request.ip),
            "ip6" => value.clone_into(&mut request.ip6),
            "mac-address" => value.clone_into(&mut request.mac),
            "link-local-ip" => request.link_local.push(value.to_owned()),
            "driver-opt" => {
                let (name, value) = value.split_once('=').ok_or_else(|| {
                    CliError::invalid("invalid key value pair format in driver options")
                })?;
                request.driver_options.insert(name.trim().to_lowercase(), value.trim().into());
            }
            "gw-priority" => {
                request.priority = value
                    .parse()
                    .map_err(|_| CliError::invalid(format!("invalid gw-priority: {value}")))?;
            }
            other => return Err(CliError::invalid(format!("invalid field key {other}"))),
        }
    }
    if request.target.is_empty() {
        return Err(CliError::invalid("network name/id is not specified"));
    }
    Ok(request)
}

fn add_flags(first: &mut Request, m: &Matches) -> Result<(), CliError> {
    let conflict = |flag: &str| {
        CliError::invalid(format!(
            "conflicting options: cannot specify both --{flag} and per-network {flag}"
        ))
    };
    let aliases = m.list("network-alias");
    if !aliases.is_empty() && !first.aliases.is_empty() {
        return Err(conflict("network-alias"));
    }
    first.aliases.extend(aliases);
    for (flag, slot) in
        [("ip", &mut first.ip), ("ip6", &mut first.ip6), ("mac-address", &mut first.mac)]
    {
        if let Some(typed) = m.typed(flag) {
            if !slot.is_empty() {
                return Err(conflict(flag));
            }
            typed.clone_into(slot);
        }
    }
    first.link_local.extend(m.list("link-local-ip"));
    if is_user_defined(&first.target) {
        first.links.extend(m.list("link"));
    }
    Ok(())
}

fn endpoint(request: Request) -> Map<String, Json> {
    let mut ipam = Map::new();
    if !request.ip.is_empty() {
        ipam.insert("IPv4Address".to_owned(), json!(request.ip));
    }
    if !request.ip6.is_empty() {
        ipam.insert("IPv6Address".to_owned(), json!(request.ip6));
    }
    if !request.link_local.is_empty() {
        ipam.insert("LinkLocalIPs".to_owned(), json!(request.link_local));
    }
    let mut config = Map::new();
    let parts = [
        ("Aliases", json!(request.aliases), request.aliases.is_empty()),
        ("Links", json!(request.links), request.links.is_empty()),
        ("GwPriority", json!(request.priority), request.priority == 0),
        ("MacAddress", json!(request.mac), request.mac.is_empty()),
        ("DriverOpts", json!(request.driver_options), request.driver_options.is_empty()),
        ("IPAMConfig", json!(ipam), ipam.is_empty()),
    ];
    for (key, value, is_empty) in parts {
        if !is_empty {
            config.insert(key.to_owned(), value);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::container::options;
    use crate::cli::flags::{Arity, Command, parse as grammar};

    static RUN: Command =
        Command { flags: &[options::CONTAINER], arity: Arity::Any, ..Command::BASE };

    fn read(line: &str) -> Result<Networks, CliError> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&grammar::parse(&RUN, "cale", "run", &words).expect("valid flags"))
    }

    #[test]
    fn one_plain_network_needs_no_endpoint() {
        let networks = read("--network host").expect("valid");
        assert_eq!((networks.mode.as_str(), networks.endpoints.len()), ("host", 0));
        assert_eq!(read("").expect("valid").mode, "default");
    }

    #[test]
    fn details_go_to_the_endpoint() {
        assert!(read("--net name=n,alias=a,ip=1.2.3.4 --network-alias b").is_err());
        let networks = read("--net n --ip 1.2.3.4 --network-alias b").expect("valid");
        assert_eq!(networks.endpoints["n"]["IPAMConfig"]["IPv4Address"], "1.2.3.4");
        assert_eq!(networks.endpoints["n"]["Aliases"][0], "b");
    }

    #[test]
    fn several_networks() {
        let networks = read("--network a --network b").expect("valid");
        assert_eq!(networks.endpoints.len(), 2);
        assert!(read("--network a --network host").is_err());
        assert!(read("--network a --network a").is_err());
    }
}

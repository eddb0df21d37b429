//! Exposed and published ports.

use model::port::{ContainerPort, PortBinding};

use super::{Refusal, Result, address};
use crate::wire::{self, List};

fn invalid(text: &str) -> Refusal {
    Refusal::new(format!("invalid port specification: {text:?}"))
}

/// Reads `80`, `80/udp`, `8000-8010/tcp`.
pub fn parse_container_ports(text: &str) -> Result<Vec<ContainerPort>> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = parse_range(range).ok_or_else(|| invalid(text))?;
    if first == 0 {
        return Err(invalid(text));
    }
    // Any number reads; only the protocol can be wrong.
    let sample: ContainerPort = format!("1/{protocol}").parse().map_err(|_| invalid(text))?;
    Ok((first..=last).map(|port| ContainerPort { port, protocol: sample.protocol }).collect())
}

/// `8000` or `8000-8010`, rising.
fn parse_range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten()
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}

/// Reads `PortBindings`. An entry without bindings publishes nothing.
pub fn parse_port_bindings<'a>(
    bindings: impl IntoIterator<Item = (&'a String, &'a List<wire::PortBinding>)>,
) -> Result<Vec<PortBinding>> {
    let mut out = Vec::new();
    for (key, list) in bindings {
        for container in parse_container_ports(key)? {
            for binding in list.iter().flatten() {
                out.push(parse_binding(container, binding)?);
            }
        }
    }
    Ok(out)
}

fn parse_binding(container: ContainerPort, binding: &wire::PortBinding) -> Result<PortBinding> {
    let host_ip = match binding.host_ip.as_str() {
        "" => None,
        text => {
            let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
            Some(address("IP address", bare)?)
        }
    };
    let host_ports = match binding.host_port.as_str() {
        // Docker takes 0 as "any" too.
        "" | "0" => None,
        text => {
            let (first, last) = parse_range(text).ok_or_else(|| invalid(text))?;
            if first == 0 {
                return Err(invalid(text));
            }
            Some((first, last))
        }
    };
    Ok(PortBinding { container, host_ip, host_ports })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn bindings(key: &str, ip: &str, port: &str) -> Result<Vec<PortBinding>> {
        let binding = wire::PortBinding { host_ip: ip.into(), host_port: port.into() };
        let map = BTreeMap::from([(key.to_owned(), Some(vec![binding]))]);
        parse_port_bindings(&map)
    }

    #[test]
    fn ports_and_ranges() {
        let ports = |text: &str| {
            parse_container_ports(text)
                .map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(ports("80").unwrap(), ["80/tcp"]);
        assert_eq!(ports("53/udp").unwrap(), ["53/udp"]);
        assert_eq!(ports("53/UDP").unwrap(), ["53/udp"]);
        assert_eq!(ports("1-3/sctp").unwrap(), ["1/sctp", "2/sctp", "3/sctp"]);
        for bad in ["", "0", "x", "80/foo", "3-1", "65536", "-1", "80/", "1-", "+80"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bindings_name_host_addresses_and_ranges() {
        let one = &bindings("80/tcp", "127.0.0.1", "8080").unwrap()[0];
        assert_eq!(
            (one.host_ip.unwrap().to_string().as_str(), one.host_ports),
            ("127.0.0.1", Some((8080, 8080)))
        );
        let any = &bindings("80", "", "").unwrap()[0];
        assert_eq!((any.host_ip, any.host_ports), (None, None));
        assert_eq!(bindings("80", "::1", "8000-8002").unwrap()[0].host_ports, Some((8000, 8002)));
        assert_eq!(bindings("80", "[::1]", "1").unwrap()[0].host_ip, Some("::1".parse().unwrap()));
        assert!(bindings("80", "localhost", "1").unwrap_err().message.contains("invalid IP"));
        assert_eq!(
            bindings("80", "", "http").unwrap_err().message,
            "invalid port specification: \"http\""
        );
    }
}

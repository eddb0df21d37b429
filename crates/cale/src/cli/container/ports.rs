//! `-p` and `--expose`: port specifications, with ranges.

use std::net::IpAddr;

use serde_json::{Map, Value as Json, json};

use crate::cli::error::CliError;

/// Exposed ports and published ports, in the engine's form.
#[derive(Debug, Default, PartialEq)]
pub struct Ports {
    /// `80/tcp` → `{}`.
    pub exposed: Map<String, Json>,
    /// `80/tcp` → list of host bindings.
    pub bindings: Map<String, Json>,
}

type Range = (u16, u16);

/// Reads `-p` and `--expose` specifications.
///
/// # Errors
/// Docker's sentences about wrong specifications.
pub fn parse(published: &[String], exposed: &[String]) -> Result<Ports, CliError> {
    let mut ports = Ports::default();
    for spec in published {
        let spec = if spec.contains('=') { fields(spec)? } else { spec.clone() };
        publish(&mut ports, &spec)?;
    }
    for spec in exposed {
        if spec.contains(':') {
            return Err(CliError::invalid(format!("invalid port format for --expose: {spec}")));
        }
        let (range, protocol) = protocol_of(spec)?;
        let (start, end) = range_of(range)
            .map_err(|e| CliError::invalid(format!("invalid range format for --expose: {e}")))?;
        for port in start..=end {
            ports.exposed.insert(format!("{port}/{protocol}"), json!({}));
        }
    }
    Ok(ports)
}

/// The long form: `target=80,published=8080,protocol=tcp,mode=host`.
fn fields(spec: &str) -> Result<String, CliError> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for field in spec.split(',') {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| CliError::invalid(format!("invalid field: {field}")))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "target" => target = value,
            "published" => published = value,
            "protocol" => protocol = value,
            "mode" if matches!(value, "host" | "ingress") => {}
            "mode" => {
                return Err(CliError::invalid(format!(
                    "invalid publish mode value ({value}): must be either 'ingress' or 'host'"
                )));
            }
            _ => return Err(CliError::invalid(format!("invalid field key {key}"))),
        }
    }
    if target.is_empty() {
        return Err(CliError::invalid(format!("missing mandatory field: target in {spec:?}")));
    }
    Ok(if published.is_empty() {
        format!("{target}/{protocol}")
    } else {
        format!("{published}:{target}/{protocol}")
    })
}

fn protocol_of(spec: &str) -> Result<(&str, String), CliError> {
    let (rest, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_lowercase() };
    match protocol.as_str() {
        "tcp" | "udp" | "sctp" => Ok((rest, protocol)),
        _ => Err(CliError::invalid(format!("invalid proto: {protocol}"))),
    }
}

fn range_of(text: &str) -> Result<Range, String> {
    let port = |digits: &str| {
        digits.parse::<u16>().map_err(|_| format!("{text}, error: invalid port: {digits:?}"))
    };
    match text.split_once('-') {
        None => port(text).map(|p| (p, p)),
        Some((start, end)) => {
            let (start, end) = (port(start)?, port(end)?);
            if end < start {
                return Err(format!("invalid range specified for port: {text}"));
            }
            Ok((start, end))
        }
    }
}

fn publish(ports: &mut Ports, spec: &str) -> Result<(), CliError> {
    let (rest, protocol) = protocol_of(spec)?;
    let (address, host, container) = divide(rest);
    if container.is_empty() {
        return Err(CliError::invalid(format!("no port specified: {spec}<empty>")));
    }
    let address = address.trim_start_matches('[').trim_end_matches(']');
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(CliError::invalid(format!("invalid IP address: {address}")));
    }
    let (start, end) = range_of(container)
        .map_err(|_| CliError::invalid(format!("invalid containerPort: {container}")))?;
    let outside: Option<Range> = match host {
        "" => None,
        host => Some(
            range_of(host).map_err(|_| CliError::invalid(format!("invalid hostPort: {host}")))?,
        ),
    };
    if let Some((first, last)) = outside
        && last - first != end - start
        // One container port may be published to "any free one of this range".
        && start != end
    {
        return Err(CliError::invalid(format!(
            "invalid ranges specified for container and host Ports: {container} and {host}"
        )));
    }
    for (index, port) in (start..=end).enumerate() {
        let host_port = match outside {
            None => String::new(),
            Some((first, last)) if start == end && first != last => format!("{first}-{last}"),
            Some((first, _)) => (usize::from(first) + index).to_string(),
        };
        let key = format!("{port}/{protocol}");
        ports.exposed.insert(key.clone(), json!({}));
        let slot = ports.bindings.entry(key).or_insert_with(|| json!([]));
        if let Some(list) = slot.as_array_mut() {
            list.push(json!({"HostIp": address, "HostPort": host_port}));
        }
    }
    Ok(())
}

/// Address, host port and container port of `[[address:]host:]container`.
fn divide(text: &str) -> (&str, &str, &str) {
    if let Some(end) = text.rfind(']') {
        let (address, rest) = text.split_at(end + 1);
        let rest = rest.strip_prefix(':').unwrap_or(rest);
        let (host, container) = rest.split_once(':').unwrap_or(("", rest));
        return (address, host, container);
    }
    let mut parts = text.rsplitn(3, ':');
    let container = parts.next().unwrap_or("");
    let host = parts.next().unwrap_or("");
    (parts.next().unwrap_or(""), host, container)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(spec: &str) -> String {
        match parse(&[spec.to_owned()], &[]) {
            Ok(ports) => Json::Object(ports.bindings).to_string(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn publications() {
        for (spec, expected) in [
            ("80", r#"{"80/tcp":[{"HostIp":"","HostPort":""}]}"#),
            ("8080:80/udp", r#"{"80/udp":[{"HostIp":"","HostPort":"8080"}]}"#),
            ("127.0.0.1:8080:80", r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":"8080"}]}"#),
            ("127.0.0.1::80", r#"{"80/tcp":[{"HostIp":"127.0.0.1","HostPort":""}]}"#),
            ("[::1]:8080:80", r#"{"80/tcp":[{"HostIp":"::1","HostPort":"8080"}]}"#),
            ("8000-8010:80", r#"{"80/tcp":[{"HostIp":"","HostPort":"8000-8010"}]}"#),
            ("target=80,published=81", r#"{"80/tcp":[{"HostIp":"","HostPort":"81"}]}"#),
        ] {
            assert_eq!(bindings(spec), expected, "{spec}");
        }
        let two = parse(&["90-91:80-81".to_owned()], &[]).expect("valid").bindings;
        assert_eq!(two["81/tcp"][0]["HostPort"], "91");
    }

    #[test]
    fn wrong_publications() {
        assert_eq!(bindings("a:b:c:d:e"), "invalid IP address: a:b:c");
        assert_eq!(bindings("x"), "invalid containerPort: x");
        assert_eq!(bindings("x:80"), "invalid hostPort: x");
        assert_eq!(bindings("80/icmp"), "invalid proto: icmp");
        assert!(bindings("1-3:80-81").starts_with("invalid ranges"));
    }

    #[test]
    fn exposures() {
        let ports = parse(&[], &["80-81/udp".to_owned()]).expect("valid");
        assert_eq!(ports.exposed.len(), 2);
        assert!(parse(&[], &["1:2".to_owned()]).is_err());
    }
}

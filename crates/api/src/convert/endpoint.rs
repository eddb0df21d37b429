//! `EndpointSettings` ⇄ [`EndpointSpec`].

use model::network::EndpointSpec;

use super::{Refusal, Result, some_text};
use crate::wire::{EndpointIpamConfig, EndpointSettings, map_or_null};

/// Reads what is asked of one connection.
pub fn endpoint_spec(network: &str, settings: &EndpointSettings) -> Result<EndpointSpec> {
    let invalid = |what: &str, text: &str| {
        Refusal::new(format!(
            "invalid endpoint settings:\ninvalid config for network {network}: invalid {what}: {text}"
        ))
    };
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let ipv4 = match ipam.ipv4_address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("IPv4 address", text))?),
    };
    let ipv6 = match ipam.ipv6_address.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid("IPv6 address", text))?),
    };
    let link_local = ipam
        .link_local_ips
        .iter()
        .flatten()
        .map(|text| text.parse().map_err(|_| invalid("link-local IP address", text)))
        .collect::<Result<_>>()?;
    let mac_address = match some_text(&settings.mac_address) {
        Some(text) if !is_mac_address(&text) => return Err(invalid("MAC address", &text)),
        other => other.map(|text| text.to_ascii_lowercase().replace('-', ":")),
    };
    Ok(EndpointSpec {
        aliases: settings.aliases.clone().unwrap_or_default(),
        links: settings.links.clone().unwrap_or_default(),
        ipv4,
        ipv6,
        link_local,
        mac_address,
        gateway_priority: settings.gw_priority.unwrap_or_default(),
        driver_options: settings.driver_opts.clone().unwrap_or_default().into_iter().collect(),
    })
}

/// Six pairs of hex digits with colons or dashes.
fn is_mac_address(text: &str) -> bool {
    let pairs: Vec<&str> = text.split([':', '-']).collect();
    pairs.len() == 6
        && pairs.iter().all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Shows what was asked for; the operational half is empty.
pub fn endpoint_settings(spec: &EndpointSpec) -> EndpointSettings {
    let fixed = spec.ipv4.is_some() || spec.ipv6.is_some() || !spec.link_local.is_empty();
    let text = |address: Option<String>| address.unwrap_or_default();
    let link_local: Vec<String> = spec.link_local.iter().map(ToString::to_string).collect();
    let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    EndpointSettings {
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: text(spec.ipv4.map(|a| a.to_string())),
            ipv6_address: text(spec.ipv6.map(|a| a.to_string())),
            link_local_ips: (!link_local.is_empty()).then_some(link_local),
        }),
        links: list(&spec.links),
        aliases: list(&spec.aliases),
        mac_address: spec.mac_address.clone().unwrap_or_default(),
        driver_opts: map_or_null(&spec.driver_options),
        gw_priority: Some(spec.gateway_priority),
        ..EndpointSettings::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_addresses_are_read_and_shown() {
        let settings: EndpointSettings = crate::go::from_slice(
            br#"{"IPAMConfig":{"IPv4Address":"10.0.0.5"},"Aliases":["db"],"MacAddress":"02-42-AC-11-00-02","GwPriority":7}"#,
        )
        .unwrap();
        let spec = endpoint_spec("mine", &settings).unwrap();
        assert_eq!(spec.mac_address.as_deref(), Some("02:42:ac:11:00:02"));
        let shown = endpoint_settings(&spec);
        assert_eq!(shown.ipam_config.unwrap().ipv4_address, "10.0.0.5");
        assert_eq!(shown.gw_priority, Some(7));
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for json in [
            r#"{"IPAMConfig":{"IPv4Address":"fe80::1"}}"#,
            r#"{"IPAMConfig":{"LinkLocalIPs":["x"]}}"#,
            r#"{"MacAddress":"02:42"}"#,
        ] {
            let settings: EndpointSettings = crate::go::from_slice(json.as_bytes()).unwrap();
            let error = endpoint_spec("mine", &settings).unwrap_err();
            assert!(error.message.contains("invalid config for network mine"), "{error}");
        }
    }
}

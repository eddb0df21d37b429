//! Docker's option strings (`docker network create -o key=value`, `--driver-opt`) as typed values.
//!
//! Keys are those of Docker's documentation of the bridge, macvlan and ipvlan drivers. A known key
//! with an unknown value is an error; a key that no driver knows is ignored as Docker does, and the
//! caller learns of it from the return value.

use std::str::FromStr;

use crate::{
    config::{GatewayMode, IpvlanMode, MacvlanMode, NetworkConfig},
    endpoint::EndpointConfig,
    error::{Error, Result},
};

/// Longest interface name in bytes (`IFNAMSIZ` without its NUL, `netdevice(7)`).
pub const IFNAME_MAX: usize = 15;

/// Applies one driver option to a network. False: no driver knows the key.
pub fn apply_to_network(config: &mut NetworkConfig, key: &str, value: &str) -> Result<bool> {
    let invalid = || Error::InvalidOption { key: key.to_owned(), value: value.to_owned() };
    match key {
        "com.docker.network.bridge.name" => {
            config.bridge_name = ifname(value).ok_or_else(invalid)?
        }
        "com.docker.network.bridge.enable_icc" => {
            config.icc = boolean(value).ok_or_else(invalid)?
        }
        "com.docker.network.bridge.enable_ip_masquerade" => {
            config.masquerade = boolean(value).ok_or_else(invalid)?;
        }
        "com.docker.network.driver.mtu" => config.mtu = mtu(value).ok_or_else(invalid)?,
        "com.docker.network.bridge.host_binding_ipv4" => {
            config.default_host_ip = Some(parsed(value).ok_or_else(invalid)?);
        }
        "com.docker.network.bridge.gateway_mode_ipv4" => {
            config.gateway_mode_v4 = gateway_mode(value).ok_or_else(invalid)?;
        }
        "com.docker.network.bridge.gateway_mode_ipv6" => {
            config.gateway_mode_v6 = gateway_mode(value).ok_or_else(invalid)?;
        }
        "com.docker.network.bridge.default_bridge" => {
            config.is_default_bridge = boolean(value).ok_or_else(invalid)?;
        }
        "com.docker.network.host_ipv4" => config.snat_v4 = Some(parsed(value).ok_or_else(invalid)?),
        "com.docker.network.host_ipv6" => config.snat_v6 = Some(parsed(value).ok_or_else(invalid)?),
        "com.docker.network.container_iface_prefix"
        | "com.docker.network.container_interface_prefix" => {
            config.ifname_prefix = ifname_prefix(value).ok_or_else(invalid)?;
        }
        "parent" => config.parent = Some(ifname(value).ok_or_else(invalid)?),
        "macvlan_mode" => config.macvlan_mode = macvlan_mode(value).ok_or_else(invalid)?,
        "ipvlan_mode" => config.ipvlan_mode = ipvlan_mode(value).ok_or_else(invalid)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Applies one driver option to an endpoint. False: no driver knows the key.
pub fn apply_to_endpoint(config: &mut EndpointConfig, key: &str, value: &str) -> Result<bool> {
    let invalid = || Error::InvalidOption { key: key.to_owned(), value: value.to_owned() };
    match key {
        "com.docker.network.endpoint.ifname" => {
            config.ifname = Some(ifname(value).ok_or_else(invalid)?);
        }
        "com.docker.network.endpoint.sysctls" => {
            for setting in value.split(',').filter(|part| !part.is_empty()) {
                let (name, content) = setting.split_once('=').ok_or_else(invalid)?;
                if !is_interface_sysctl(name) {
                    return Err(invalid());
                }
                config.sysctls.insert(name.to_owned(), content.to_owned());
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// True for `net.<family>.<table>.IFNAME.<setting>`: the only settings an endpoint may change.
/// Anything else would leave the interface, or `/proc/sys`.
fn is_interface_sysctl(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    let word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    parts.len() == 5
        && parts[0] == "net"
        && matches!(parts[1], "ipv4" | "ipv6" | "mpls")
        && parts[3] == "IFNAME"
        && parts.iter().all(|part| word(part))
}

/// A name that the kernel takes for an interface (`dev_valid_name`).
fn ifname(text: &str) -> Option<String> {
    let ok = !text.is_empty()
        && text.len() <= IFNAME_MAX
        && text != "."
        && text != ".."
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':' && b != b'%');
    ok.then(|| text.to_owned())
}

/// A prefix leaves room for a number of three digits.
fn ifname_prefix(text: &str) -> Option<String> {
    ifname(text).filter(|prefix| prefix.len() <= IFNAME_MAX - 3 && prefix != "lo")
}

/// Go's `strconv.ParseBool`, which Docker uses.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Bytes; 0 is "not said". Below 68 no IPv4 packet fits (RFC 791).
fn mtu(text: &str) -> Option<Option<u32>> {
    match text.parse::<u32>().ok()? {
        0 => Some(None),
        bytes @ 68..=65535 => Some(Some(bytes)),
        _ => None,
    }
}

fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn gateway_mode(text: &str) -> Option<GatewayMode> {
    Some(match text {
        "" | "nat" => GatewayMode::Nat,
        "nat-unprotected" => GatewayMode::NatUnprotected,
        "routed" => GatewayMode::Routed,
        "isolated" => GatewayMode::Isolated,
        _ => return None,
    })
}

fn macvlan_mode(text: &str) -> Option<MacvlanMode> {
    Some(match text {
        "" | "bridge" => MacvlanMode::Bridge,
        "private" => MacvlanMode::Private,
        "vepa" => MacvlanMode::Vepa,
        "passthru" => MacvlanMode::Passthru,
        _ => return None,
    })
}

fn ipvlan_mode(text: &str) -> Option<IpvlanMode> {
    Some(match text {
        "" | "l2" => IpvlanMode::L2,
        "l3" => IpvlanMode::L3,
        "l3s" => IpvlanMode::L3s,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_keys_change_the_network() {
        let mut config = NetworkConfig::default();
        for (key, value) in [
            ("com.docker.network.bridge.name", "br-test"),
            ("com.docker.network.bridge.enable_icc", "false"),
            ("com.docker.network.driver.mtu", "1400"),
            ("com.docker.network.bridge.gateway_mode_ipv6", "routed"),
            ("com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"),
        ] {
            assert!(apply_to_network(&mut config, key, value).unwrap(), "{key}");
        }
        assert_eq!(config.bridge_name, "br-test");
        assert!(!config.icc);
        assert_eq!(config.mtu, Some(1400));
        assert_eq!(config.gateway_mode_v6, GatewayMode::Routed);
        assert!(!apply_to_network(&mut config, "my.label", "x").unwrap());
    }

    #[test]
    fn bad_values_are_errors() {
        let mut config = NetworkConfig::default();
        for (key, value) in [
            ("com.docker.network.bridge.name", "a-name-of-sixteen"),
            ("com.docker.network.bridge.name", "a/b"),
            ("com.docker.network.bridge.enable_icc", "yes"),
            ("com.docker.network.driver.mtu", "12"),
            ("com.docker.network.driver.mtu", "-1"),
            ("com.docker.network.bridge.gateway_mode_ipv4", "open"),
        ] {
            assert!(apply_to_network(&mut config, key, value).is_err(), "{key}={value}");
        }
        assert_eq!(config, NetworkConfig::default());
    }

    #[test]
    fn endpoint_sysctls_stay_on_their_interface() {
        let mut config = EndpointConfig::default();
        let key = "com.docker.network.endpoint.sysctls";
        let good = "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0";
        assert!(apply_to_endpoint(&mut config, key, good).unwrap());
        assert_eq!(config.sysctls.len(), 2);
        for bad in [
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.../x.IFNAME=1",
            "kernel.a.b.IFNAME.c=1",
            "net.ipv4.conf.IFNAME.x",
        ] {
            assert!(apply_to_endpoint(&mut config, key, bad).is_err(), "{bad}");
        }
    }
}

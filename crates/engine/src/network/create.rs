//! Create: from the request's texts to a network's configuration. Pure.

use std::net::IpAddr;

use model::{NetworkId, name::NetworkName};
use net::{Cidr, DriverKind, NetworkConfig};

use super::{CreateRequest, Subnet, table::Record};
use crate::{Error, Result, moment};

/// Reads a request; returns the record to be and warnings.
pub fn record(request: CreateRequest) -> Result<(Record, Vec<String>)> {
    let name: NetworkName = request.name.parse().map_err(|_| match request.name.trim() {
        "" => Error::Invalid("invalid network name: name is empty".to_owned()),
        _ => Error::Invalid(format!(
            "invalid network name \"{}\": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            request.name
        )),
    })?;
    if ["bridge", "host", "none", "default"].contains(&name.as_str()) {
        return Err(Error::Forbidden(format!(
            "operation is not permitted on predefined {name} network"
        )));
    }
    let driver: DriverKind = request
        .driver
        .parse()
        .map_err(|error: net::config::UnknownDriver| Error::NotFound(error.to_string()))?;
    if matches!(driver, DriverKind::Host | DriverKind::None) {
        return Err(Error::Forbidden(format!(
            "only one instance of \"{}\" network is allowed",
            request.driver
        )));
    }
    let mut config = NetworkConfig {
        id: NetworkId::from_bytes(moment::random_id()),
        name,
        driver,
        internal: request.internal,
        ipv4: request.ipv4.unwrap_or(true),
        ipv6: request.ipv6.unwrap_or(false),
        ..NetworkConfig::default()
    };
    let mut warnings = Vec::new();
    for (key, value) in &request.options {
        let known = net::options::apply_to_network(&mut config, key, value)
            .map_err(|error| Error::Invalid(crate::error::chain(&error)))?;
        if !known {
            warnings.push(format!("network option {key} is not known and has no effect"));
        }
    }
    // Only the engine's own bridge is the default one, whatever an option says.
    config.is_default_bridge = false;
    for subnet in &request.subnets {
        let subnet = read(subnet)?;
        if !subnet.cidr.is_ipv4() {
            config.ipv6 = true;
        }
        config.subnets.push(subnet);
    }
    if !matches!(request.ipam_driver.as_str(), "" | "default" | "null") {
        return Err(Error::Invalid(format!(
            "could not find an IPAM driver with name {}",
            request.ipam_driver
        )));
    }
    let record = Record {
        created_ns: moment::now_ns(),
        config,
        predefined: false,
        attachable: request.attachable,
        ipam_driver: "default".to_owned(),
        ipam_options: request.ipam_options,
        options: request.options,
        labels: request.labels,
    };
    Ok((record, warnings))
}

fn read(asked: &Subnet) -> Result<net::Subnet> {
    let invalid = |what: &str, text: &str| {
        Error::Invalid(format!("invalid network config: invalid {what} {text}"))
    };
    let cidr: Cidr = asked.subnet.parse().map_err(|_| invalid("subnet", &asked.subnet))?;
    if !cidr.is_network() {
        return Err(Error::Invalid(format!(
            "invalid network config: invalid subnet {cidr}: it should be {}",
            cidr.network()
        )));
    }
    let mut subnet = net::Subnet::new(cidr);
    if !asked.range.is_empty() {
        subnet.range = Some(asked.range.parse().map_err(|_| invalid("ip-range", &asked.range))?);
    }
    subnet.gateway = asked.gateway;
    let reserved: Vec<(String, IpAddr)> =
        asked.reserved.iter().map(|(name, addr)| (name.clone(), *addr)).collect();
    subnet.reserved.extend(reserved);
    Ok(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> CreateRequest {
        CreateRequest { name: name.to_owned(), ..CreateRequest::default() }
    }

    #[test]
    fn requests_become_configurations() {
        let mut asked = request("web");
        asked.subnets.push(Subnet { subnet: "10.9.0.0/24".to_owned(), ..Subnet::default() });
        asked.options.insert("com.docker.network.driver.mtu".to_owned(), "1400".to_owned());
        asked.options.insert("unknown".to_owned(), "1".to_owned());
        let (record, warnings) = record(asked).unwrap();
        assert_eq!(record.config.mtu, Some(1400));
        assert_eq!(record.config.subnets.len(), 1);
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn wrong_requests_are_refused() {
        assert!(record(request("bridge")).is_err());
        assert!(record(request("")).is_err());
        let mut asked = request("web");
        asked.subnets.push(Subnet { subnet: "10.9.0.1/24".to_owned(), ..Subnet::default() });
        assert!(record(asked).unwrap_err().text().contains("10.9.0.0/24"));
        let driver = CreateRequest { driver: "carrier".to_owned(), ..request("web") };
        assert_eq!(record(driver).unwrap_err().kind(), model::ErrorKind::NotFound);
    }
}

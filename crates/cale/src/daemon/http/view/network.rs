//! Networks.

use std::collections::BTreeMap;

use api::{
    convert::rfc3339_nano,
    wire::{ConfigReference, EndpointResource, Ipam, IpamConfig, Network, map_of, map_or_null},
};
use engine::network::{Inspection, Subnet};

/// A line of `GET /networks`.
pub fn summary(one: &Inspection) -> Network {
    Network {
        name: one.name.clone(),
        id: one.id.to_string(),
        created: rfc3339_nano(Some(one.created_ns)),
        scope: "local".to_owned(),
        driver: one.driver.clone(),
        enable_ipv4: one.ipv4,
        enable_ipv6: one.ipv6,
        ipam: Ipam {
            driver: one.ipam_driver.clone(),
            options: map_or_null(&one.ipam_options),
            config: Some(one.subnets.iter().map(subnet).collect()),
        },
        internal: one.internal,
        attachable: one.attachable,
        ingress: false,
        config_from: ConfigReference::default(),
        config_only: false,
        containers: None,
        options: Some(map_of(&one.options)),
        labels: Some(map_of(&one.labels)),
        status: None,
    }
}

/// `GET /networks/{id}`
pub fn inspect(one: &Inspection) -> Network {
    let member = |(id, member): (&String, &engine::network::Member)| {
        let resource = EndpointResource {
            name: member.name.clone(),
            endpoint_id: member.endpoint_id.clone(),
            mac_address: member.mac_address.clone(),
            ipv4_address: member.ipv4.clone(),
            ipv6_address: member.ipv6.clone(),
        };
        (id.clone(), resource)
    };
    let containers: BTreeMap<String, EndpointResource> =
        one.containers.iter().map(member).collect();
    Network { containers: Some(containers), ..summary(one) }
}

fn subnet(subnet: &Subnet) -> IpamConfig {
    let reserved: BTreeMap<String, String> =
        subnet.reserved.iter().map(|(name, a)| (name.clone(), a.to_string())).collect();
    IpamConfig {
        subnet: subnet.subnet.clone(),
        ip_range: subnet.range.clone(),
        gateway: subnet.gateway.map(|a| a.to_string()).unwrap_or_default(),
        auxiliary_addresses: (!reserved.is_empty()).then_some(reserved),
    }
}

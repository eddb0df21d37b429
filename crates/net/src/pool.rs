//! Choice of subnets for networks that name none. Pure: routes and taken subnets come in as facts.
//!
//! The first pools are Docker's, so that networks look as people expect; a finer one behind them
//! carries thousands of networks.

use crate::cidr::Cidr;

/// A block that is cut into subnets of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// The block.
    pub base: Cidr,
    /// Prefix length of the subnets.
    pub size: u8,
}

/// Docker's IPv4 pools (`172.17–31/16`, `192.168/20`), then 4,096 subnets of 256 addresses.
pub fn default_v4() -> Vec<AddressPool> {
    [
        ("172.17.0.0/16", 16),
        ("172.18.0.0/16", 16),
        ("172.19.0.0/16", 16),
        ("172.20.0.0/14", 16),
        ("172.24.0.0/14", 16),
        ("172.28.0.0/14", 16),
        ("192.168.0.0/16", 20),
        ("10.176.0.0/12", 24),
    ]
    .into_iter()
    .map(|(base, size)| AddressPool { base: base.parse().expect("a constant CIDR"), size })
    .collect()
}

/// A unique local block (RFC 4193): `fd`, 40 bits of `seed`, cut into /64 subnets.
/// The seed should differ between hosts and stay the same on one (its machine id).
pub fn default_v6(seed: [u8; 5]) -> Vec<AddressPool> {
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&seed);
    let base = Cidr::new(std::net::Ipv6Addr::from(octets).into(), 48).expect("48 ≤ 128");
    vec![AddressPool { base, size: 64 }]
}

/// The first subnet of the pools that overlaps neither a network nor a route of the host.
pub fn choose(pools: &[AddressPool], taken: &[Cidr], routes: &[Cidr]) -> Option<Cidr> {
    let busy: Vec<Cidr> = taken.iter().chain(routes).copied().map(Cidr::network).collect();
    pools.iter().find_map(|pool| first_free(pool, &busy))
}

/// One pass over what is in the way, in order of addresses.
fn first_free(pool: &AddressPool, busy: &[Cidr]) -> Option<Cidr> {
    let step = 1u128.checked_shl(u32::from(pool.base.width().checked_sub(pool.size)?))?;
    if busy.iter().any(|busy| busy.covers(pool.base)) {
        return None;
    }
    let within = busy.iter().filter(|busy| pool.base.covers(**busy));
    let mut spans: Vec<(u128, u128)> = within
        .filter_map(|busy| {
            Some((pool.base.offset_of(busy.first())?, pool.base.offset_of(busy.last())?))
        })
        .collect();
    spans.sort_unstable();
    let mut offset = 0u128;
    for (start, end) in spans {
        if start >= offset + step {
            break;
        }
        if end >= offset {
            offset = (end + 1).checked_next_multiple_of(step)?;
        }
    }
    Cidr::new(pool.base.nth(offset)?, pool.size).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn dockers_order_first() {
        let pools = default_v4();
        assert_eq!(choose(&pools, &[], &[]), Some(cidr("172.17.0.0/16")));
        assert_eq!(choose(&pools, &[cidr("172.17.0.0/16")], &[]), Some(cidr("172.18.0.0/16")));
        let busy = [cidr("172.16.0.0/12"), cidr("192.168.0.0/20")];
        assert_eq!(choose(&pools, &busy, &[]), Some(cidr("192.168.16.0/20")));
    }

    #[test]
    fn routes_of_the_host_are_avoided() {
        let pools = default_v4();
        let routes = [cidr("172.17.4.0/24"), cidr("172.18.0.1/32"), cidr("172.20.0.0/15")];
        assert_eq!(choose(&pools, &[], &routes), Some(cidr("172.19.0.0/16")));
        assert_eq!(choose(&pools, &[cidr("172.19.0.0/16")], &routes), Some(cidr("172.22.0.0/16")));
        assert_eq!(choose(&pools, &[], &[cidr("0.0.0.0/1"), cidr("128.0.0.0/1")]), None);
    }

    #[test]
    fn two_thousand_networks_fit() {
        let pools = default_v4();
        let mut taken: Vec<Cidr> = Vec::new();
        for _ in 0..2100 {
            let next = choose(&pools, &taken, &[]).unwrap();
            assert!(!taken.contains(&next));
            taken.push(next);
        }
        assert!(taken[40].overlaps(cidr("10.176.0.0/12")));
    }

    #[test]
    fn v6_is_local_and_per_host() {
        let pools = default_v6([1, 2, 3, 4, 5]);
        let first = choose(&pools, &[], &[]).unwrap();
        assert_eq!(first, cidr("fd01:203:405::/64"));
        assert_eq!(choose(&pools, &[first], &[]), Some(cidr("fd01:203:405:1::/64")));
    }
}

//! Addresses of one network: which are given out, which is next. Pure.
//!
//! The lowest free address is given first. Never given: the subnet's first address (and, for
//! IPv4, its last), the gateway, reserved addresses.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    cidr::Cidr,
    config::{Family, NetworkConfig, Subnet},
    error::{Error, Result},
};

/// Addresses of a network's subnets.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    subnets: Vec<Sheet>,
}

#[derive(Clone, Debug)]
struct Sheet {
    subnet: Subnet,
    used: BTreeSet<u128>,
    /// No lower offset is free.
    lowest: u128,
}

impl AddressBook {
    /// A book in which only gateways and reserved addresses are used.
    pub fn new(config: &NetworkConfig) -> Self {
        Self { subnets: config.subnets.iter().cloned().map(Sheet::new).collect() }
    }

    /// Gives out a free address with its subnet's prefix length.
    pub fn take_any(&mut self, family: Family, network: &str) -> Result<Cidr> {
        self.of(family).find_map(Sheet::take_lowest).ok_or_else(|| Error::NoFreeAddress {
            family: if family == Family::V4 { "IPv4" } else { "IPv6" },
            network: network.to_owned(),
        })
    }

    /// Gives out one address. It may lie outside of the subnet's range.
    pub fn take(&mut self, addr: IpAddr) -> Result<Cidr> {
        let sheet = self
            .of(Family::of(addr))
            .find(|sheet| sheet.subnet.cidr.contains(addr))
            .ok_or_else(|| {
                Error::InvalidEndpoint(format!("no configured subnet contains IP address {addr}"))
            })?;
        sheet.take(addr)
    }

    /// Takes an address back; one that was not given out is no matter.
    pub fn release(&mut self, addr: IpAddr) {
        if let Some(sheet) = self.of(Family::of(addr)).find(|s| s.subnet.cidr.contains(addr)) {
            sheet.release(addr);
        }
    }

    /// How many addresses of a subnet are used, gateway and reserved ones included.
    pub fn used(&self, subnet: Cidr) -> usize {
        self.subnets.iter().find(|sheet| sheet.subnet.cidr == subnet).map_or(0, |s| s.used.len())
    }

    fn of(&mut self, family: Family) -> impl Iterator<Item = &mut Sheet> {
        self.subnets.iter_mut().filter(move |s| Family::of(s.subnet.cidr.addr()) == family)
    }
}

impl Sheet {
    fn new(subnet: Subnet) -> Self {
        let kept = subnet.gateway.iter().chain(subnet.reserved.values());
        let used = kept.filter_map(|&addr| subnet.cidr.offset_of(addr)).collect();
        Self { subnet, used, lowest: 0 }
    }

    /// First and last offset that may be given out by themselves.
    fn bounds(&self) -> (u128, u128) {
        let cidr = self.subnet.cidr;
        let (first, last) = usable(cidr);
        match self.subnet.range {
            Some(range) => {
                let start = cidr.offset_of(range.first()).unwrap_or(first);
                let end = cidr.offset_of(range.last()).unwrap_or(last);
                (start.max(first), end.min(last))
            }
            None => (first, last),
        }
    }

    fn take_lowest(&mut self) -> Option<Cidr> {
        let (first, last) = self.bounds();
        let mut offset = self.lowest.max(first);
        for &used in self.used.range(offset..) {
            if used != offset {
                break;
            }
            offset += 1;
        }
        if offset > last {
            return None;
        }
        self.used.insert(offset);
        self.lowest = offset + 1;
        Cidr::new(self.subnet.cidr.nth(offset)?, self.subnet.cidr.prefix()).ok()
    }

    fn take(&mut self, addr: IpAddr) -> Result<Cidr> {
        let cidr = self.subnet.cidr;
        let (first, last) = usable(cidr);
        let offset = cidr.offset_of(addr).filter(|&offset| (first..=last).contains(&offset));
        let offset = offset.ok_or_else(|| {
            Error::InvalidEndpoint(format!("address {addr} can't be given to a container"))
        })?;
        if !self.used.insert(offset) {
            return Err(Error::AddressInUse { addr });
        }
        Cidr::new(addr, cidr.prefix()).map_err(|error| Error::InvalidEndpoint(error.to_string()))
    }

    fn release(&mut self, addr: IpAddr) {
        let kept = self.subnet.gateway == Some(addr)
            || self.subnet.reserved.values().any(|&reserved| reserved == addr);
        if let Some(offset) = self.subnet.cidr.offset_of(addr).filter(|_| !kept) {
            self.used.remove(&offset);
            self.lowest = self.lowest.min(offset);
        }
    }
}

/// First and last offset that a host may bear.
fn usable(cidr: Cidr) -> (u128, u128) {
    let last = cidr.last_offset();
    match (cidr.is_ipv4(), last) {
        // RFC 3021: both addresses of a /31 are hosts; a /32 is one.
        (_, 0 | 1) => (0, last),
        (true, _) => (1, last - 1),
        // The first is the subnet-router anycast address (RFC 4291, 2.6.1).
        (false, _) => (1, last),
    }
}

/// The address that a subnet's gateway gets when nobody says: the first of the range or subnet.
pub fn default_gateway(subnet: &Subnet) -> Option<IpAddr> {
    let within = subnet.range.unwrap_or(subnet.cidr);
    let base = subnet.cidr.offset_of(within.first())?;
    let (first, last) = usable(subnet.cidr);
    (base.max(first)..=last)
        .filter_map(|offset| subnet.cidr.nth(offset))
        .find(|addr| !subnet.reserved.values().any(|reserved| reserved == addr))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn book(cidr: &str, range: Option<&str>) -> AddressBook {
        let mut subnet = Subnet::new(cidr.parse().unwrap());
        subnet.range = range.map(|range| range.parse().unwrap());
        subnet.gateway = default_gateway(&subnet);
        AddressBook::new(&NetworkConfig { subnets: vec![subnet], ..NetworkConfig::default() })
    }

    fn next(book: &mut AddressBook, family: Family) -> Option<String> {
        book.take_any(family, "n").ok().map(|cidr| cidr.to_string())
    }

    #[test]
    fn the_lowest_free_address_is_next() {
        let mut book = book("172.17.0.0/16", None);
        assert_eq!(next(&mut book, Family::V4).as_deref(), Some("172.17.0.2/16"));
        assert_eq!(next(&mut book, Family::V4).as_deref(), Some("172.17.0.3/16"));
        book.release("172.17.0.2".parse().unwrap());
        book.release("172.17.0.1".parse().unwrap());
        assert_eq!(next(&mut book, Family::V4).as_deref(), Some("172.17.0.2/16"));
        assert_eq!(next(&mut book, Family::V4).as_deref(), Some("172.17.0.4/16"));
        assert_eq!(next(&mut book, Family::V6), None);
    }

    #[test]
    fn a_small_subnet_runs_out() {
        let mut book = book("10.0.0.0/30", None);
        assert_eq!(next(&mut book, Family::V4).as_deref(), Some("10.0.0.2/30"));
        assert_eq!(next(&mut book, Family::V4), None);
    }

    #[test]
    fn a_range_limits_what_is_given_but_not_what_may_be_asked() {
        let mut book = book("10.0.0.0/16", Some("10.0.5.0/24"));
        // The range's own first and last address lie inside the subnet and are hosts as any other;
        // the first of them is the gateway.
        assert_eq!(next(&mut book, Family::V4).as_deref(), Some("10.0.5.1/16"));
        assert_eq!(book.take("10.0.9.9".parse().unwrap()).unwrap().to_string(), "10.0.9.9/16");
        assert!(matches!(book.take("10.0.9.9".parse().unwrap()), Err(Error::AddressInUse { .. })));
        assert!(book.take("10.0.255.255".parse().unwrap()).is_err());
        assert!(book.take("10.1.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn v6_counts_up_too() {
        let mut book = book("fd00::/64", None);
        assert_eq!(next(&mut book, Family::V6).as_deref(), Some("fd00::2/64"));
    }

    proptest! {
        #[test]
        fn no_address_is_given_twice(releases in proptest::collection::vec(0u8..200, 0..200)) {
            let mut book = book("10.0.0.0/24", None);
            let mut held = std::collections::BTreeSet::new();
            for release in releases {
                if let Ok(cidr) = book.take_any(Family::V4, "n") {
                    prop_assert!(held.insert(cidr.addr()));
                }
                let addr: IpAddr = [10, 0, 0, release].into();
                if held.remove(&addr) {
                    book.release(addr);
                }
            }
        }
    }
}

//! Addresses with a prefix length (RFC 4632) and MAC addresses.
//!
//! Pure values: text in, text out, arithmetic. Owns no allocation policy (`pool`, `ipam`).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A text that is no address with prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct CidrError(pub String);

/// An address and how many of its leading bits name the network: `172.17.0.2/16`.
///
/// Host bits may be set (an interface's address) or clear (a subnet, see [`Cidr::network`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    addr: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Checks that the prefix length fits the family.
    pub fn new(addr: IpAddr, prefix: u8) -> Result<Self, CidrError> {
        let max = if addr.is_ipv4() { 32 } else { 128 };
        if prefix > max {
            return Err(CidrError(format!("{addr}/{prefix}")));
        }
        Ok(Self { addr, prefix })
    }

    /// The address, host bits included.
    pub fn addr(self) -> IpAddr {
        self.addr
    }

    /// Length of the network part in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// True for IPv4.
    pub fn is_ipv4(self) -> bool {
        self.addr.is_ipv4()
    }

    /// Width of the family's addresses in bits.
    pub fn width(self) -> u8 {
        if self.is_ipv4() { 32 } else { 128 }
    }

    /// The same network with the host bits cleared.
    pub fn network(self) -> Self {
        Self { addr: from_bits(self.is_ipv4(), self.first_bits()), prefix: self.prefix }
    }

    /// True when no host bit is set.
    pub fn is_network(self) -> bool {
        self.network() == self
    }

    /// First address of the network.
    pub fn first(self) -> IpAddr {
        self.network().addr
    }

    /// Last address of the network (IPv4: its broadcast address).
    pub fn last(self) -> IpAddr {
        from_bits(self.is_ipv4(), self.first_bits() | self.host_mask())
    }

    /// True when the address lies in this network.
    pub fn contains(self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.is_ipv4() && to_bits(addr) & !self.host_mask() == self.first_bits()
    }

    /// True when the other network lies in this one.
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.addr)
    }

    /// True when the two networks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The address `offset` after the first one; `None` outside of the network.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        (offset <= self.host_mask()).then(|| from_bits(self.is_ipv4(), self.first_bits() + offset))
    }

    /// How far the address is from the first one; `None` outside of the network.
    pub fn offset_of(self, addr: IpAddr) -> Option<u128> {
        self.contains(addr).then(|| to_bits(addr) - self.first_bits())
    }

    /// Offset of the last address.
    pub fn last_offset(self) -> u128 {
        self.host_mask()
    }

    fn host_mask(self) -> u128 {
        let host_bits = u32::from(self.width() - self.prefix);
        if host_bits == 128 { u128::MAX } else { (1u128 << host_bits) - 1 }
    }

    fn first_bits(self) -> u128 {
        to_bits(self.addr) & !self.host_mask()
    }
}

fn to_bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(is_ipv4: bool, bits: u128) -> IpAddr {
    if is_ipv4 {
        let low = u32::try_from(bits & u128::from(u32::MAX)).unwrap_or(u32::MAX);
        Ipv4Addr::from_bits(low).into()
    } else {
        Ipv6Addr::from_bits(bits).into()
    }
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let bad = || CidrError(text.to_owned());
        let (addr, prefix) = text.split_once('/').ok_or_else(bad)?;
        // `parse` would accept a sign; a prefix is digits only.
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        Self::new(addr.parse().map_err(|_| bad())?, prefix.parse().map_err(|_| bad())?)
            .map_err(|_| bad())
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;
    fn try_from(text: String) -> Result<Self, CidrError> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is no MAC address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid MAC address: {0}")]
pub struct MacError(pub String);

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// `02:42` and the IPv4 address. An address that is given out again keeps its MAC, so that
    /// no neighbour's ARP cache goes stale.
    pub fn from_ipv4(addr: Ipv4Addr) -> Self {
        let [a, b, c, d] = addr.octets();
        Self([0x02, 0x42, a, b, c, d])
    }

    /// `02:42` and the low bytes of the IPv6 address, for networks without IPv4.
    pub fn from_ipv6(addr: Ipv6Addr) -> Self {
        let octets = addr.octets();
        Self([0x02, 0x42, octets[12], octets[13], octets[14], octets[15]])
    }

    /// True for a unicast address that an interface may bear (IEEE 802: lowest bit of the first byte clear).
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let bad = || MacError(text.to_owned());
        let mut bytes = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;
    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_back() {
        for text in ["172.17.0.2/16", "0.0.0.0/0", "fd00::1/64", "::/0", "10.0.0.1/32"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        for text in
            ["172.17.0.2", "1.2.3.4/33", "::/129", "1.2.3.4/+8", "1.2.3/8", "/8", "a/8", "1.2.3.4/"]
        {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn arithmetic() {
        let net = cidr("172.17.5.9/16");
        assert_eq!(net.network(), cidr("172.17.0.0/16"));
        assert!(!net.is_network());
        assert_eq!(net.last().to_string(), "172.17.255.255");
        assert_eq!(net.nth(2).unwrap().to_string(), "172.17.0.2");
        assert_eq!(net.nth(65536), None);
        assert_eq!(net.offset_of("172.17.1.0".parse().unwrap()), Some(256));
        assert!(!net.contains("fd00::1".parse().unwrap()));
        assert!(cidr("10.0.0.0/8").overlaps(cidr("10.9.0.0/16")));
        assert!(cidr("10.9.0.0/16").overlaps(cidr("10.0.0.0/8")));
        assert!(!cidr("10.8.0.0/16").overlaps(cidr("10.9.0.0/16")));
        assert!(cidr("::/0").contains("ff::1".parse().unwrap()));
        assert_eq!(cidr("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    }

    #[test]
    fn mac_text() {
        let mac = Mac::from_ipv4(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(mac.to_string(), "02:42:ac:11:00:02");
        assert_eq!("02-42-AC-11-00-02".parse(), Ok(mac));
        for text in ["", "02:42", "02:42:ac:11:00:02:03", "02:42:ac:11:00:0g", "2:42:ac:11:0:2"] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }
}

//! The rules: five base chains and one that is jumped to. The same for every engine and every load.

use super::{
    ACCEPTED_MARK,
    sets::{self, FamilySets},
};
use crate::{
    config::Family,
    nft::{
        expr::{Cmp, Ct, Expr, Header, Meta, Register, Verdict, nfproto},
        transaction::{Hook, SetDef, Transaction},
    },
};

/// Chain that exists only when foreign traffic is dropped.
pub const FOREIGN_CHAIN: &str = "foreign";

const PREROUTING: u32 = 0;
const FORWARD: u32 = 2;
const OUTPUT: u32 = 3;
const POSTROUTING: u32 = 4;
/// `NF_IP_PRI_RAW`: before connection tracking.
const RAW: i32 = -300;
const DSTNAT: i32 = -100;
/// Before `filter` (0), where other firewalls are: packets get their mark in time.
const BEFORE_FILTER: i32 = -1;
const SRCNAT: i32 = 100;

/// State bits (`NF_CT_STATE_BIT`): established 2, related 4.
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`.
const STATUS_DNAT: u32 = 1 << 5;
const RTN_LOCAL: u32 = 2;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
const R0: Register = Register(0);

/// Writes all chains and rules.
pub fn write(transaction: &mut Transaction<'_>, drops_foreign: bool) {
    let filter = |hook, priority| Some(Hook { kind: "filter", hook, priority });
    let nat = |hook, priority| Some(Hook { kind: "nat", hook, priority });
    transaction.create_chain("inbound", None);
    let mut chain = |name: &str, hook, rules: Vec<Vec<Expr>>| {
        if name != "inbound" {
            transaction.create_chain(name, hook);
        }
        for rule in rules {
            transaction.append_rule(name, &rule);
        }
    };
    chain("inbound", None, inbound());
    chain("raw_prerouting", filter(PREROUTING, RAW), raw_prerouting());
    chain("nat_prerouting", nat(PREROUTING, DSTNAT), translation());
    let mut output = vec![spare_v6_loopback()];
    output.extend(translation());
    chain("nat_output", nat(OUTPUT, DSTNAT), output);
    chain("nat_postrouting", nat(POSTROUTING, SRCNAT), postrouting());
    chain("forward", filter(FORWARD, BEFORE_FILTER), forward());
    if drops_foreign {
        chain(FOREIGN_CHAIN, filter(FORWARD, 0), foreign());
    }
}

/// Loopback addresses never come from a wire: what is published on 127.0.0.1 stays on the host,
/// and a container can't reach the host's loopback although its bridge may route it
/// (`route_localnet`, CVE-2020-8558).
fn raw_prerouting() -> Vec<Vec<Expr>> {
    let mut v4 = is_family(Family::V4);
    v4.extend(interface(Meta::IifName, Cmp::NotEqual, "lo"));
    v4.push(Expr::Payload(Header::Network, 16, 1, R0));
    v4.extend([
        Expr::Compare(R0, Cmp::Equal, vec![127]),
        Expr::Counter,
        Expr::Verdict(Verdict::Drop),
    ]);
    let mut v6 = is_family(Family::V6);
    v6.extend(interface(Meta::IifName, Cmp::NotEqual, "lo"));
    v6.push(destination(Family::V6, R0));
    let loopback = std::net::Ipv6Addr::LOCALHOST.octets().to_vec();
    v6.extend([
        Expr::Compare(R0, Cmp::Equal, loopback),
        Expr::Counter,
        Expr::Verdict(Verdict::Drop),
    ]);
    vec![v4, v6]
}

/// The kernel can't send from ::1 to elsewhere; the engine's own listener answers there.
fn spare_v6_loopback() -> Vec<Expr> {
    let mut rule = is_family(Family::V6);
    rule.push(destination(Family::V6, R0));
    rule.push(Expr::Compare(R0, Cmp::Equal, std::net::Ipv6Addr::LOCALHOST.octets().to_vec()));
    rule.push(Expr::Verdict(Verdict::Accept));
    rule
}

/// Published ports. Those of all addresses count only for addresses of this host: a container's
/// connection to another host on the same port is none of ours (CVE-2025-67499).
fn translation() -> Vec<Vec<Expr>> {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let sets = sets::of(family);
        let words = words(family);
        let addr_key = |map: &SetDef, port: bool| {
            let mut rule = is_family(family);
            rule.extend(address_and_port(family));
            rule.extend(translate(family, map, port));
            rule
        };
        let port_key = |map: &SetDef, port: bool| {
            let mut rule = is_family(family);
            rule.push(Expr::FibDestinationType(R0));
            rule.push(Expr::Compare(R0, Cmp::Equal, RTN_LOCAL.to_ne_bytes().to_vec()));
            rule.push(Expr::Meta(Meta::L4Proto, R0));
            rule.push(Expr::Payload(Header::Transport, 2, 2, Register(1)));
            rule.extend(translate(family, map, port));
            rule
        };
        debug_assert!(words + 2 <= 16);
        rules.push(addr_key(&sets.published_at, true));
        rules.push(port_key(&sets.published, true));
        rules.push(addr_key(&sets.run_at, false));
        rules.push(port_key(&sets.run, false));
    }
    rules
}

fn translate(family: Family, map: &SetDef, with_port: bool) -> [Expr; 2] {
    let port = with_port.then_some(Register(words(family)));
    [Expr::FromMap { map: map.name, key: R0, value: R0 }, Expr::Dnat { family, addr: R0, port }]
}

fn postrouting() -> Vec<Vec<Expr>> {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let home = &sets::of(family).home;
        // A container that reaches a neighbour by a published port: the answer would go straight
        // back on the bridge and not be recognized, so it must come by the host.
        let mut hairpin = is_family(family);
        hairpin.extend(was_translated());
        hairpin.push(source_address(family, R0));
        hairpin.push(Expr::Meta(Meta::OifName, Register(words(family))));
        hairpin.extend([in_set(home, R0), Expr::Masquerade]);
        rules.push(hairpin);
    }
    let mut localhost = is_family(Family::V4);
    localhost.push(Expr::Payload(Header::Network, 12, 1, R0));
    localhost.push(Expr::Compare(R0, Cmp::Equal, vec![127]));
    localhost.push(Expr::Meta(Meta::OifName, R0));
    localhost.extend([in_set(&sets::BRIDGES, R0), Expr::Masquerade]);
    rules.push(localhost);
    // Everything else that goes to a container keeps its source address.
    rules.push(vec![
        Expr::Meta(Meta::OifName, R0),
        in_set(&sets::BRIDGES, R0),
        Expr::Verdict(Verdict::Accept),
    ]);
    for family in Family::BOTH {
        let FamilySets { masquerade, source, .. } = sets::of(family);
        let mut fixed = is_family(family);
        fixed.push(source_address(family, R0));
        fixed.push(Expr::FromMap { map: source.name, key: R0, value: R0 });
        fixed.push(Expr::Snat { family, addr: R0 });
        rules.push(fixed);
        let mut hidden = is_family(family);
        hidden.push(source_address(family, R0));
        hidden.extend([in_set(masquerade, R0), Expr::Masquerade]);
        rules.push(hidden);
    }
    rules
}

fn forward() -> Vec<Vec<Expr>> {
    let mut neighbours = vec![
        Expr::Meta(Meta::IifName, R0),
        Expr::Meta(Meta::OifName, Register(4)),
        in_set(&sets::WITHIN, R0),
    ];
    neighbours.extend(mark());
    neighbours.push(Expr::Verdict(Verdict::Accept));
    let one = |key: Meta, set: &SetDef, verdict: Verdict| {
        vec![Expr::Meta(key, R0), in_set(set, R0), Expr::Verdict(verdict)]
    };
    let mut leaving = vec![Expr::Meta(Meta::IifName, R0), in_set(&sets::BRIDGES, R0)];
    leaving.extend(mark());
    leaving.push(Expr::Verdict(Verdict::Accept));
    let answers = |key: Meta| {
        let mut rule = vec![Expr::Meta(key, R0), in_set(&sets::BRIDGES, R0)];
        rule.extend(is_answer());
        rule.extend(mark());
        rule.push(Expr::Verdict(Verdict::Accept));
        rule
    };
    vec![
        answers(Meta::IifName),
        answers(Meta::OifName),
        neighbours,
        one(Meta::IifName, &sets::INTERNAL, Verdict::Drop),
        one(Meta::OifName, &sets::INTERNAL, Verdict::Drop),
        one(Meta::OifName, &sets::BRIDGES, Verdict::Jump("inbound")),
        leaving,
    ]
}

/// What may enter a container network from elsewhere. The last rule drops the rest.
fn inbound() -> Vec<Vec<Expr>> {
    let accept = |mut rule: Vec<Expr>| {
        rule.extend(mark());
        rule.push(Expr::Verdict(Verdict::Accept));
        rule
    };
    let mut rules = vec![accept(was_translated())];
    for family in Family::BOTH {
        let FamilySets { open, routed, routed_ports, .. } = sets::of(family);
        let mut unprotected = is_family(family);
        unprotected.extend([destination(family, R0), in_set(open, R0)]);
        rules.push(accept(unprotected));
        let mut port = is_family(family);
        port.extend(address_and_port(family));
        port.push(in_set(routed_ports, R0));
        rules.push(accept(port));
        let mut icmp = is_family(family);
        let number = if family == Family::V4 { IPPROTO_ICMP } else { IPPROTO_ICMPV6 };
        icmp.push(Expr::Meta(Meta::L4Proto, R0));
        icmp.push(Expr::Compare(R0, Cmp::Equal, vec![number]));
        icmp.extend([destination(family, R0), in_set(routed, R0)]);
        rules.push(accept(icmp));
    }
    rules.push(vec![Expr::Counter, Expr::Verdict(Verdict::Drop)]);
    rules
}

/// Who switches forwarding on for containers must not make the host a router for everybody.
fn foreign() -> Vec<Vec<Expr>> {
    let ours =
        |key| vec![Expr::Meta(key, R0), in_set(&sets::BRIDGES, R0), Expr::Verdict(Verdict::Accept)];
    let mut answers = is_answer();
    answers.push(Expr::Verdict(Verdict::Accept));
    vec![
        answers,
        ours(Meta::IifName),
        ours(Meta::OifName),
        vec![Expr::Counter, Expr::Verdict(Verdict::Drop)],
    ]
}

/// `meta mark |= ACCEPTED_MARK`.
fn mark() -> [Expr; 3] {
    let keep = (!ACCEPTED_MARK).to_ne_bytes().to_vec();
    let set = ACCEPTED_MARK.to_ne_bytes().to_vec();
    [Expr::Meta(Meta::Mark, R0), Expr::Bits(R0, keep, set), Expr::SetMark(R0)]
}

fn is_answer() -> Vec<Expr> {
    ct_bits(Ct::State, ESTABLISHED_OR_RELATED)
}

fn was_translated() -> Vec<Expr> {
    ct_bits(Ct::Status, STATUS_DNAT)
}

fn ct_bits(key: Ct, bits: u32) -> Vec<Expr> {
    vec![
        Expr::Ct(key, R0),
        Expr::Bits(R0, bits.to_ne_bytes().to_vec(), vec![0; 4]),
        Expr::Compare(R0, Cmp::NotEqual, vec![0; 4]),
    ]
}

fn is_family(family: Family) -> Vec<Expr> {
    vec![Expr::Meta(Meta::NfProto, R0), Expr::Compare(R0, Cmp::Equal, vec![nfproto(family)])]
}

fn interface(key: Meta, how: Cmp, name: &str) -> [Expr; 2] {
    let mut padded = name.as_bytes().to_vec();
    padded.resize(16, 0);
    [Expr::Meta(key, R0), Expr::Compare(R0, how, padded)]
}

/// Registers that an address takes.
fn words(family: Family) -> u32 {
    match family {
        Family::V4 => 1,
        Family::V6 => 4,
    }
}

fn source_address(family: Family, to: Register) -> Expr {
    match family {
        Family::V4 => Expr::Payload(Header::Network, 12, 4, to),
        Family::V6 => Expr::Payload(Header::Network, 8, 16, to),
    }
}

fn destination(family: Family, to: Register) -> Expr {
    match family {
        Family::V4 => Expr::Payload(Header::Network, 16, 4, to),
        Family::V6 => Expr::Payload(Header::Network, 24, 16, to),
    }
}

/// Destination address, protocol and destination port in a row.
fn address_and_port(family: Family) -> [Expr; 3] {
    [
        destination(family, R0),
        Expr::Meta(Meta::L4Proto, Register(words(family))),
        Expr::Payload(Header::Transport, 2, 2, Register(words(family) + 1)),
    ]
}

fn in_set(set: &SetDef, key: Register) -> Expr {
    Expr::InSet { set: set.name, key, inverted: false }
}

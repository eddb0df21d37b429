//! The sets and maps of the table, one line each.

use crate::{
    config::Family,
    nft::transaction::{
        Field::{self, Addr, IfName, Port, Protocol},
        SetDef,
    },
};

const V4: Field = Addr(Family::V4);
const V6: Field = Addr(Family::V6);

const fn set(name: &'static str, key: &'static [Field]) -> SetDef {
    SetDef { name, key, value: &[], ranges: false }
}

const fn ranges(name: &'static str, key: &'static [Field]) -> SetDef {
    SetDef { name, key, value: &[], ranges: true }
}

const fn map(name: &'static str, key: &'static [Field], value: &'static [Field]) -> SetDef {
    SetDef { name, key, value, ranges: false }
}

const fn range_map(name: &'static str, key: &'static [Field], value: &'static [Field]) -> SetDef {
    SetDef { name, key, value, ranges: true }
}

/// Bridges of this engine.
pub const BRIDGES: SetDef = set("bridges", &[IfName]);
/// Bridges whose containers may talk to each other, as (bridge, bridge).
pub const WITHIN: SetDef = set("within", &[IfName, IfName]);
/// Bridges that nothing enters or leaves.
pub const INTERNAL: SetDef = set("internal", &[IfName]);

/// The names of one family's sets.
pub struct FamilySets {
    /// (subnet, its bridge).
    pub home: SetDef,
    /// Subnets whose outgoing traffic is masqueraded.
    pub masquerade: SetDef,
    /// Subnets with a fixed outgoing source address.
    pub source: SetDef,
    /// Subnets of which every port is open (`nat-unprotected`).
    pub open: SetDef,
    /// Subnets without translation (`routed`), which answer ICMP.
    pub routed: SetDef,
    /// Open ports of container addresses in routed subnets.
    pub routed_ports: SetDef,
    /// Published on one host address: → container address and port.
    pub published_at: SetDef,
    /// Published on all host addresses.
    pub published: SetDef,
    /// Runs of ports published on one host address, port unchanged: → container address.
    pub run_at: SetDef,
    /// Runs of ports published on all host addresses, port unchanged.
    pub run: SetDef,
}

/// IPv4.
pub const SETS_V4: FamilySets = FamilySets {
    home: ranges("home4", &[V4, IfName]),
    masquerade: ranges("masquerade4", &[V4]),
    source: range_map("source4", &[V4], &[V4]),
    open: ranges("open4", &[V4]),
    routed: ranges("routed4", &[V4]),
    routed_ports: ranges("routed_ports4", &[V4, Protocol, Port]),
    published_at: map("published_at4", &[V4, Protocol, Port], &[V4, Port]),
    published: map("published4", &[Protocol, Port], &[V4, Port]),
    run_at: range_map("run_at4", &[V4, Protocol, Port], &[V4]),
    run: range_map("run4", &[Protocol, Port], &[V4]),
};

/// IPv6.
pub const SETS_V6: FamilySets = FamilySets {
    home: ranges("home6", &[V6, IfName]),
    masquerade: ranges("masquerade6", &[V6]),
    source: range_map("source6", &[V6], &[V6]),
    open: ranges("open6", &[V6]),
    routed: ranges("routed6", &[V6]),
    routed_ports: ranges("routed_ports6", &[V6, Protocol, Port]),
    published_at: map("published_at6", &[V6, Protocol, Port], &[V6, Port]),
    published: map("published6", &[Protocol, Port], &[V6, Port]),
    run_at: range_map("run_at6", &[V6, Protocol, Port], &[V6]),
    run: range_map("run6", &[Protocol, Port], &[V6]),
};

/// The sets of a family.
pub const fn of(family: Family) -> &'static FamilySets {
    match family {
        Family::V4 => &SETS_V4,
        Family::V6 => &SETS_V6,
    }
}

/// Everything there is.
pub const ALL: &[SetDef] = &[
    BRIDGES,
    WITHIN,
    INTERNAL,
    SETS_V4.home,
    SETS_V4.masquerade,
    SETS_V4.source,
    SETS_V4.open,
    SETS_V4.routed,
    SETS_V4.routed_ports,
    SETS_V4.published_at,
    SETS_V4.published,
    SETS_V4.run_at,
    SETS_V4.run,
    SETS_V6.home,
    SETS_V6.masquerade,
    SETS_V6.source,
    SETS_V6.open,
    SETS_V6.routed,
    SETS_V6.routed_ports,
    SETS_V6.published_at,
    SETS_V6.published,
    SETS_V6.run_at,
    SETS_V6.run,
];

//! Changes of the rule set by others, and what base chains there are.

use std::io;

use super::{message, nfgenmsg};
use crate::nl::{
    Batch, Connection,
    message::DUMP,
    parse::{self, Attributes, Message},
};

/// Multicast groups of `Netlink::open` for rule set events (`NFNLGRP_NFTABLES`).
pub const GROUPS: u32 = 1 << (7 - 1);

/// A change made by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Our table, or something in it, was changed.
    OurTable,
    /// A table or chain of others appeared or changed.
    OthersChains,
    /// Nothing that concerns us.
    Irrelevant,
}

/// Classifies an event about the rule set. `own_ports`: sockets whose changes are our own.
pub fn classify(event: &Message<'_>, family: u8, table: &str, own_ports: &[u32]) -> Change {
    let named = event.payload.get(4..).and_then(|rest| Attributes::new(rest).find(1));
    let is_ours = event.payload.first() == Some(&family)
        && named.is_some_and(|name| parse::text(name) == table);
    let by_us = own_ports.contains(&event.port_id);
    match event.kind {
        _ if by_us => Change::Irrelevant,
        message::NEWTABLE
        | message::DELTABLE
        | message::NEWCHAIN
        | message::DELCHAIN
        | message::NEWRULE
        | message::DELRULE
        | message::NEWSET
        | message::DELSET
        | message::NEWSETELEM
        | message::DELSETELEM
            if is_ours =>
        {
            Change::OurTable
        }
        message::NEWTABLE | message::NEWCHAIN | message::DELRULE => Change::OthersChains,
        _ => Change::Irrelevant,
    }
}

/// A base chain of the forward hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardChain {
    /// `NFPROTO_*` of its table.
    pub family: u8,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Drops what no rule decides.
    pub drops: bool,
}

/// Names of the chains of one table.
pub fn chains_of(conn: &mut Connection, family: u8, table: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    dump_chains(conn, |of_family, attributes| {
        let of_table = attributes.find(1).map_or("", parse::text);
        if of_family == family && of_table == table {
            names.extend(attributes.find(3).map(|name| parse::text(name).to_owned()));
        }
    })?;
    Ok(names)
}

/// All base chains on the forward hook of IPv4, IPv6 and both.
pub fn forward_chains(conn: &mut Connection) -> io::Result<Vec<ForwardChain>> {
    const HOOK_FORWARD: u32 = 2;
    const NF_DROP: u32 = 0;
    const IP_FAMILIES: [u8; 3] = [1, 2, 10];
    let mut chains = Vec::new();
    dump_chains(conn, |family, attributes| {
        let hook = attributes.find(4).and_then(|hook| Attributes::new(hook).find(1));
        let is_forward = hook.and_then(|number| parse::be32_at(number, 0)) == Some(HOOK_FORWARD);
        let policy = attributes.find(5).and_then(|policy| parse::be32_at(policy, 0));
        if is_forward && IP_FAMILIES.contains(&family) {
            chains.push(ForwardChain {
                family,
                table: attributes.find(1).map_or("", parse::text).to_owned(),
                name: attributes.find(3).map_or("", parse::text).to_owned(),
                drops: policy == Some(NF_DROP),
            });
        }
    })?;
    Ok(chains)
}

fn dump_chains(conn: &mut Connection, mut take: impl FnMut(u8, Attributes<'_>)) -> io::Result<()> {
    let mut batch = Batch::new();
    batch.begin(message::GETCHAIN, DUMP, &nfgenmsg(0, 0), "list", "chains");
    conn.dump(&batch, |kind, payload| {
        if let (message::NEWCHAIN, [family, _, _, _, rest @ ..]) = (kind, payload) {
            take(*family, Attributes::new(rest));
        }
    })
}

/// Handles of the rules of a chain that bear `tag`, in order; the second: whether one is first.
pub fn tagged_rules(
    conn: &mut Connection,
    chain: &ForwardChain,
    tag: &[u8],
) -> io::Result<(Vec<u64>, bool)> {
    let mut batch = Batch::new();
    batch.begin(message::GETRULE, DUMP, &nfgenmsg(chain.family, 0), "list", "rules");
    batch.text(1, &chain.table);
    batch.text(2, &chain.name);
    let mut handles = Vec::new();
    let mut first = None;
    conn.dump(&batch, |kind, payload| {
        if kind != message::NEWRULE {
            return;
        }
        let attributes = Attributes::new(payload.get(4..).unwrap_or(&[]));
        let is_ours = attributes.find(7) == Some(tag);
        first.get_or_insert(is_ours);
        let handle = attributes.find(3).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        handles.extend(handle.filter(|_| is_ours).map(u64::from_be_bytes));
    })?;
    Ok((handles, first == Some(true)))
}

/// True when the table exists.
pub fn table_exists(conn: &mut Connection, family: u8, table: &str) -> io::Result<bool> {
    let mut batch = Batch::new();
    batch.begin(message::GETTABLE, DUMP, &nfgenmsg(family, 0), "list", "tables");
    let mut found = false;
    conn.dump(&batch, |kind, payload| {
        if kind == message::NEWTABLE && payload.first() == Some(&family) {
            let name = Attributes::new(payload.get(4..).unwrap_or(&[])).find(1);
            found |= name.is_some_and(|name| parse::text(name) == table);
        }
    })?;
    Ok(found)
}

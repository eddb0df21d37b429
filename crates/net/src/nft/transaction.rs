//! A transaction on one table: all of it happens, or nothing.

use super::{
    expr::{Expr, data},
    message, nfgenmsg,
};
use crate::{
    config::Family,
    nl::{
        Batch, Connection,
        conn::Refused,
        message::{APPEND, CREATE},
    },
};

const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// `NFPROTO_INET`: IPv4 and IPv6 in one table.
pub const INET: u8 = 1;

const LIST_ELEM: u16 = 1;
/// A nest may hold 64 KiB; the kernel counts its header too.
const ELEMENTS_MAX: usize = 60_000;

/// How a table outlives and resists others (`NFT_TABLE_F_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Anybody with `CAP_NET_ADMIN` may change it.
    Shared,
    /// Only the socket that made it may change it, `nft flush ruleset` passes it by, and it stays
    /// when the socket closes (kernel 6.9).
    Owned,
}

/// Where a base chain hooks in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `filter` or `nat`.
    pub kind: &'static str,
    /// `NF_INET_*`: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub hook: u32,
    /// Order among chains of the hook; lower is earlier.
    pub priority: i32,
}

/// A field of a set's key or of a map's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// An address.
    Addr(Family),
    /// Transport protocol number.
    Protocol,
    /// Port.
    Port,
    /// Interface name.
    IfName,
}

impl Field {
    fn length(self) -> u32 {
        match self {
            Self::Addr(Family::V4) => 4,
            Self::Addr(Family::V6) | Self::IfName => 16,
            Self::Protocol => 1,
            Self::Port => 2,
        }
    }

    /// Numbers of the `nft` program's types, so that it can print the set.
    fn type_number(self) -> u32 {
        match self {
            Self::Addr(Family::V4) => 7,
            Self::Addr(Family::V6) => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::IfName => 41,
        }
    }
}

/// A named set or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetDef {
    /// Name.
    pub name: &'static str,
    /// Fields of the key.
    pub key: &'static [Field],
    /// Fields of the value; empty: a set.
    pub value: &'static [Field],
    /// Elements are ranges.
    pub ranges: bool,
}

/// One element of a set or map. Fields are padded to four bytes each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Key, or start of the range.
    pub key: Vec<u8>,
    /// Last key of the range; `None`: not a range.
    pub last: Option<Vec<u8>>,
    /// Value of a map's entry; empty in sets.
    pub value: Vec<u8>,
}

/// Messages that take effect together.
#[derive(Debug)]
pub struct Transaction<'a> {
    batch: Batch,
    family: u8,
    table: &'a str,
}

impl<'a> Transaction<'a> {
    /// Begins a transaction on an `inet` table.
    pub fn new(table: &'a str) -> Self {
        Self::on(INET, table)
    }

    /// Begins a transaction on a table of another family.
    pub fn on(family: u8, table: &'a str) -> Self {
        let mut batch = Batch::new();
        let header = nfgenmsg(0, NFNL_SUBSYS_NFTABLES);
        batch.begin(message::BATCH_BEGIN, 0, &header, "begin", "a firewall transaction");
        Self { batch, family, table }
    }

    fn begin(&mut self, kind: u16, flags: u16, action: &'static str, what: String) {
        self.batch.begin(kind, flags, &nfgenmsg(self.family, 0), action, what);
        self.batch.text(1, self.table);
    }

    /// Creates the table.
    pub fn create_table(&mut self, ownership: Ownership) {
        const OWNER: u32 = 2;
        const PERSIST: u32 = 4;
        self.begin(message::NEWTABLE, CREATE, "create", format!("table {}", self.table));
        if ownership == Ownership::Owned {
            self.batch.be32(2, OWNER | PERSIST);
        }
    }

    /// Removes the table, which must be there.
    pub fn delete_table(&mut self) {
        self.begin(message::DELTABLE, 0, "remove", format!("table {}", self.table));
    }

    /// Removes every table that may be removed: what `nft flush ruleset` does.
    #[cfg(test)]
    pub fn delete_everything(&mut self) {
        self.batch.begin(message::DELTABLE, 0, &nfgenmsg(0, 0), "remove", "all tables");
    }

    /// Removes the table if it is there (kernel 6.3).
    pub fn destroy_table(&mut self) {
        self.begin(message::DESTROYTABLE, 0, "remove", format!("table {}", self.table));
    }

    /// Creates a chain; one with a hook accepts what its rules don't decide.
    pub fn create_chain(&mut self, name: &str, hook: Option<Hook>) {
        const NF_ACCEPT: u32 = 1;
        self.begin(message::NEWCHAIN, CREATE, "create", format!("chain {name}"));
        self.batch.text(3, name);
        if let Some(hook) = hook {
            self.batch.nest(4, |batch| {
                batch.be32(1, hook.hook);
                batch.be32(2, hook.priority.cast_unsigned());
            });
            self.batch.be32(5, NF_ACCEPT);
            self.batch.text(7, hook.kind);
        }
    }

    /// Appends a rule to a chain.
    pub fn append_rule(&mut self, chain: &str, rule: &[Expr]) {
        self.rule(chain, CREATE | APPEND, rule, &[]);
    }

    /// Puts a rule at a chain's head, with bytes that tell whose it is.
    pub fn insert_rule(&mut self, chain: &str, rule: &[Expr], tag: &[u8]) {
        self.rule(chain, CREATE, rule, tag);
    }

    fn rule(&mut self, chain: &str, flags: u16, rule: &[Expr], tag: &[u8]) {
        self.begin(message::NEWRULE, flags, "add", format!("rule to chain {chain}"));
        self.batch.text(2, chain);
        self.batch.nest(4, |batch| {
            for expr in rule {
                batch.nest(LIST_ELEM, |batch| expr.encode(batch));
            }
        });
        if !tag.is_empty() {
            self.batch.bytes(7, tag);
        }
    }

    /// Removes a rule by its handle.
    pub fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.begin(message::DELRULE, 0, "remove", format!("rule from chain {chain}"));
        self.batch.text(2, chain);
        self.batch.bytes(3, &handle.to_be_bytes());
    }

    /// Creates a set or map. `id` is a number of its own within the transaction.
    pub fn create_set(&mut self, def: &SetDef, id: u32) {
        const INTERVAL: u32 = 0x4;
        const MAP: u32 = 0x8;
        const CONCAT: u32 = 0x80;
        self.begin(message::NEWSET, CREATE, "create", format!("set {}", def.name));
        let mut flags = 0;
        if def.ranges {
            flags |= INTERVAL;
        }
        if def.key.len() > 1 {
            flags |= CONCAT;
        }
        if !def.value.is_empty() {
            flags |= MAP;
        }
        self.batch.text(2, def.name);
        self.batch.be32(3, flags);
        self.batch.be32(4, type_of(def.key));
        self.batch.be32(5, padded_length(def.key));
        if !def.value.is_empty() {
            self.batch.be32(6, type_of(def.value));
            self.batch.be32(7, padded_length(def.value));
        }
        if def.key.len() > 1 {
            self.batch.nest(9, |batch| {
                batch.nest(2, |batch| {
                    for field in def.key {
                        batch.nest(LIST_ELEM, |batch| batch.be32(1, field.length()));
                    }
                });
            });
        }
        self.batch.be32(10, id);
    }

    /// Adds elements to a set.
    pub fn add_elements(&mut self, def: &SetDef, elements: &[Element]) {
        self.elements(message::NEWSETELEM, CREATE, "add", def, elements);
    }

    /// Removes elements from a set; all must be in it.
    pub fn delete_elements(&mut self, def: &SetDef, elements: &[Element]) {
        self.elements(message::DELSETELEM, 0, "remove", def, elements);
    }

    fn elements(
        &mut self,
        kind: u16,
        flags: u16,
        action: &'static str,
        def: &SetDef,
        elements: &[Element],
    ) {
        let mut rest = elements;
        while !rest.is_empty() {
            let count = elements_that_fit(rest);
            let (now, later) = rest.split_at(count);
            rest = later;
            self.begin(kind, flags, action, format!("elements of set {}", def.name));
            self.batch.text(2, def.name);
            self.batch.nest(3, |batch| {
                for element in now {
                    encode_element(batch, def, element);
                }
            });
        }
    }

    /// Sends it.
    pub fn commit(mut self, conn: &mut Connection) -> Result<(), Refused> {
        if self.batch.len() == 1 {
            return Ok(());
        }
        self.batch.ack_last();
        let header = nfgenmsg(0, NFNL_SUBSYS_NFTABLES);
        self.batch.begin(message::BATCH_END, 0, &header, "commit", "a firewall transaction");
        conn.perform(&self.batch)
    }
}

fn type_of(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |number, field| number << 6 | field.type_number())
}

fn padded_length(fields: &[Field]) -> u32 {
    fields.iter().map(|field| field.length().next_multiple_of(4)).sum()
}

/// An element of a one-field range set takes two entries; attribute headers are 4 bytes each.
fn elements_that_fit(elements: &[Element]) -> usize {
    let mut bytes = 0;
    let fitting = elements.iter().take_while(|element| {
        let last = element.last.as_ref().map_or(0, Vec::len);
        bytes += 64 + element.key.len() + last + element.value.len();
        bytes <= ELEMENTS_MAX
    });
    fitting.count().max(1)
}

fn encode_element(batch: &mut Batch, def: &SetDef, element: &Element) {
    const KEY: u16 = 1;
    const DATA: u16 = 2;
    const FLAGS: u16 = 3;
    const KEY_END: u16 = 10;
    const INTERVAL_END: u32 = 1;
    batch.nest(LIST_ELEM, |batch| {
        data(batch, KEY, &element.key);
        if let Some(last) = element.last.as_ref().filter(|_| def.key.len() > 1) {
            data(batch, KEY_END, last);
        }
        if !element.value.is_empty() {
            data(batch, DATA, &element.value);
        }
    });
    // Ranges of a single field are two entries: the first key, and the first key behind.
    let behind =
        element.last.as_ref().filter(|_| def.key.len() == 1).and_then(|last| successor(last));
    if let Some(behind) = behind {
        batch.nest(LIST_ELEM, |batch| {
            data(batch, KEY, &behind);
            batch.be32(FLAGS, INTERVAL_END);
        });
    }
}

/// The next number of the same width; `None` after the last.
fn successor(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut next = bytes.to_vec();
    for byte in next.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(next);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key() {
        assert_eq!(successor(&[10, 0, 255, 255]), Some(vec![10, 1, 0, 0]));
        assert_eq!(successor(&[255; 4]), None);
    }

    #[test]
    fn long_lists_are_split() {
        let element = Element { key: vec![0; 12], last: None, value: vec![0; 8] };
        let many = vec![element; 10_000];
        let fit = elements_that_fit(&many);
        assert!(fit > 500 && fit < 1000, "{fit}");
    }
}

//! The engine's own nftables table: isolation, published ports, masquerading.
//!
//! The rules never change (`rules`); everything that varies is an element of a set or map
//! (`sets`), so that a port costs one element and lookups stay constant in time. `Firewall` keeps
//! the wanted elements in memory, changes them in transactions, and can put the whole table back
//! at any moment in one. Owns no sockets of published ports (`publish`) and no policy on what to
//! allow (`plane`).
//!
//! Invariant: what is not allowed is dropped: packets to container addresses that are neither
//! answers, nor translated, nor opened by a gateway mode.

mod elements;
mod guard;
mod rules;
mod sets;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use sys::netlink::Protocol;

pub use elements::Change;
pub use guard::Guard;

use crate::{
    error::{Error, Result},
    netns::lock,
    nft::{
        events,
        transaction::{Element, INET, Ownership, SetDef, Transaction},
    },
    nl::{Connection, conn::Refused, conn::SEND_MAX},
};

/// Marks packets that our rules accepted, for chains of others that drop what they don't know.
pub const ACCEPTED_MARK: u32 = 0x0ca1_e000;

/// The wanted content of the table and the connection that owns it.
#[derive(Debug)]
pub struct Firewall {
    table: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    conn: Connection,
    ownership: Ownership,
    /// Drop what is forwarded between interfaces of others: set when the engine itself made the
    /// host a router.
    drops_foreign: bool,
    wanted: BTreeMap<&'static str, Set>,
    /// How often the table was put back after somebody changed it.
    reasserted: u64,
}

#[derive(Debug)]
struct Set {
    def: SetDef,
    elements: BTreeMap<Vec<u8>, Element>,
}

impl Firewall {
    /// Connects, without touching any table. `table`: name of the table, one per engine.
    /// `owned`: forbid others to change it, where the kernel can.
    pub fn open(table: &str, owned: bool) -> Result<Arc<Self>> {
        let failed = |source| Error::Firewall { action: "reach", table: table.to_owned(), source };
        let conn = Connection::open(Protocol::Netfilter).map_err(failed)?;
        conn.reserve(SEND_MAX).map_err(failed)?;
        let sets =
            sets::ALL.iter().map(|def| (def.name, Set { def: *def, elements: BTreeMap::new() }));
        Ok(Arc::new(Self {
            table: table.to_owned(),
            state: Mutex::new(State {
                conn,
                ownership: if owned { Ownership::Owned } else { Ownership::Shared },
                drops_foreign: false,
                wanted: sets.collect(),
                reasserted: 0,
            }),
        }))
    }

    /// Name of the table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Puts the whole table in place, replacing what is there, in one transaction. Where the
    /// kernel knows no owned tables, falls back to a shared one.
    pub fn assert(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let refused = match self.replace(&mut state) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let unknown =
            matches!(refused.source.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL));
        if state.ownership == Ownership::Owned && unknown {
            state.ownership = Ownership::Shared;
            return self.replace(&mut state).map_err(|refused| self.error("assert", refused));
        }
        Err(self.error("assert", refused))
    }

    /// As `assert`, after adding `changes`: one transaction from what an earlier engine left to
    /// what is wanted now.
    pub fn assert_with(&self, changes: &[Change], drops_foreign: bool) -> Result<()> {
        let mut state = lock(&self.state);
        state.drops_foreign |= drops_foreign;
        for change in changes.iter().filter(|change| change.is_addition()) {
            let (name, element) = change.encode();
            if let Some(set) = state.wanted.get_mut(name) {
                set.elements.insert(element.key.clone(), element);
            }
        }
        drop(state);
        self.assert()
    }

    /// As `assert`, and counts it.
    fn reassert(&self) -> Result<()> {
        self.assert()?;
        lock(&self.state).reasserted += 1;
        Ok(())
    }

    /// How often the table was put back after somebody changed it.
    pub fn reasserted(&self) -> u64 {
        lock(&self.state).reasserted
    }

    fn replace(&self, state: &mut State) -> Result<(), Refused> {
        let mut transaction = Transaction::new(&self.table);
        match state.ownership {
            Ownership::Owned => transaction.destroy_table(),
            Ownership::Shared => {
                // Creating what exists is no error, removing what doesn't is.
                transaction.create_table(Ownership::Shared);
                transaction.delete_table();
            }
        }
        transaction.create_table(state.ownership);
        for (set, id) in state.wanted.values().zip(1..) {
            transaction.create_set(&set.def, id);
        }
        rules::write(&mut transaction, state.drops_foreign);
        for set in state.wanted.values() {
            let elements: Vec<Element> = set.elements.values().cloned().collect();
            transaction.add_elements(&set.def, &elements);
        }
        transaction.commit(&mut state.conn)
    }

    /// Applies changes to the kernel and, if it took them, to what is wanted. Adding what is there
    /// replaces it; removing what isn't there is nothing.
    pub fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let mut next: BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Element>>> = BTreeMap::new();
        for change in changes {
            let (name, element) = change.encode();
            let wanted = if change.is_addition() { Some(element.clone()) } else { None };
            next.entry(name).or_default().insert(element.key, wanted);
        }
        let mut transaction = Transaction::new(&self.table);
        for (name, elements) in &next {
            let Some(set) = state.wanted.get(name) else { continue };
            let (gone, new) = difference(set, elements);
            transaction.delete_elements(&set.def, &gone);
            transaction.add_elements(&set.def, &new);
        }
        let committed = transaction.commit(&mut state.conn);
        if let Err(refused) = committed {
            return self.recover(state, &next, refused);
        }
        remember(state, next);
        Ok(())
    }

    /// Removals fail when somebody else has just removed the table: then the whole is put back,
    /// with the changes.
    fn recover(
        &self,
        state: &mut State,
        next: &BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Element>>>,
        refused: Refused,
    ) -> Result<()> {
        if refused.source.kind() != io::ErrorKind::NotFound {
            return Err(self.error("change", refused));
        }
        let before: Vec<_> = next
            .keys()
            .filter_map(|name| Some((*name, state.wanted.get(name)?.elements.clone())))
            .collect();
        remember(state, next.clone());
        self.replace(state).map_err(|refused| {
            for (name, elements) in before {
                if let Some(set) = state.wanted.get_mut(name) {
                    set.elements = elements;
                }
            }
            self.error("put back", refused)
        })
    }

    /// From now on drops what is forwarded between interfaces of others.
    pub fn drop_foreign(&self) -> Result<()> {
        lock(&self.state).drops_foreign = true;
        self.assert()
    }

    /// True when a table that an earlier engine left drops what is forwarded between interfaces
    /// of others; to be asked before the first `assert`.
    pub fn inherits_drop_foreign(&self) -> Result<bool> {
        let mut state = lock(&self.state);
        let chains = events::chains_of(&mut state.conn, INET, &self.table);
        let chains = chains.map_err(|source| self.io_error("read", source))?;
        Ok(chains.iter().any(|name| name == rules::FOREIGN_CHAIN))
    }

    /// Removes the table.
    pub fn remove(&self) -> Result<()> {
        let mut state = lock(&self.state);
        let exists = events::table_exists(&mut state.conn, INET, &self.table);
        if !exists.map_err(|source| self.io_error("find", source))? {
            return Ok(());
        }
        let mut transaction = Transaction::new(&self.table);
        transaction.delete_table();
        transaction.commit(&mut state.conn).map_err(|refused| self.error("remove", refused))
    }

    fn error(&self, action: &'static str, refused: Refused) -> Error {
        let table = format!("{} ({} {})", self.table, refused.action, refused.what);
        Error::Firewall { action, table, source: refused.source }
    }

    fn io_error(&self, action: &'static str, source: io::Error) -> Error {
        Error::Firewall { action, table: self.table.clone(), source }
    }
}

/// What to remove and what to add so that a set becomes as wanted.
fn difference(
    set: &Set,
    wanted: &BTreeMap<Vec<u8>, Option<Element>>,
) -> (Vec<Element>, Vec<Element>) {
    let mut gone = Vec::new();
    let mut new = Vec::new();
    for (key, wanted) in wanted {
        let present = set.elements.get(key);
        if present == wanted.as_ref() {
            continue;
        }
        gone.extend(present.cloned());
        new.extend(wanted.clone());
    }
    (gone, new)
}

fn remember(state: &mut State, next: BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Element>>>) {
    for (name, elements) in next {
        let Some(set) = state.wanted.get_mut(name) else { continue };
        for (key, element) in elements {
            match element {
                Some(element) => set.elements.insert(key, element),
                None => set.elements.remove(&key),
            };
        }
    }
}

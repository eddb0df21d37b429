//! nftables over netlink (`linux/netfilter/nf_tables.h`): expressions, tables, chains, sets,
//! elements, transactions, events.
//!
//! An encoder of what this project's rules need, no more; it knows nothing about containers.
//! The rules themselves are in `firewall`.

pub mod events;
pub mod expr;
pub mod transaction;

/// Message numbers (`NFT_MSG_*`) with the subsystem in the high byte.
pub(crate) mod message {
    const SUBSYSTEM: u16 = 10 << 8;
    pub const NEWTABLE: u16 = SUBSYSTEM;
    pub const GETTABLE: u16 = SUBSYSTEM | 1;
    pub const DELTABLE: u16 = SUBSYSTEM | 2;
    pub const NEWCHAIN: u16 = SUBSYSTEM | 3;
    pub const GETCHAIN: u16 = SUBSYSTEM | 4;
    pub const DELCHAIN: u16 = SUBSYSTEM | 5;
    pub const NEWRULE: u16 = SUBSYSTEM | 6;
    pub const GETRULE: u16 = SUBSYSTEM | 7;
    pub const DELRULE: u16 = SUBSYSTEM | 8;
    pub const NEWSET: u16 = SUBSYSTEM | 9;
    pub const DELSET: u16 = SUBSYSTEM | 11;
    pub const NEWSETELEM: u16 = SUBSYSTEM | 12;
    pub const DELSETELEM: u16 = SUBSYSTEM | 14;
    pub const DESTROYTABLE: u16 = SUBSYSTEM | 26;
    pub const BATCH_BEGIN: u16 = 16;
    pub const BATCH_END: u16 = 17;
}

/// `nfgenmsg`: address family, version, resource.
pub(crate) fn nfgenmsg(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

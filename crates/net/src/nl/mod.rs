//! Netlink messages: building batches, reading answers, matching acknowledgements.
//!
//! One encoder serves rtnetlink(7), nftables and connection tracking. Owns no meaning: requests
//! on links and addresses are in `link`, `address`, those of the firewall in `nft`.
//!
//! Formats: `linux/netlink.h`; every integer of a header is in host byte order, attributes are
//! padded to four bytes.

pub mod address;
pub mod conn;
pub mod conntrack;
pub mod link;
pub mod message;
pub mod parse;

pub use conn::Connection;
pub use message::Batch;

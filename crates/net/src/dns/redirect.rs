//! For containers that serve port 53 themselves: our sockets sit on other ports, and two rules in
//! the container's own namespace lead there.
//!
//! A socket on 127.0.0.11:53 would keep a program in the container from binding 0.0.0.0:53.
//! The rules cost connection tracking in that namespace, so only such containers get them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use sys::netlink::Protocol;

use crate::{
    config::Family,
    nft::{
        expr::{Cmp, Expr, Header, Meta, Register},
        transaction::{Hook, Ownership, Transaction},
    },
    nl::{Connection, address::octets},
};

const TABLE: &str = "cale-dns";
const CHAIN: &str = "output";
const IPPROTO_TCP: u8 = 6;
const IPPROTO_UDP: u8 = 17;

/// Leads port 53 of 127.0.0.11 to where the server is, in the namespace of the calling thread.
pub fn divert(udp: SocketAddr, tcp: SocketAddr) -> io::Result<()> {
    const OUTPUT: u32 = 3;
    const DSTNAT: i32 = -100;
    let mut conn = Connection::open(Protocol::Netfilter)?;
    let mut transaction = Transaction::new(TABLE);
    // Creating what exists is no error: a restarted engine replaces what the last one left.
    transaction.create_table(Ownership::Shared);
    transaction.delete_table();
    transaction.create_table(Ownership::Shared);
    transaction.create_chain(CHAIN, Some(Hook { kind: "nat", hook: OUTPUT, priority: DSTNAT }));
    transaction.append_rule(CHAIN, &rule(IPPROTO_UDP, udp));
    transaction.append_rule(CHAIN, &rule(IPPROTO_TCP, tcp));
    transaction.commit(&mut conn).map_err(|refused| refused.source)
}

fn rule(protocol: u8, to: SocketAddr) -> [Expr; 11] {
    let (r0, r1) = (Register(0), Register(1));
    let server: IpAddr = crate::files::INTERNAL_SERVER;
    [
        Expr::Meta(Meta::NfProto, r0),
        Expr::Compare(r0, Cmp::Equal, vec![crate::nft::expr::nfproto(Family::V4)]),
        Expr::Payload(Header::Network, 16, 4, r0),
        Expr::Compare(r0, Cmp::Equal, octets(server)),
        Expr::Meta(Meta::L4Proto, r0),
        Expr::Compare(r0, Cmp::Equal, vec![protocol]),
        Expr::Payload(Header::Transport, 2, 2, r0),
        Expr::Compare(r0, Cmp::Equal, 53u16.to_be_bytes().to_vec()),
        Expr::Immediate(r0, octets(to.ip())),
        Expr::Immediate(r1, to.port().to_be_bytes().to_vec()),
        Expr::Dnat { family: Family::V4, addr: r0, port: Some(r1) },
    ]
}

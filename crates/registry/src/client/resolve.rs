//! Names of registries to addresses.
//!
//! By a resolver of our own rather than the C library's: a statically linked program must not load
//! the host's name service modules. `/etc/hosts` is honoured.

use std::{
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
};

use hickory_resolver::{TokioResolver, net::runtime::TokioRuntimeProvider};

use super::hosts;
use crate::error::{Error, Result};

static RESOLVER: OnceLock<TokioResolver> = OnceLock::new();

/// The addresses of `authority` (`host[:port]`), in the order to try them.
pub async fn addresses(authority: &str, tls: bool) -> Result<Vec<SocketAddr>> {
    let host = hosts::host_of(authority);
    let port = hosts::port_of(authority, tls)?;
    if let Some(ip) = hosts::ip_of(host) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if host == "localhost" {
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).to_vec());
    }
    let fault = |source| Error::Resolve { host: host.to_owned(), source: Box::new(source) };
    let answer = resolver().map_err(fault)?.lookup_ip(host).await.map_err(fault)?;
    Ok(answer.iter().map(|ip| SocketAddr::new(ip, port)).collect())
}

fn resolver() -> Result<&'static TokioResolver, hickory_resolver::net::NetError> {
    if let Some(resolver) = RESOLVER.get() {
        return Ok(resolver);
    }
    let resolver = TokioResolver::builder(TokioRuntimeProvider::default())?.build()?;
    Ok(RESOLVER.get_or_init(|| resolver))
}

//! Which bridge is this engine's: several engines run beside each other in one network namespace.
//!
//! A claim is an abstract unix socket (unix(7)): its name is unique within the network namespace, just
//! like the bridge's and the firewall table's, and it is gone with the process that held it.

use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixListener},
};

use store::Store;

use crate::config::BridgeConfig;

/// Held as long as the engine runs.
#[derive(Debug)]
pub struct Claim {
    _socket: Option<UnixListener>,
}

/// Claims a bridge's name. One that was configured is taken as it is; otherwise it is the one that
/// this data root had before, the usual one, or one of its own when another engine has that.
pub fn bridge(config: &mut BridgeConfig, store: &Store, recorded: Option<&str>) -> Claim {
    let usual = BridgeConfig::default().name;
    if config.name != usual {
        return Claim { _socket: None };
    }
    let digest = model::Digest::sha256(store.root().as_os_str().as_encoded_bytes());
    let own = format!("cale-{}", &digest.hex()[..8]);
    let candidates = [recorded, Some(usual.as_str()), Some(own.as_str())];
    for name in candidates.into_iter().flatten() {
        if let Some(socket) = claim(name) {
            name.clone_into(&mut config.name);
            return Claim { _socket: Some(socket) };
        }
    }
    // Only the same data root could hold all three, and it is locked.
    config.name = own;
    Claim { _socket: None }
}

fn claim(name: &str) -> Option<UnixListener> {
    let address = SocketAddr::from_abstract_name(format!("cale/bridge/{name}")).ok()?;
    UnixListener::bind_addr(&address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_engines_get_two_bridges() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| Store::open(&dir.path().join(name), store::Options::default());
        let (first, second) = (open("a").unwrap(), open("b").unwrap());
        // The usual name may be taken by an engine that runs on this machine.
        let (mut one, mut other) = (BridgeConfig::default(), BridgeConfig::default());
        let held = bridge(&mut one, &first, None);
        let _other = bridge(&mut other, &second, None);
        assert_ne!(one.name, other.name);
        let before = one.name.clone();
        drop(held);
        let mut again = BridgeConfig::default();
        let _held = bridge(&mut again, &first, Some(&before));
        assert_eq!(again.name, before);
        let mut given = BridgeConfig { name: "br-mine".to_owned(), ..BridgeConfig::default() };
        let _given = bridge(&mut given, &first, Some(&before));
        assert_eq!(given.name, "br-mine");
    }
}

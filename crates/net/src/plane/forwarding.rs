//! Making the host a router, when a network needs it, without opening it to others.

use std::path::Path;

use super::{NetworkPlane, State};
use crate::{
    config::NetworkConfig,
    error::{Error, Result},
    netns::{Absent, write_setting},
};

const FORWARD_V4: &str = "net/ipv4/ip_forward";
const FORWARD_V6: &str = "net/ipv6/conf/all/forwarding";

impl NetworkPlane {
    /// Switches forwarding on for the families of a network. The rule that drops what is forwarded
    /// between others comes first.
    pub(super) fn switch_forwarding(
        &self,
        state: &mut State,
        config: &NetworkConfig,
    ) -> Result<()> {
        if config.ipv4 && read_setting(FORWARD_V4)? == "0" {
            self.firewall.drop_foreign()?;
            write_setting(FORWARD_V4, "1", Absent::Failure)?;
            state.facts.switched_forwarding_v4 = true;
        }
        if config.ipv6 && read_setting(FORWARD_V6)? == "0" {
            self.firewall.drop_foreign()?;
            keep_router_advertisements()?;
            write_setting("net/ipv6/conf/default/forwarding", "1", Absent::Failure)?;
            write_setting(FORWARD_V6, "1", Absent::Failure)?;
            state.facts.switched_forwarding_v6 = true;
        }
        Ok(())
    }
}

/// A router ignores advertisements unless told otherwise (`accept_ra` 2, ip-sysctl): a host that
/// gets its own IPv6 from them would lose it.
fn keep_router_advertisements() -> Result<()> {
    let dir = Path::new("/proc/sys/net/ipv6/conf");
    let entries =
        std::fs::read_dir(dir).map_err(|source| Error::ReadFile { path: dir.into(), source })?;
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let key = format!("net/ipv6/conf/{name}/accept_ra");
        if !matches!(name.as_str(), "all" | "default" | "lo") && read_setting(&key)? == "1" {
            write_setting(&key, "2", Absent::Fine)?;
        }
    }
    Ok(())
}

/// True when bridged frames pass netfilter, so that translation happens below routing.
pub(super) fn netfilter_sees_bridges() -> bool {
    read_setting("net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value == "1")
}

fn read_setting(key: &str) -> Result<String> {
    let path = Path::new("/proc/sys").join(key);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(Error::ReadFile { path, source }),
    }
}
